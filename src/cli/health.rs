//! `halley health`: is a gateway well? For health checks of containers that have nothing else to ask with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use super::server;
use super::source::Source;
use crate::config;
use crate::net::{Client, Target, Url};

/// Longer than a gateway that is well ever takes, shorter than the usual patience of health checks.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ask a running gateway whether it is ready; status 0 if so, else 1
///
/// Asks /readyz of the admin address, which it takes from the same settings as `halley serve`.
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  halley health                                           the gateway of these settings
  halley health --live                                    whether it lives, which it also does while it drains
  halley health --url http://10.0.0.7:9080/readyz         another one

In a Dockerfile:
  HEALTHCHECK CMD [\"/usr/local/bin/halley\", \"health\"]"
)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// Ask /healthz: does it live?
    #[arg(long, conflicts_with = "url")]
    live: bool,
    /// What to ask instead
    #[arg(long, value_parser = Url::parse)]
    url: Option<Url>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match health(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => super::fail(&error),
    }
}

/// Whether the answer is good; prints it.
fn health(args: &Args) -> anyhow::Result<bool> {
    let url = if let Some(url) = &args.url {
        url.clone()
    } else {
        let admin = reachable(config::load(args.source.options())?.admin);
        let path = if args.live { "healthz" } else { "readyz" };
        Url::parse(&format!("http://{admin}/{path}"))?
    };
    let target = Target::new(url, None, Vec::new())?;
    let answer = server::block_on(async { Ok(Client::new(target).get(PATIENCE).await?) })?;
    super::say(&format!("{}\n", String::from_utf8_lossy(&answer.body).trim_end()));
    Ok(answer.status == 200)
}

/// Where to connect for what listens there.
fn reachable(mut listening: SocketAddr) -> SocketAddr {
    match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listening.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listening.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listening
}
