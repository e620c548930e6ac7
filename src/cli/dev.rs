//! `halley dev`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::source::Source;
use crate::config::Settings;
use crate::gateway::sample::{ASKED, EVERY_MS, SampleFeed, TOPICS};
use crate::gateway::{Gateway, Loaded, MakeFallback, demo, load, sample_routes};
use crate::kafka::{self, Catalog, DevBroker, Write, Writer};
use crate::route::Partitioner;
use crate::{telemetry, transport};

/// Tokens of the sample feed's records name no shard, so that nobody is told of their fate.
const NOBODY: u64 = u64::MAX;

/// Try Halley: an embedded Kafka broker, sample routes, a live sample feed and a demo page
///
/// Listens on loopback only, unless settings say otherwise. With `kafka.bootstrap.servers` set it uses that cluster
/// instead of the embedded broker, where the sample topics must exist (prices orders.eu orders.us orders.apac logs chat inbox).
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  halley dev                                                    then open http://127.0.0.1:8080/
  halley dev -s mappings=my/                                    your routes (their topics have to be among the samples)
  halley dev -s kafka.bootstrap.servers=localhost:9092          your cluster, with the sample feed
  halley tail '/prices/*'                                       in another terminal: what subscribers see"
)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// The folder of the demo page; cometd.js is looked for in its `node_modules`
    #[arg(long, value_name = "FOLDER", default_value = "demo")]
    demo: PathBuf,
    /// Leave out the sample feed
    #[arg(long)]
    no_feed: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    // Outside the source tree there may be no mappings; the binary brings the samples along.
    match load(args.source.options(), Some(sample_routes))
        .map_err(Into::into)
        .and_then(|loaded| dev(loaded, args))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

fn dev(mut loaded: Loaded, args: &Args) -> anyhow::Result<()> {
    telemetry::logs::init(&loaded.settings.log)?;
    stay_local(&mut loaded.settings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let broker = embedded_broker(&mut loaded).await?;
        let scheme = if loaded.tls.is_some() { "https" } else { "http" };
        let gateway = Gateway::start(loaded, &page(&args.demo))?;
        for address in gateway.addresses() {
            say(&format!("Halley is at {scheme}://{address}/"));
        }
        if !args.no_feed {
            tokio::spawn(feed(gateway.writer().clone(), gateway.catalog().clone()));
        }
        super::serve::until_told(gateway).await?;
        drop(broker);
        Ok(())
    })
}

/// The defaults listen to the world; a trial need not.
fn stay_local(settings: &mut Settings) {
    let defaults = Settings::default();
    let local = |address: SocketAddr| SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    if settings.listen == defaults.listen {
        settings.listen.iter_mut().for_each(|address| *address = local(*address));
    }
    if settings.admin == defaults.admin {
        settings.admin = local(settings.admin);
    }
}

/// Starts the broker, unless the settings name a cluster.
async fn embedded_broker(loaded: &mut Loaded) -> anyhow::Result<Option<DevBroker>> {
    const SERVERS: &str = "bootstrap.servers";
    let properties = &mut loaded.settings.kafka.0;
    if properties.get(SERVERS) != Settings::default().kafka.0.get(SERVERS) {
        return Ok(None);
    }
    let broker = DevBroker::start().await?;
    for (topic, partitions) in TOPICS.into_iter().chain(ASKED) {
        broker.create_topic(topic, partitions);
    }
    properties.insert(SERVERS.into(), broker.bootstrap());
    loaded.kafka = kafka::Config::new(properties.clone(), loaded.settings.publish.timeout)
        .map_err(|_| anyhow::anyhow!("the embedded broker's address is no {SERVERS}"))?;
    Ok(Some(broker))
}

fn page(folder: &Path) -> MakeFallback {
    let folder = folder.to_owned();
    Arc::new(move |settings| {
        let folder = folder.clone();
        transport::files(settings, move |path| {
            let asset = demo::asset(&folder, path)?;
            let body = match asset.body {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            };
            Some((asset.content_type, body))
        })
    })
}

/// Produces the sample records as they come due.
async fn feed(writer: Writer, catalog: Catalog) {
    let mut samples = SampleFeed::new(now().unsigned_abs(), now());
    let mut timer = tokio::time::interval(Duration::from_millis(EVERY_MS.unsigned_abs()));
    let mut absent = BTreeSet::new();
    loop {
        timer.tick().await;
        for record in samples.next(now()) {
            let Ok(Some(partitions)) = catalog.lookup(record.topic).await else {
                if absent.insert(record.topic) {
                    tracing::warn!(topic = record.topic, "no such topic for the sample feed");
                }
                continue;
            };
            let headers: Vec<(&str, Option<&[u8]>)> =
                record.headers.iter().map(|(name, value)| (*name, Some(value.as_bytes()))).collect();
            let key = record.key.as_bytes();
            let write = Write {
                topic: record.topic,
                partition: Partitioner::Murmur2.partition(key, partitions),
                key: Some(key),
                value: Some(&record.value),
                headers: &headers,
                token: NOBODY,
            };
            if let Err(error) = writer.send(&write) {
                tracing::debug!(%error, topic = record.topic, "sample record not sent");
            }
        }
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Tells the person at the terminal.
fn say(line: &str) {
    use std::io::Write as _;
    // Whoever closed standard output does not want to know.
    let _ = writeln!(std::io::stdout(), "{line}");
}
