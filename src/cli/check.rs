//! `halley check`: are settings and mappings right?

use std::path::PathBuf;
use std::process::ExitCode;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::source::Source;
use super::{live, server};
use crate::config::{Log, Problem};
use crate::route::explain;
use crate::{gateway, telemetry};

/// Check settings and mappings, and print the table of routes
///
/// Without --live it looks at files only, never at Kafka. With settings or mappings that are wrong it says everything that is,
/// each on a line with file, line, column and what to do, and exits with status 2. Below the table it says which route owns
/// the channels that several match.
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  halley check                          halley.yaml of this folder and the mappings that it names
  halley check -c prod.yaml             another settings file
  halley check mappings/orders.yaml     mappings alone, without settings
  halley check --live                   also the cluster: missing topics, partitions, what ACLs deny; status 1 if something does not work"
)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// Compare the routes with the topics of the cluster; takes ten seconds at most
    #[arg(long, conflicts_with = "mappings")]
    live: bool,
    /// Mapping files or folders to check, instead of the settings and theirs
    #[arg(value_name = "PATH")]
    mappings: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let checked = if args.live { check_live(args) } else { check(args) };
    checked.unwrap_or_else(|error| super::fail(&error))
}

fn check(args: &Args) -> anyhow::Result<ExitCode> {
    let checked = args.source.routes(&args.mappings)?;
    warn(&checked.warnings);
    super::say(&explain::table(&checked.table));
    super::say(&explain::overlaps(&checked.table));
    Ok(ExitCode::SUCCESS)
}

fn check_live(args: &Args) -> anyhow::Result<ExitCode> {
    let loaded = gateway::load(args.source.options(), None)?;
    // Why Kafka cannot be reached (a password, a certificate) is what librdkafka logs.
    let level = Targets::new().with_default(LevelFilter::WARN);
    telemetry::logs::init(&Log { level, ..loaded.settings.log })?;
    warn(&loaded.warnings);
    super::say(&explain::table(&loaded.routes));
    super::say(&explain::overlaps(&loaded.routes));
    let report = server::block_on(async { Ok(live::compare(&loaded.routes, &loaded.kafka).await?) })?;
    super::say(&format!("\n{}", report.text));
    Ok(if report.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn warn(warnings: &[Problem]) {
    for warning in warnings {
        super::complain(&format!("warning: {warning}"));
    }
}
