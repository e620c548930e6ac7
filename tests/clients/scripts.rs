//! Clients in Python.

use super::client::{Client, Step};
use super::scenario;
use crate::support::driver::{Driver, clients};
use crate::support::{cache, process};

fn aiocometd(package: &'static str, transport: &'static str) -> Client {
    let start = move |url: &str, transport: &str| {
        let mut python = process::command(cache().join("python-clients/bin/python"));
        python.arg(clients().join("python/driver.py")).args([package, url, transport]);
        Driver::start(python)
    };
    let name = match package {
        "aiocometd-ng" => "Python, `aiocometd-ng`",
        _ => "Python, `aiocometd-noloop`",
    };
    Client::new(name, transport, start)
}

const LOST: &str = "Its way to try again fails on Python 3.10 and newer: use `aiocometd-noloop`, which is the same without that.";
const SECONDS: &str = "It takes `advice.interval` for seconds. A gateway that goes down spreads its clients over some hundreds of \
     milliseconds; this one stays away for as many seconds. Start it anew when nothing comes for long.";

/// R9, B32: what can come back does.
#[test]
fn clients_in_python() {
    scenario::run(
        "scripts",
        vec![
            aiocometd("aiocometd-ng", "websocket")
                .fault(Step::Restart, LOST)
                .whim(Step::Expiry, LOST)
                .fault(Step::Drain, LOST),
            aiocometd("aiocometd-ng", "long-polling").fault(Step::Restart, LOST).whim(Step::Drain, SECONDS),
            aiocometd("aiocometd-noloop", "websocket").whim(Step::Drain, SECONDS),
            aiocometd("aiocometd-noloop", "long-polling").whim(Step::Drain, SECONDS),
        ],
    );
}
