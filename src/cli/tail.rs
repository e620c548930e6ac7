//! `halley tail`: print what is published.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};

use super::server::{self, Server};
use crate::client::News;

/// Print the events of channels, one JSON object a line
///
/// Subscribes as any client would, to Halley or to any other Bayeux server, and prints what comes until it is interrupted.
/// What is not an event (subscribed, connection lost) goes to standard error. Where the connection or the session is lost
/// it connects and subscribes again, and says so: events in between may be missing.
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  halley tail /prices/ACME                      what is published on one channel, from now on
  halley tail '/orders/eu/*' '/chat/**'         patterns: one more segment, any number of them
  halley tail -n 1 /prices/ACME                 the next event, then end
  halley tail /prices/ACME | jq .data.price     one JSON object a line: {\"channel\":…,\"data\":…}
  halley tail --url http://push.example.com/faye --transport long-polling /news"
)]
pub(super) struct Args {
    #[command(flatten)]
    server: Server,
    /// End after so many events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    events: Option<u64>,
    /// Print the channel on one line and the data, indented, below it
    #[arg(long)]
    pretty: bool,
    /// Channels or patterns: /prices/ACME, /orders/eu/*, /chat/**
    #[arg(required = true, value_name = "CHANNEL", value_parser = server::pattern)]
    channels: Vec<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match server::block_on(tail(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

async fn tail(args: &Args) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut client = tokio::select! {
        client = args.server.open(&args.channels) => client?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let mut left = args.events.unwrap_or(u64::MAX);
    while left > 0 {
        let news = tokio::select! {
            news = client.news() => news?,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        match news {
            News::Event { channel, data } => {
                // Who closed standard output wants no more.
                if print(args.pretty, &channel, &data).is_err() {
                    break;
                }
                left -= 1;
            }
            News::Subscribed(channel) => {
                super::complain(&format!("subscribed to {channel} ({})", client.transport().name()));
            }
            News::Lost(why) => super::complain(&format!("halley: {why}; connecting again")),
            News::Published(_) | News::Refused(..) | News::Closed => {}
        }
    }
    client.close().await;
    Ok(())
}

fn print(pretty: bool, channel: &str, data: &RawValue) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if pretty {
        writeln!(out, "{channel}\n{}", indented(data.get()))?;
    } else {
        let channel = serde_json::to_string(channel)?;
        // Line breaks between the tokens of JSON mean nothing; within strings there are none.
        let data = data.get().replace(['\n', '\r'], " ");
        writeln!(out, "{{\"channel\":{channel},\"data\":{data}}}")?;
    }
    out.flush()
}

/// JSON over several lines. Only the space between its tokens changes: numbers and strings stay as they were written.
fn indented(json: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped, mut opened) = (String::new(), 0, false, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    for c in json.chars() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if opened && !closes {
            line(&mut out, depth);
        }
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !opened {
                    line(&mut out, depth);
                }
            }
            '"' => quoted = true,
            _ => {}
        }
        opened = matches!(c, '{' | '[');
        out.push(c);
        match c {
            ',' => line(&mut out, depth),
            ':' => out.push(' '),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_space_changes() {
        let told = indented(r#"{"a":1.50,"b":[ ],"c":{},"d":[12345678901234567890, "x\\",{"{\"y\"":null}]}"#);
        let expected = r#"{
  "a": 1.50,
  "b": [],
  "c": {},
  "d": [
    12345678901234567890,
    "x\\",
    {
      "{\"y\"": null
    }
  ]
}"#;
        assert_eq!(told, expected);
        assert_eq!(indented("-1e3"), "-1e3");
    }
}
