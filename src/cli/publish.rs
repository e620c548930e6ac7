//! `halley publish`: publish on a channel.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::server::{self, Server};
use crate::client::{Client, News};

/// Publishes that are not confirmed yet, at most; more lines are read as replies come.
const WINDOW: usize = 64;

/// Publish on a channel
///
/// Publishes as any client would, to Halley or to any other Bayeux server, and waits for the confirmation: with Halley
/// the record is in Kafka then. Says nothing if all went well; status 1 if anything was refused.
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  halley publish /chat/lobby '{\"text\":\"hello\"}'        DATA is JSON
  halley publish /chat/lobby '\"hello\"'                 a text is a JSON string: mind the quotes
  halley publish /chat/lobby - < lines.jsonl           one publish a line, in their order
  halley tail /a | jq -c .data | halley publish --url http://other:8080/cometd /b -"
)]
pub(super) struct Args {
    #[command(flatten)]
    server: Server,
    /// The channel, such as /chat/lobby
    #[arg(value_parser = server::channel)]
    channel: String,
    /// JSON, or - for one JSON text a line from standard input
    #[arg(allow_hyphen_values = true)]
    data: String,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match server::block_on(publish(args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => super::fail(&error),
    }
}

/// Whether everything was published.
async fn publish(args: &Args) -> anyhow::Result<bool> {
    let mut work = Work { unconfirmed: BTreeMap::new(), good: true };
    if args.data != "-" {
        let data = json(&args.data)?;
        let mut client = args.server.open(&[]).await?;
        work.unconfirmed.insert(client.publish(&args.channel, data), args.channel.clone());
        while !work.unconfirmed.is_empty() {
            work.news(client.news().await?)?;
        }
        client.close().await;
        return Ok(work.good);
    }
    let mut client = args.server.open(&[]).await?;
    work.lines(&mut client, &args.channel).await?;
    client.close().await;
    Ok(work.good)
}

/// What is under way.
struct Work {
    /// The names, for people, of publishes by their number.
    unconfirmed: BTreeMap<u64, String>,
    good: bool,
}

// === impl Work ===

impl Work {
    /// Publishes the lines of standard input and awaits what becomes of them.
    async fn lines(&mut self, client: &mut Client, channel: &str) -> anyhow::Result<()> {
        let mut lines = lines();
        let mut number = 0_u64;
        let mut more = true;
        while more || !self.unconfirmed.is_empty() {
            tokio::select! {
                line = lines.recv(), if more && self.unconfirmed.len() < WINDOW => {
                    let Some(line) = line.transpose()? else {
                        more = false;
                        continue;
                    };
                    number += 1;
                    if line.trim().is_empty() {
                        continue;
                    }
                    match json(&line) {
                        Ok(data) => {
                            let publish = client.publish(channel, data);
                            self.unconfirmed.insert(publish, format!("line {number}"));
                        }
                        Err(error) => self.bad(&format!("line {number}: {error}")),
                    }
                }
                news = client.news() => self.news(news?)?,
            }
        }
        Ok(())
    }

    fn news(&mut self, news: News) -> anyhow::Result<()> {
        match news {
            News::Published(number) => {
                self.unconfirmed.remove(&number);
            }
            News::Refused(number, why) => {
                let name = self.unconfirmed.remove(&number).unwrap_or_default();
                self.bad(&format!("halley: {name}: {why}"));
            }
            // What was under way is unknown now; what was not sent is better sent by whoever knows what to do about that.
            News::Lost(why) if !why.starts_with("402") => anyhow::bail!("{why}"),
            News::Lost(_) | News::Event { .. } | News::Subscribed(_) | News::Closed => {}
        }
        Ok(())
    }

    fn bad(&mut self, what: &str) {
        super::complain(what);
        self.good = false;
    }
}

/// The lines of standard input, read by a thread that nobody waits for: it may be blocked in a read for ever.
fn lines() -> mpsc::Receiver<std::io::Result<String>> {
    let (read, lines) = mpsc::channel(WINDOW);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let failed = line.is_err();
            if read.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    lines
}

fn json(text: &str) -> anyhow::Result<Box<RawValue>> {
    RawValue::from_string(text.trim().to_owned()).map_err(|error| {
        anyhow::anyhow!("the data is not JSON: {error} (a text is quoted twice: '\"hello\"')")
    })
}
