//! What holds for any routes, records and channels.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use regex::Regex;

use super::*;
use crate::route::{Reads, Route, TargetError};

/// A route as the tests think of it, so that a naive matcher can be set against the real one.
#[derive(Clone, Debug)]
struct Plan {
    segments: Vec<&'static str>,
    topic: usize,
    topic_var: bool,
    matched: Option<&'static str>,
    closed: bool,
}

/// Segments with `{}` for a variable, `{**}` for many segments.
const SEGMENTS: [&str; 9] = ["a", "b", "ab", "a-b", "{}", "{}", "a{}", "{}-{}", "{**}"];
/// What channels of the tests are made of.
const WORDS: [&str; 9] = ["a", "b", "ab", "a-b", "b-ab", "abc", "~20", "~41", "b-a~2Db"];

fn plan() -> impl Strategy<Value = Plan> {
    let segments = proptest::collection::vec(select(&SEGMENTS[..]), 1..4);
    (segments, 0..3_usize, any::<bool>(), select(vec![None, None, Some("a.*"), Some("[ab]")]), 0..6_u8)
        .prop_map(|(mut segments, topic, topic_var, matched, closed)| {
            let deep = segments.iter().position(|segment| *segment == "{**}");
            segments.truncate(deep.map_or(segments.len(), |at| at + 1));
            Plan { segments, topic, topic_var, matched, closed: closed == 0 }
        })
}

impl Plan {
    /// The variables, `x0` and on, deep ones with their stars.
    fn variables(&self) -> Vec<String> {
        let text = self.segments.concat();
        let count = text.matches("{}").count();
        let deep = text.ends_with("{**}").then(|| format!("x{count}**"));
        (0..count).map(|n| format!("x{n}")).chain(deep).collect()
    }

    /// As a mapping file writes it.
    fn yaml(&self, name: usize) -> String {
        let mut variables = self.variables();
        let mut channel = String::new();
        let mut names = variables.iter();
        for segment in &self.segments {
            channel.push('/');
            for (n, part) in segment.replace("{**}", "{}").split("{}").enumerate() {
                if n > 0 {
                    channel.extend(["{", names.next().unwrap(), "}"]);
                }
                channel.push_str(part);
            }
        }
        let mut topic = format!("t{}", self.topic);
        if self.topic_var && variables.first().is_some_and(|name| !name.ends_with("**")) {
            topic = format!("{topic}.{{{}}}", variables.remove(0));
        }
        let key = variables.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(":");
        let key = if key.is_empty() { String::new() } else { format!(", key: \"{key}\"") };
        let matched = match self.matched {
            Some(regex) if !self.variables().is_empty() => format!(", match: {{ x0: \"{regex}\" }}"),
            _ => String::new(),
        };
        let subscribe = if self.closed { ", subscribe: false" } else { "" };
        format!(
            "  - {{ name: r{name}, channel: \"{channel}\", topic: \"{topic}\"{key}{matched}{subscribe}, publish: }}\n"
        )
    }

    /// The naive matcher: a regular expression a template, a group a variable. Right for channels whose only escapes
    /// are those of [`WORDS`]: `~20` is needed, `~41` never, `~2D` where `-` joins variables.
    fn naive(self) -> Naive {
        let legal = "(?:[a-z-]|~20)+";
        let segment = |segment: &&str| match *segment {
            "{}-{}" => "/((?:[a-z]|~20|~2D)+)-((?:[a-z]|~20|~2D)+)".to_owned(),
            "{**}" => format!("/({legal}(?:/{legal})*)"),
            segment => format!("/{}", segment.replace("{}", &format!("({legal})"))),
        };
        let channel = self.segments.iter().map(segment).collect::<String>();
        let matched = self.matched.filter(|_| !self.variables().is_empty());
        Naive {
            channel: Regex::new(&format!("^{channel}$")).unwrap(),
            matched: matched.map(|regex| Regex::new(&format!("^(?:{regex})$")).unwrap()),
            precedence: self.precedence(),
            closed: self.closed,
        }
    }

    /// The precedence, said once more: less goes first.
    fn precedence(&self) -> Vec<(usize, bool)> {
        let matched = self.matched.is_some();
        let mut seen = false;
        let class = |segment: &&str| {
            let variable = segment.contains('{');
            let first = variable && !seen;
            seen |= variable;
            let class = match *segment {
                "a{}" | "{}-{}" => 1,
                "{}" => 2,
                "{**}" => 3,
                _ => 0,
            };
            (class, class > 0 && !(matched && first))
        };
        self.segments.iter().map(class).collect()
    }
}

/// A route, matched naively.
#[derive(Clone, Debug)]
struct Naive {
    channel: Regex,
    matched: Option<Regex>,
    precedence: Vec<(usize, bool)>,
    closed: bool,
}

impl Naive {
    fn matches(&self, channel: &str) -> bool {
        let Some(found) = self.channel.captures(channel) else { return false };
        self.matched
            .as_ref()
            .is_none_or(|regex| regex.is_match(&found[1].replace("~20", " ").replace("~2D", "-")))
    }
}

/// A table of as many of the plans as go together.
fn build(plans: Vec<Plan>) -> (RouteTable, Vec<Naive>) {
    let mut kept = Vec::new();
    let mut text = "routes:\n".to_owned();
    for plan in plans {
        let longer = format!("{text}{}", plan.yaml(kept.len()));
        if parse(&[Source { file: Path::new("p.yaml"), text: &longer }]).is_ok() {
            text = longer;
            kept.push(plan.naive());
        }
    }
    (if kept.is_empty() { RouteTable::default() } else { table(&text) }, kept)
}

fn tables() -> impl Strategy<Value = (RouteTable, Vec<Naive>)> {
    proptest::collection::vec(plan(), 1..6).prop_map(build)
}

/// Every channel of one to three words.
fn all_channels() -> Vec<Channel> {
    let one: Vec<_> = WORDS.iter().map(|word| format!("/{word}")).collect();
    let longer = |of: &[String]| -> Vec<String> {
        of.iter().flat_map(|start| WORDS.iter().map(move |word| format!("{start}/{word}"))).collect()
    };
    let two = longer(&one);
    let three = longer(&two);
    [one, two, three].concat().iter().map(|text| channel(text)).collect()
}

fn all_patterns() -> Vec<Pattern> {
    let of = |start: &Channel| [format!("{start}/*"), format!("{start}/**"), start.to_string()];
    let prefixes = all_channels().into_iter().filter(|channel| channel.segments().count() < 3);
    let texts = prefixes.flat_map(|channel| of(&channel)).chain(["/*".to_owned(), "/**".to_owned()]);
    texts.map(|text| pattern(&text)).collect()
}

fn name(route: &Route) -> usize {
    route.name().trim_start_matches('r').parse().unwrap()
}

/// The owner of a channel by the naive matcher; the precedence of several must differ.
fn naive_owner(plans: &[Naive], channel: &Channel) -> Option<usize> {
    let matching = plans.iter().enumerate().filter(|(_, plan)| plan.matches(channel.as_str()));
    let mut matching: Vec<_> = matching.map(|(n, plan)| (&plan.precedence, n)).collect();
    matching.sort();
    if let [(first, _), (second, _), ..] = matching.as_slice() {
        assert!(first < second, "{channel} has one owner");
    }
    matching.first().map(|(_, n)| *n)
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let near = "[ab :/~-]{1,7}".prop_map(String::into_bytes);
    prop_oneof![4 => near, 1 => any::<String>().prop_map(String::into_bytes), 1 => any::<Vec<u8>>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn every_channel_has_the_owner_that_a_naive_matcher_finds((table, plans) in tables()) {
        for channel in all_channels() {
            let owner = table.owner(&channel).map(|route| name(route));
            prop_assert_eq!(owner, naive_owner(&plans, &channel), "{} {:?}", channel, plans);
        }
    }

    #[test]
    fn a_pattern_covers_what_a_naive_matcher_says((table, plans) in tables()) {
        // Naively: every channel on its own.
        let owners: Vec<_> = all_channels().into_iter().map(|channel| {
            let owner = naive_owner(&plans, &channel).filter(|n| !plans[*n].closed);
            // A channel that no record can be on is nobody's: its publish says so.
            let target = owner.and_then(|n| Some((n, table.target(&channel).ok()?.topic)));
            (channel, target)
        }).collect();
        for pattern in all_patterns() {
            let covering = table.covering(&pattern);
            let covers = |n: usize, topic: &str| covering.iter().any(|coverage| name(&coverage.route) == n
                && match &coverage.reads {
                    Reads::Local => false,
                    Reads::Topics { literal, template, .. } => literal.iter().any(|known| **known == *topic)
                        || template.as_ref().is_some_and(|template| template.matches(topic)),
                });
            let mut expected = BTreeSet::new();
            for (channel, target) in owners.iter().filter(|(channel, _)| pattern.matches(channel)) {
                if let Some((n, topic)) = target {
                    prop_assert!(covers(*n, topic), "{} is on {} {:?}", channel, pattern, plans);
                    expected.insert(*n);
                }
            }
            let found: BTreeSet<_> = covering.iter().map(|coverage| name(&coverage.route)).collect();
            if pattern.as_channel().is_some() {
                prop_assert_eq!(found, expected, "{} {:?}", pattern, plans);
            }
        }
    }

    #[test]
    fn a_channel_made_from_a_record_leads_back(
        (table, _) in tables(), topic in "t[0-2](\\.[ab-]{1,2})?", keys in proptest::collection::vec(key(), 8),
    ) {
        for key in keys {
            for routed in routed(&table, &record(&topic, Some(&key), Some(b"1"))) {
                let Ok(channel) = routed.result else { continue };
                prop_assert_eq!(table.owner(&channel).map(|route| name(route)), Some(name(&routed.route)));
                let target = table.target(&channel).unwrap();
                prop_assert_eq!(&*target.topic, &*topic);
                if routed.route.key().is_some() {
                    prop_assert_eq!(target.key.as_deref(), Some(&*key));
                } else {
                    prop_assert_eq!(target.key, None);
                }
                // And whoever subscribes to it reads it.
                let covering = table.covering(&channel.into());
                prop_assert_eq!(covering.len(), 1);
                match &covering[0].reads {
                    Reads::Topics { literal, .. } => prop_assert!(literal.iter().any(|known| **known == *topic)),
                    Reads::Local => prop_assert!(false),
                }
            }
        }
    }

    #[test]
    fn a_publish_that_is_accepted_comes_back_on_its_channel((table, _) in tables()) {
        for channel in all_channels() {
            match table.target(&channel) {
                Ok(target) => {
                    let record = record(&target.topic, target.key.as_deref(), Some(b"1"));
                    let routed = routed(&table, &record);
                    let back = routed.iter().filter(|routed| routed.result.as_ref() == Ok(&channel)).count();
                    prop_assert_eq!(back, usize::from(target.route.can_subscribe()), "{} {:?}", channel, routed);
                }
                Err(TargetError::UnknownChannel) => prop_assert!(table.owner(&channel).is_none()),
                Err(TargetError::Invalid { .. }) => {}
                Err(TargetError::NotPublishable) => prop_assert!(false, "all are open"),
            }
        }
    }
}

/// Formats of keys, each with keys that are of it.
fn formatted() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    prop_oneof![
        any::<i64>().prop_map(|n| ("long", n.to_be_bytes().to_vec())),
        any::<i32>().prop_map(|n| ("int", n.to_be_bytes().to_vec())),
        any::<u128>().prop_map(|n| ("uuid", uuid::Uuid::from_u128(n).to_string().into_bytes())),
        any::<Vec<u8>>().prop_map(|bytes| ("bytes", bytes)),
        any::<String>().prop_map(|text| ("text", text.into_bytes())),
        any::<i64>().prop_map(|n| ("json", n.to_string().into_bytes())),
        "[^0-9-].*".prop_map(|text| ("json", serde_json::to_vec(&text).unwrap())),
    ]
}

proptest! {
    #[test]
    fn keys_of_every_format_lead_back((format, key) in formatted(), deep in any::<bool>()) {
        let variable = if deep { "{x**}" } else { "{x}" };
        let table = table(&format!(
            "routes: [{{ name: r0, channel: \"/k/{variable}\", topic: t, key: \"{variable}\", key_format: {format}, \
             partitioner: crc32, publish: }}]"
        ));
        let routed = routed(&table, &record("t", Some(&key), None));
        match &routed[0].result {
            Ok(channel) => {
                let target = table.target(channel).unwrap();
                prop_assert_eq!(target.key.as_deref(), Some(key.as_slice()));
                let covering = table.covering(&channel.clone().into());
                let Reads::Topics { key: fixed, .. } = &covering[0].reads else { panic!() };
                let partition = fixed.as_ref().map(|fixed| fixed.partition(12));
                prop_assert_eq!(partition, (format != "json").then(|| target.partition(channel, 12)));
            }
            Err(error) => {
                let text = String::from_utf8_lossy(&key);
                prop_assert!(
                    key.is_empty() || (deep && format!("/{text}/").contains("//"))
                        || (deep && format == "json" && text.contains('/')),
                    "{} {:?}", error, key
                );
            }
        }
    }
}
