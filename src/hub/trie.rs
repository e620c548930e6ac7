//! Subscriptions by the segments of their patterns.

use std::rc::Rc;

use hashbrown::HashMap;

use crate::bayeux::{Channel, Pattern, Wild};

/// A set of `(Pattern, T)`, asked which `T` cover a channel. Answers are cached until the set changes.
#[derive(Debug)]
pub(super) struct Trie<T> {
    root: Node<T>,
    covering: Answers<T>,
    exactly: Answers<T>,
    none: Rc<[T]>,
}

/// What was answered for a channel, where there was something to answer.
type Answers<T> = HashMap<Channel, Rc<[T]>>;

/// Channels whose answers are remembered.
const CACHED: usize = 16 * 1024;

/// Up to so many of them are looked at when a pattern with a wildcard comes or goes; more are all forgotten, or those who
/// subscribe one after another would each have to look at all.
const SIFTED: usize = 256;

#[derive(Debug)]
struct Node<T> {
    children: HashMap<Box<str>, Node<T>>,
    /// Subscribers of exactly this channel, of `/*` below it, of `/**` below it.
    exact: Vec<T>,
    one: Vec<T>,
    deep: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { children: HashMap::new(), exact: Vec::new(), one: Vec::new(), deep: Vec::new() }
    }
}

impl<T> Node<T> {
    fn list(&mut self, wild: Wild) -> &mut Vec<T> {
        match wild {
            Wild::None => &mut self.exact,
            Wild::One => &mut self.one,
            Wild::Deep => &mut self.deep,
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.exact.is_empty() && self.one.is_empty() && self.deep.is_empty()
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self {
            root: Node::default(),
            covering: Answers::default(),
            exactly: Answers::default(),
            none: Rc::new([]),
        }
    }
}

impl<T: Copy + Ord> Trie<T> {
    pub(super) fn insert(&mut self, pattern: &Pattern, value: T) {
        let mut node = &mut self.root;
        for segment in pattern.prefix() {
            node = node.children.entry(segment.into()).or_default();
        }
        node.list(pattern.wild()).push(value);
        self.forget(pattern);
    }

    pub(super) fn remove(&mut self, pattern: &Pattern, value: T) {
        let path: Vec<&str> = pattern.prefix().collect();
        remove_below(&mut self.root, &path, pattern.wild(), value);
        self.forget(pattern);
    }

    /// What covers `channel`, ascending, so that what belongs to one session stands together.
    pub(super) fn covering(&mut self, channel: &Channel) -> Rc<[T]> {
        if let Some(found) = self.covering.get(channel) {
            return found.clone();
        }
        let mut found = Vec::new();
        let mut node = Some(&self.root);
        let mut segments = channel.segments().peekable();
        while let (Some(here), Some(segment)) = (node, segments.next()) {
            found.extend_from_slice(&here.deep);
            let last = segments.peek().is_none();
            if last {
                found.extend_from_slice(&here.one);
            }
            node = here.children.get(segment);
            if let (true, Some(leaf)) = (last, node) {
                found.extend_from_slice(&leaf.exact);
            }
        }
        remember(&mut self.covering, &self.none, channel, found)
    }

    /// The subscribers of exactly `channel`, ascending.
    pub(super) fn exactly(&mut self, channel: &Channel) -> Rc<[T]> {
        if let Some(found) = self.exactly.get(channel) {
            return found.clone();
        }
        let mut node = Some(&self.root);
        for segment in channel.segments() {
            node = node.and_then(|node| node.children.get(segment));
        }
        let found = node.map_or_else(Vec::new, |leaf| leaf.exact.clone());
        remember(&mut self.exactly, &self.none, channel, found)
    }

    /// Drops the answers that a change of `pattern` makes stale.
    fn forget(&mut self, pattern: &Pattern) {
        match pattern.as_channel() {
            Some(channel) => {
                self.covering.remove(&channel);
                self.exactly.remove(&channel);
            }
            None if self.covering.len() > SIFTED => self.covering.clear(),
            None => self.covering.retain(|channel, _| !pattern.matches(channel)),
        }
    }
}

/// Sorts what was found, and keeps it for the next time if it is anything.
fn remember<T: Copy + Ord>(
    answers: &mut Answers<T>,
    none: &Rc<[T]>,
    channel: &Channel,
    mut found: Vec<T>,
) -> Rc<[T]> {
    if found.is_empty() {
        return none.clone();
    }
    found.sort_unstable();
    let found: Rc<[T]> = found.into();
    if answers.len() >= CACHED {
        answers.clear();
    }
    answers.insert(channel.clone(), found.clone());
    found
}

/// Removes one value and the nodes that are empty without it.
fn remove_below<T: PartialEq>(node: &mut Node<T>, path: &[&str], wild: Wild, value: T) {
    let Some((segment, rest)) = path.split_first() else {
        let list = node.list(wild);
        if let Some(at) = list.iter().position(|it| *it == value) {
            list.swap_remove(at);
        }
        if list.is_empty() {
            *list = Vec::new();
        }
        return;
    };
    if let Some(child) = node.children.get_mut(*segment) {
        remove_below(child, rest, wild, value);
        if child.is_empty() {
            node.children.remove(*segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern() -> impl Strategy<Value = Pattern> {
        ("(/[abc]){0,3}", prop_oneof![Just(""), Just("/*"), Just("/**")])
            .prop_filter_map("a pattern", |(prefix, wild)| Pattern::parse(&format!("{prefix}{wild}")).ok())
    }

    proptest! {
        /// Against the definition: after any inserts and removes, a channel is covered by what `Pattern::matches` says.
        #[test]
        fn covers_what_the_definition_covers(
            steps in prop::collection::vec((pattern(), 0u8..4, any::<bool>()), 0..40),
            channels in prop::collection::vec("(/[abcd]){1,4}", 1..6),
        ) {
            let mut trie = Trie::default();
            let mut model: Vec<(Pattern, u8)> = Vec::new();
            for (pattern, value, add) in steps {
                if add {
                    trie.insert(&pattern, value);
                    model.push((pattern, value));
                } else {
                    trie.remove(&pattern, value);
                    if let Some(at) = model.iter().position(|it| *it == (pattern.clone(), value)) {
                        model.swap_remove(at);
                    }
                }
                for channel in &channels {
                    let channel = Channel::parse(channel).unwrap();
                    let mut expected: Vec<u8> =
                        model.iter().filter(|(p, _)| p.matches(&channel)).map(|(_, v)| *v).collect();
                    expected.sort_unstable();
                    prop_assert_eq!(trie.covering(&channel).to_vec(), expected);
                    let exact = |(p, _): &&(Pattern, u8)| p.as_str() == channel.as_str();
                    let mut expected: Vec<u8> = model.iter().filter(exact).map(|(_, v)| *v).collect();
                    expected.sort_unstable();
                    prop_assert_eq!(trie.exactly(&channel).to_vec(), expected);
                }
            }
            for (pattern, value) in model {
                trie.remove(&pattern, value);
            }
            prop_assert!(trie.root.is_empty());
        }
    }
}
