//! Routes told in words: for `halley check` and `halley route`.

use std::fmt::Write as _;
use std::slice;
use std::sync::Arc;

use super::cover::{Coverage, Reads};
use super::definition::Route;
use super::escape;
use super::plan::TopicPlan;
use super::table::RouteTable;
use super::template::Values;
use crate::bayeux::{Channel, Pattern, Wild};
use crate::codec::{KeyFormat, check_json, decode_key, encode_key};
use crate::config::duration_text;
use crate::stream::RawRecord;

/// A record as somebody asks about it: its key is a text, whatever the format of a route's keys.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The text of the key, for `key_format: json` also a JSON text.
    pub key: Option<&'a str>,
    /// The value's bytes.
    pub value: Option<&'a str>,
    /// Names and values of headers.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// All routes as a table, most specific first.
pub fn table(table: &RouteTable) -> String {
    const HEAD: [&str; 8] =
        ["ROUTE", "CHANNEL", "TOPIC", "KEY", "SUBSCRIBE", "PUBLISH", "KEY FORMAT", "VALUE FORMAT"];
    let head = HEAD.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(table.routes().iter().map(|route| row(route))).collect();
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn row(route: &Route) -> [String; 8] {
    let none = || "-".to_owned();
    let subscribe = match &route.subscribe {
        None => "no".to_owned(),
        Some(subscribe) => {
            let mut text = "latest".to_owned();
            if !subscribe.patterns {
                text.push_str(", no patterns");
            }
            if subscribe.warm {
                text.push_str(", warm");
            }
            text
        }
    };
    let publish = match &route.publish {
        None => "no",
        Some(publish) if publish.strict => "strict",
        Some(_) => "yes",
    };
    let publish = match &route.reply {
        Some(reply) => format!("{publish}, reply in {}", reply.topic),
        None => publish.to_owned(),
    };
    let formats = if route.is_local() {
        (none(), none())
    } else {
        (route.key_format().to_string(), route.value_format().to_string())
    };
    let topics = route.topics().collect::<Vec<_>>().join(", ");
    [
        route.name().to_string(),
        route.channel().to_owned(),
        if route.is_local() { "(local)".to_owned() } else { topics },
        route.key().map_or_else(none, str::to_owned),
        subscribe,
        publish,
        formats.0,
        formats.1,
    ]
}

/// Which route owns what, where channels of several have the same form; empty if none do.
pub fn overlaps(table: &RouteTable) -> String {
    let mut out = String::new();
    for (n, route) in table.routes().iter().enumerate() {
        for other in table.routes().iter().skip(n + 1).filter(|other| route.may_own_of(other)) {
            let matched = route.matches.iter().any(Option::is_some);
            let unless = if matched {
                format!("; where a match of {} fails, to {}", route.name(), other.name())
            } else {
                String::new()
            };
            let such = common(route, other).map_or_else(String::new, |channel| format!(" such as {channel}"));
            let _ = writeln!(
                out,
                "  channels{such} that are both {} and {} belong to {}, the more specific{unless}",
                route.channel(),
                other.channel(),
                route.name(),
            );
        }
    }
    if out.is_empty() { out } else { format!("\noverlaps:\n{out}") }
}

/// A channel that is one of both templates and belongs to `route`, if one is easily made.
fn common(route: &Route, other: &Route) -> Option<String> {
    let (ours, theirs) = (route.channel().split('/'), other.channel().split('/').map(Some));
    let segment = |(our, their): (&str, Option<&str>)| {
        let text = [Some(our), their].into_iter().flatten().find(|segment| !segment.contains('{'));
        text.unwrap_or("x").to_owned()
    };
    let segments: Vec<_> = ours.zip(theirs.chain(std::iter::repeat(None))).map(segment).collect();
    let channel = segments.join("/");
    (route.read(&channel).is_some() && other.read(&channel).is_some()).then_some(channel)
}

/// Both directions of a channel or pattern: who owns it, what a subscription reads, what a publish writes.
pub fn channel(table: &RouteTable, pattern: &Pattern) -> String {
    let mut out = format!("{pattern}\n");
    if let Some(channel) = pattern.as_channel() {
        let _ = writeln!(out, "\nroutes, most specific first:");
        owner(table, &channel, &mut out);
        let _ = writeln!(out, "\nsubscribe:");
        subscription(table, pattern, &mut out);
        let _ = writeln!(out, "\npublish:");
        publish(table, &channel, &mut out);
    } else {
        let _ = writeln!(out, "\nsubscribe:");
        subscription(table, pattern, &mut out);
        let _ = writeln!(out, "\npublish:\n  a publish names one channel, not a pattern");
    }
    out
}

fn owner(table: &RouteTable, channel: &Channel, out: &mut String) {
    for route in table.routes() {
        let mut values = Values::new(route.names.len());
        let said = if !route.channel.read(channel.as_str(), &mut values) {
            "no: its template does not match".to_owned()
        } else if let Some(denied) = denied(route, &values) {
            format!("no: {denied}")
        } else {
            let values = show(route, &values);
            let _ = writeln!(out, "  {}  {}  owns the channel{values}", route.name(), route.channel());
            return;
        };
        let _ = writeln!(out, "  {}  {}  {said}", route.name(), route.channel());
    }
    let _ = writeln!(out, "  none of them has this channel: 404:{channel}:unknown_channel");
    if channel.as_str().contains('~') {
        let _ = writeln!(out, "  (escapes count only where they are needed, and in upper case)");
    }
}

/// Which `match` keeps the values away.
fn denied(route: &Route, values: &Values<'_>) -> Option<String> {
    values.iter().find_map(|(id, value)| {
        let regex = route.matches.get(id)?.as_ref().filter(|regex| !regex.is_match(value))?;
        let pattern = regex.as_str();
        let pattern =
            pattern.strip_prefix(r"\A(?:").and_then(|rest| rest.strip_suffix(r")\z")).unwrap_or(pattern);
        Some(format!(
            "match {}: {pattern:?} does not allow {:?}",
            route.names.get(id),
            escape::display(value)
        ))
    })
}

fn show(route: &Route, values: &Values<'_>) -> String {
    let mut out = String::new();
    for (n, (id, value)) in values.iter().enumerate() {
        let before = if n == 0 { ": " } else { ", " };
        let _ = write!(out, "{before}{} = {:?}", route.names.get(id), escape::display(value));
    }
    out
}

fn subscription(table: &RouteTable, pattern: &Pattern, out: &mut String) {
    let covering = table.covering(pattern);
    for Coverage { route, reads } in &covering {
        let said = match reads {
            Reads::Local => "local, reads no topic".to_owned(),
            Reads::Topics { literal, template, key } => {
                let mut topics: Vec<String> = literal.iter().map(|name| format!("topic {name}")).collect();
                if template.is_some() {
                    let open = route.source.iter().flat_map(|source| &source.topics);
                    let open = open.filter(|topic| topic.literal().is_none());
                    topics.extend(open.map(|topic| format!("every topic like {}", topic.0)));
                }
                let partitions = match (key, route.partitioner()) {
                    (Some(key), Some(partitioner)) => {
                        format!("the one partition of key {:?} ({partitioner})", key_text(route, &key.key))
                    }
                    _ => "all partitions".to_owned(),
                };
                format!("reads {}, {partitions}", topics.join(" and "))
            }
        };
        let _ = writeln!(out, "  {}  {}  {said}", route.name(), route.channel());
    }
    if pattern.wild() != Wild::None {
        let kept = |route: &&Arc<Route>| {
            let mut values = Values::new(route.names.len());
            route.can_subscribe() && !route.has_patterns() && route.channel.meet(pattern, &mut values)
        };
        for route in table.routes().iter().filter(kept) {
            let _ = writeln!(out, "  {}  {}  no: subscribe.patterns is false", route.name(), route.channel());
        }
    }
    if pattern.is_service() {
        let _ = writeln!(out, "  nothing: a subscribe succeeds, and records nothing");
    } else if covering.is_empty() {
        let _ = writeln!(out, "  nothing: 404:{pattern}:unknown_channel");
    }
}

fn publish(table: &RouteTable, channel: &Channel, out: &mut String) {
    let target = match table.target(channel) {
        Ok(target) => target,
        Err(error) => {
            let _ = writeln!(out, "  no: {error}");
            return;
        }
    };
    if target.local {
        let _ = writeln!(out, "  {}  local: to the subscribers of this node", target.route.name());
        return;
    }
    let key = match &target.key {
        None => "no key".to_owned(),
        Some(key) => format!("{} key {:?}", target.route.key_format(), key_text(&target.route, key)),
    };
    let _ = writeln!(
        out,
        "  {}  writes to topic {}, {key}, {} value, partition by {} of the {}",
        target.route.name(),
        target.topic,
        target.route.value_format(),
        target.route.partitioner().unwrap_or_default(),
        if target.key.is_some() { "key" } else { "channel" },
    );
    for (name, value) in &target.headers {
        let _ = writeln!(out, "  header {name}: {:?}", escape::display(value));
    }
    if let Some(reply) = target.route.reply() {
        let _ = writeln!(
            out,
            "  header {}: a text of its own; header {}: {:?}\n  the reply is the record of topic {} with that {}, within {}",
            reply.correlation_header,
            reply.reply_topic_header,
            reply.topic,
            reply.topic,
            reply.correlation_header,
            duration_text(reply.timeout),
        );
    } else if channel.is_service() {
        let _ = writeln!(out, "  no reply but that Kafka has it");
    }
}

/// A key's bytes as templates see them.
fn key_text(route: &Route, key: &[u8]) -> String {
    let text = decode_key(route.key_format(), key).unwrap_or(key.into());
    escape::display(&text).into_owned()
}

/// Where a record goes, route by route.
pub fn record(table: &RouteTable, asked: &Asked<'_>) -> String {
    let mut out = format!("topic {}", asked.topic);
    if let Some(key) = asked.key {
        let _ = write!(out, ", key {key:?}");
    }
    let _ = writeln!(out, "\n\nroutes, most specific first:");
    let mut channels = Vec::new();
    for route in table.routes() {
        let said = match fate(table, route, asked) {
            Ok(channel) => {
                let said = format!("-> {channel}");
                channels.push(channel);
                said
            }
            Err(why) => format!("no: {why}"),
        };
        let _ = writeln!(out, "  {}  {}  {said}", route.name(), route.channel());
    }
    match channels.as_slice() {
        [] => out.push_str("\nchannels: none\n"),
        channels => {
            let channels: Vec<_> = channels.iter().map(Channel::as_str).collect();
            let _ = writeln!(out, "\nchannels: {}", channels.join(", "));
        }
    }
    out
}

/// The channel of a record on one route, or why there is none.
fn fate(table: &RouteTable, route: &Arc<Route>, asked: &Asked<'_>) -> Result<Channel, String> {
    let Some(source) = &route.source else { return Err("local, it has no topic".to_owned()) };
    let mut values = Values::new(route.names.len());
    if !source.topics.iter().any(|topic| topic.read(asked.topic, &mut values)) {
        return Err("it does not read this topic".to_owned());
    }
    if let Some(denied) = denied(route, &values) {
        return Err(denied);
    }
    if !route.can_subscribe() {
        return Err("not open for subscribing".to_owned());
    }
    let key = asked.key.map(|key| key_bytes(route.key_format(), key)).transpose()?;
    let record = RawRecord {
        topic: asked.topic,
        partition: 0,
        offset: 0,
        timestamp: None,
        key: key.as_deref(),
        value: asked.value.map(str::as_bytes),
        headers: asked.headers,
    };
    // Alone first: no other route owns anything then.
    let mut routed = Vec::new();
    if let Some(plan) = TopicPlan::new(slice::from_ref(route), asked.topic) {
        plan.channels_of(&record, &mut routed);
    }
    let channel = match routed.pop().map(|routed| routed.result) {
        None => return Err("match does not allow what the record says".to_owned()),
        Some(result) => result.map_err(|error| error.to_string())?,
    };
    match table.owner(&channel) {
        Some(owner) if !Arc::ptr_eq(owner, route) => {
            Err(format!("its channel would be {channel}, but that belongs to {}", owner.name()))
        }
        _ => Ok(channel),
    }
}

fn key_bytes(format: KeyFormat, key: &str) -> Result<Vec<u8>, String> {
    match format {
        KeyFormat::Json if check_json(key.as_bytes()).is_ok() => Ok(key.as_bytes().to_vec()),
        format => {
            encode_key(format, key.as_bytes()).map_err(|error| format!("{key:?} is no {format} key: {error}"))
        }
    }
}
