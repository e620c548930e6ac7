//! Very many connections at the same moment.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::eventually;
use crate::support::http::Http;
use crate::witnesses::{Bounds, Scene};

#[test]
fn ten_thousand_connections_at_once_are_all_answered() {
    const THREADS: usize = 16;
    const COUNT: usize = 10_000;
    /// What each may take at most, on its way in.
    const EACH: u64 = 20 * 1024;
    // A poll is answered, and the next one read, when it is its turn among the thousands.
    let bounds = Bounds { memory: COUNT as u64 * EACH, delay: Duration::from_millis(400) };
    let most = open_files("hard");
    assert!(most > COUNT + 500, "this test needs more open files than {most}: ulimit -Hn");
    // As programs are usually started: the gateway must help itself.
    let scene = Scene::with("", || set_open_files(1024));
    set_open_files(most);
    let (arrived, all) = scene.watch("10,000 connections at once", bounds, |scene| {
        let addr = scene.gateway.addr();
        let together = Barrier::new(THREADS);
        let begin = Instant::now();
        let all: Vec<Vec<Http>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let together = &together;
                    scope.spawn(move || {
                        together.wait();
                        arrive(addr, thread, COUNT / THREADS)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let arrived = begin.elapsed();
        eventually(Duration::from_secs(5), "all of them are there", || {
            scene.count("halley_sessions", &[]) == COUNT + 2
        });
        // The others must not mind that they are there, either.
        std::thread::sleep(Duration::from_secs(2));
        (arrived, all)
    });
    drop(all);
    eventually(Duration::from_secs(10), "they are gone when they are gone", || {
        scene.count("halley_connections", &[]) == 0
    });
    println!("    all had connected after {:.1} s", arrived.as_secs_f64());
}

/// Opens connections, handshakes on each, connects once, and leaves a connect held on each.
fn arrive(addr: SocketAddr, thread: usize, count: usize) -> Vec<Http> {
    let until = Instant::now() + Duration::from_secs(30);
    // One source address has 28,000 ports at most, and other tests used some.
    let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(thread).unwrap()), 0));
    let mut all: Vec<Http> = (0..count)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&source.into()).unwrap();
            socket.connect(&addr.into()).unwrap();
            Http::over(socket.into()).unwrap()
        })
        .collect();
    let handshake = json!([{ "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"] }]);
    for http in &mut all {
        http.send_post("/cometd", &[], handshake.to_string().as_bytes()).unwrap();
    }
    let mut connects = Vec::new();
    for http in &mut all {
        let reply = http.response(until).expect("a handshake is answered").json();
        assert_eq!(reply[0]["successful"], true, "{reply}");
        let connect = json!([{
            "channel": "/meta/connect",
            "clientId": reply[0]["clientId"],
            "connectionType": "long-polling",
        }]);
        let connect = connect.to_string();
        http.send_post("/cometd", &[], connect.as_bytes()).unwrap();
        connects.push(connect);
    }
    for (http, connect) in all.iter_mut().zip(connects) {
        let reply = http.response(until).expect("a connect is answered").json();
        assert_eq!(reply[0]["successful"], true, "{reply}");
        http.send_post("/cometd", &[], connect.as_bytes()).unwrap();
    }
    all
}

/// The soft or hard limit of open files of this process.
fn open_files(limit: &str) -> usize {
    let output = prlimit(&["--nofile", "--noheadings", "--raw", "--output", limit]);
    String::from_utf8(output).unwrap().trim().parse().unwrap()
}

/// Sets the soft limit, which children inherit.
fn set_open_files(limit: usize) {
    prlimit(&[&format!("--nofile={limit}:")]);
}

fn prlimit(arguments: &[&str]) -> Vec<u8> {
    let pid = std::process::id().to_string();
    let output =
        Command::new("prlimit").args(["--pid", &pid]).args(arguments).output().expect("prlimit runs");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}
