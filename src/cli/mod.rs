//! The command line: one file a command.

#[cfg(feature = "dev")]
mod dev;
mod serve;
mod source;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit status for settings or mappings that are wrong.
const BAD_CONFIGURATION: u8 = 2;

/// A gateway between browsers and Kafka: Bayeux (CometD, Faye) on one side, topics on the other.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Args),
    #[cfg(feature = "dev")]
    Dev(dev::Args),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        #[cfg(feature = "dev")]
        Command::Dev(args) => dev::run(&args),
    }
}

/// Says what went wrong, one line each: status 2 for a configuration's problems, else 1.
fn fail(error: &anyhow::Error) -> ExitCode {
    use std::io::Write;
    // Where standard error is gone, nobody can be told.
    let _ = match error.downcast_ref::<crate::config::Problems>() {
        Some(problems) => writeln!(std::io::stderr(), "{problems}"),
        None => writeln!(std::io::stderr(), "halley: {error:#}"),
    };
    if error.is::<crate::config::Problems>() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::FAILURE }
}
