//! Channel names and channel patterns (Bayeux 1.0 §2.2, R13–R15).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A concrete channel, `/orders/eu/42`: one or more legal segments, no wildcard.
///
/// Cheap to clone. Equality and hash are those of the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(Arc<str>);

/// What a subscription names: a channel, or a prefix followed by `/*` (one more segment)
/// or `/**` (one or more), R14 and R15.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern {
    text: Arc<str>,
    wild: Wild,
}

/// How a [`Pattern`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wild {
    /// A plain channel.
    None,
    /// `/*`: exactly one more segment.
    One,
    /// `/**`: one or more further segments.
    Deep,
}

/// Why a text is not a channel or pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// It does not begin with `/`.
    #[error("a channel begins with '/'")]
    NoSlash,
    /// `//` or a trailing slash.
    #[error("a channel has no empty segment")]
    EmptySegment,
    /// `*` anywhere but as the last segment of a pattern.
    #[error("a wildcard is the last segment of a pattern, '*' or '**'")]
    Wildcard,
    /// A character that the grammar does not allow in a segment.
    #[error("{0:?} is not allowed in a channel")]
    Character(char),
}

/// Whether `c` may stand in a channel segment: the token characters of Bayeux 1.0 (R13), and,
/// beyond the text, `.` and all Unicode letters and digits.
pub fn legal(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '-' | '_' | '!' | '~' | '(' | ')' | '$' | '@' | '.')
        || (!c.is_ascii() && c.is_alphanumeric())
}

fn check_segment(segment: &str) -> Result<(), ChannelError> {
    if segment.is_empty() {
        return Err(ChannelError::EmptySegment);
    }
    match segment.chars().find(|&c| !legal(c)) {
        None => Ok(()),
        Some('*') => Err(ChannelError::Wildcard),
        Some(c) => Err(ChannelError::Character(c)),
    }
}

fn segments_of(text: &str) -> Result<std::str::Split<'_, char>, ChannelError> {
    Ok(text.strip_prefix('/').ok_or(ChannelError::NoSlash)?.split('/'))
}

// === impl Channel ===

impl Channel {
    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        for segment in segments_of(text)? {
            check_segment(segment)?;
        }
        Ok(Self(text.into()))
    }

    /// The whole name, with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, left to right, without slashes.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.get(1..).unwrap_or_default().split('/')
    }

    /// `/meta/…`: the protocol's own (R22).
    pub fn is_meta(&self) -> bool {
        is_under(&self.0, "/meta")
    }

    /// `/service/…`: request and reply, never broadcast (R25).
    pub fn is_service(&self) -> bool {
        is_under(&self.0, "/service")
    }
}

fn is_under(text: &str, root: &str) -> bool {
    text.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

// === impl Pattern ===

impl Pattern {
    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        let mut wild = Wild::None;
        for segment in segments_of(text)? {
            if wild != Wild::None {
                return Err(ChannelError::Wildcard);
            }
            match segment {
                "*" => wild = Wild::One,
                "**" => wild = Wild::Deep,
                _ => check_segment(segment)?,
            }
        }
        Ok(Self { text: text.into(), wild })
    }

    /// The whole pattern, wildcard included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How it ends.
    pub fn wild(&self) -> Wild {
        self.wild
    }

    /// The segments before the wildcard; all of them for a plain channel.
    pub fn prefix(&self) -> impl Iterator<Item = &str> {
        let end = match self.wild {
            Wild::None => self.text.len(),
            Wild::One => self.text.len() - 2,
            Wild::Deep => self.text.len() - 3,
        };
        self.text.get(..end).unwrap_or_default().split('/').skip(1)
    }

    /// The channel, if the pattern has no wildcard.
    pub fn as_channel(&self) -> Option<Channel> {
        (self.wild == Wild::None).then(|| Channel(self.text.clone()))
    }

    /// Whether a record on `channel` is covered.
    pub fn matches(&self, channel: &Channel) -> bool {
        let mut rest = channel.segments();
        for segment in self.prefix() {
            if rest.next() != Some(segment) {
                return false;
            }
        }
        match self.wild {
            Wild::None => rest.next().is_none(),
            Wild::One => rest.next().is_some() && rest.next().is_none(),
            Wild::Deep => rest.next().is_some(),
        }
    }

    /// Whether it can only match `/meta/…` channels.
    pub fn is_meta(&self) -> bool {
        is_under(&self.text, "/meta")
    }

    /// Whether it can only match `/service/…` channels.
    pub fn is_service(&self) -> bool {
        is_under(&self.text, "/service")
    }
}

impl From<Channel> for Pattern {
    fn from(channel: Channel) -> Self {
        Self { text: channel.0, wild: Wild::None }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, channel: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(&Channel::parse(channel).unwrap())
    }

    #[test]
    fn wildcards_cover_what_the_specification_says() {
        assert!(matches("/foo/*", "/foo/bar"));
        assert!(!matches("/foo/*", "/foo"));
        assert!(!matches("/foo/*", "/foo/bar/baz"));
        assert!(matches("/foo/**", "/foo/bar"));
        assert!(matches("/foo/**", "/foo/bar/baz"));
        assert!(!matches("/foo/**", "/foo"));
        assert!(matches("/**", "/foo"));
        assert!(matches("/*", "/foo"));
        assert!(matches("/foo", "/foo"));
        assert!(!matches("/foo/*", "/fool/bar"));
    }

    #[test]
    fn illegal_names_are_told_apart() {
        assert_eq!(Channel::parse("foo"), Err(ChannelError::NoSlash));
        assert_eq!(Channel::parse(""), Err(ChannelError::NoSlash));
        assert_eq!(Channel::parse("/"), Err(ChannelError::EmptySegment));
        assert_eq!(Channel::parse("/foo/"), Err(ChannelError::EmptySegment));
        assert_eq!(Channel::parse("/foo//bar"), Err(ChannelError::EmptySegment));
        assert_eq!(Channel::parse("/foo/*"), Err(ChannelError::Wildcard));
        assert_eq!(Channel::parse("/foo bar"), Err(ChannelError::Character(' ')));
        assert_eq!(Pattern::parse("/a/*/b"), Err(ChannelError::Wildcard));
        assert_eq!(Pattern::parse("/a*"), Err(ChannelError::Wildcard));
        assert_eq!(Pattern::parse("/a/***"), Err(ChannelError::Wildcard));
    }

    #[test]
    fn reserved_spaces_go_by_whole_segments() {
        assert!(Channel::parse("/meta/connect").unwrap().is_meta());
        assert!(Channel::parse("/meta").unwrap().is_meta());
        assert!(!Channel::parse("/metal").unwrap().is_meta());
        assert!(Pattern::parse("/service/**").unwrap().is_service());
        assert!(!Pattern::parse("/**").unwrap().is_service());
    }

    #[test]
    fn letters_of_all_scripts_and_dots_pass() {
        assert!(Channel::parse("/prices/BRK.A").is_ok());
        assert!(Channel::parse("/größe/価格/1").is_ok());
    }
}
