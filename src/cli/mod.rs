//! The command line: one file a command.

mod check;
#[cfg(feature = "dev")]
mod dev;
mod route;
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
    Check(check::Args),
    Route(route::Args),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        #[cfg(feature = "dev")]
        Command::Dev(args) => dev::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Route(args) => route::run(&args),
    }
}

/// Says what went wrong, one line each: status 2 for a configuration's problems, else 1.
fn fail(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<crate::config::Problems>() {
        Some(problems) => complain(&problems.to_string()),
        None => complain(&format!("halley: {error:#}")),
    }
    if error.is::<crate::config::Problems>() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::FAILURE }
}

/// Says it on standard error. Where that is gone, nobody can be told.
fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says it on standard output; who closed that wants no more.
fn say(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}
