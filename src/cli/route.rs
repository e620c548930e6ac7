//! `halley route`: where does a channel lead, and where does a record go?

use std::path::PathBuf;
use std::process::ExitCode;

use super::source::Source;
use crate::bayeux::Pattern;
use crate::route::explain::{self, Asked};

/// Explain what a channel reads and writes, or which channels a record goes to
///
/// Asks the routes alone, never Kafka. Goes through them in their order, the most specific first, and says for each whether it
/// takes the channel or record, and if not, why.
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  halley route /orders/eu/42                          who owns the channel, what a subscription reads, what a publish writes
  halley route '/orders/**'                           what a subscription to a pattern reads
  halley route --topic orders.eu --key 42 --value '{}'    the channel of a record, route by route
  halley route --mappings orders.yaml /orders/eu/42   routes that are not in use yet"
)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// Mapping files or folders, instead of those of the settings; may be repeated
    #[arg(long, value_name = "PATH")]
    mappings: Vec<PathBuf>,
    /// The channel or pattern, such as /orders/eu/42 or /orders/*
    #[arg(required_unless_present = "topic", conflicts_with = "topic")]
    channel: Option<String>,
    /// The topic of a record
    #[arg(long)]
    topic: Option<String>,
    /// The text of the record's key; without it the record has none
    #[arg(long, requires = "topic")]
    key: Option<String>,
    /// The record's value; without it the record is a tombstone
    #[arg(long, requires = "topic")]
    value: Option<String>,
    /// A header of the record; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", requires = "topic", value_parser = header)]
    headers: Vec<(String, String)>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn run(args: &Args) -> ExitCode {
    let table = match args.source.routes(&args.mappings) {
        Ok(checked) => checked.table,
        Err(problems) => return super::fail(&problems.into()),
    };
    let told = match (&args.channel, &args.topic) {
        (Some(channel), _) => match Pattern::parse(channel) {
            Ok(pattern) => explain::channel(&table, &pattern),
            Err(error) => {
                super::complain(&format!("{channel}: {error}"));
                return ExitCode::from(super::BAD_CONFIGURATION);
            }
        },
        (None, topic) => {
            let headers: Vec<(&str, Option<&[u8]>)> =
                args.headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_bytes()))).collect();
            explain::record(
                &table,
                &Asked {
                    topic: topic.as_deref().unwrap_or_default(),
                    key: args.key.as_deref(),
                    value: args.value.as_deref(),
                    headers: &headers,
                },
            )
        }
    };
    super::say(&told);
    ExitCode::SUCCESS
}
