//! Routes from the outside: mapping files in, channels and records out.

mod directions;
mod explain;
mod problems;
mod properties;

use std::path::Path;
use std::sync::Arc;

use super::{Checked, RouteTable, Routed, Source, parse};
use crate::bayeux::{Channel, Pattern};
use crate::stream::RawRecord;

fn checked(text: &str) -> Checked {
    parse(&[Source { file: Path::new("routes.yaml"), text }]).unwrap_or_else(|problems| panic!("{problems}"))
}

fn table(text: &str) -> RouteTable {
    checked(text).table
}

fn channel(text: &str) -> Channel {
    Channel::parse(text).unwrap()
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn record<'a>(topic: &'a str, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> RawRecord<'a> {
    RawRecord {
        topic,
        partition: 3,
        offset: 41,
        timestamp: Some(1_700_000_000_000),
        key,
        value,
        headers: &[],
    }
}

fn routed(table: &RouteTable, record: &RawRecord<'_>) -> Vec<Routed> {
    let mut out = Vec::new();
    if let Some(plan) = table.topic(record.topic) {
        plan.channels_of(record, &mut out);
    }
    out
}

/// The channels of a record, or the reasons why there is none, as one text.
fn channels(table: &RouteTable, record: &RawRecord<'_>) -> String {
    let shown = |routed: &Routed| match &routed.result {
        Ok(channel) => channel.to_string(),
        Err(error) => error.reason().to_owned(),
    };
    routed(table, record).iter().map(shown).collect::<Vec<_>>().join(" ")
}

fn names(routes: impl IntoIterator<Item = Arc<super::Route>>) -> Vec<String> {
    routes.into_iter().map(|route| route.name().to_string()).collect()
}
