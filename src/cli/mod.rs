//! The command line: one file a command.

mod check;
#[cfg(feature = "dev")]
mod dev;
mod health;
mod live;
mod publish;
mod route;
mod schema;
mod serve;
mod server;
mod source;
mod tail;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit status for settings or mappings that are wrong.
const BAD_CONFIGURATION: u8 = 2;

/// A gateway between browsers and Kafka: Bayeux (CometD, Faye) on one side, topics on the other.
#[derive(Parser)]
#[command(
    version,
    about,
    max_term_width = 120,
    after_help = "\
First steps:
  halley dev                      try it, without a cluster
  halley check                    are my settings and mappings right?
  halley route /orders/eu/42      where does this channel lead?
  halley serve                    serve clients
  halley tail '/orders/eu/*'      what do subscribers see?

halley help COMMAND has examples of each."
)]
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
    Schema(schema::Args),
    Tail(tail::Args),
    Publish(publish::Args),
    Health(health::Args),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        #[cfg(feature = "dev")]
        Command::Dev(args) => dev::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Route(args) => route::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Tail(args) => tail::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Health(args) => health::run(&args),
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
