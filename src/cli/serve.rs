//! `halley serve`.

use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::source::Source;
use crate::gateway::{Gateway, Loaded, MakeFallback, load};
use crate::{telemetry, transport};

/// Serve clients, by settings and mappings
///
/// Ends on SIGTERM or SIGINT: lets its clients go, awaits the publishes in flight, and exits with status 0 within `drain`.
/// With settings or mappings that are wrong it says everything that is, and exits with status 2.
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  halley serve                                                  halley.yaml of this folder; without one, the defaults
  halley serve -c prod.yaml -s log.format=json                  another file, and a setting over it
  HALLEY__KAFKA__BOOTSTRAP_SERVERS=kafka:9092 halley serve      a setting by the environment

A settings file:
  kafka: { bootstrap.servers: \"kafka-1:9092,kafka-2:9092\" }
  mappings: mappings/
  origins: [\"https://app.example.com\"]

A mapping file in mappings/:
  routes:
    - name: orders
      channel: \"/orders/{region}/{id}\"
      topic: \"orders.{region}\"
      key: \"{id}\""
)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match load(args.source.options(), None).map_err(Into::into).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

fn serve(loaded: Loaded) -> anyhow::Result<()> {
    telemetry::logs::init(&loaded.settings.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let nothing: MakeFallback = Arc::new(|settings| transport::files(settings, |_| None));
        until_told(Gateway::start(loaded, &nothing)?).await
    })
}

/// Serves until a signal says to end, then drains.
pub(super) async fn until_told(gateway: Gateway) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = gateway.failed() => anyhow::bail!("a thread ended unexpectedly"),
    }
    gateway.drain().await;
    Ok(())
}
