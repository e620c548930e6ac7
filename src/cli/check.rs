//! `halley check`: are settings and mappings right?

use std::path::PathBuf;
use std::process::ExitCode;

use super::source::Source;
use crate::route::explain;

/// Check settings and mappings, and print the table of routes
///
/// Looks at files only, never at Kafka. With settings or mappings that are wrong it says everything that is, and exits with
/// status 2.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// Mapping files or folders to check, instead of the settings and theirs
    #[arg(value_name = "PATH")]
    mappings: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match args.source.routes(&args.mappings) {
        Ok(checked) => {
            for warning in checked.warnings {
                super::complain(&format!("warning: {warning}"));
            }
            super::say(&explain::table(&checked.table));
            ExitCode::SUCCESS
        }
        Err(problems) => super::fail(&problems.into()),
    }
}
