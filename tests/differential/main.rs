//! The same scripts against Halley, the CometD server and Faye. What they answer differently is written down, with the reason, in
//! `docs/conformance.md`; a difference that is new fails this test, and so does one that is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod compare;
mod peer;
mod play;
mod script;

use std::path::Path;

use compare::{Other, Run};
use peer::Peer;
use script::Script;

const PAGE: &str = "docs/conformance.md";

/// With `UPDATE` in the environment it writes the differences instead.
#[test]
fn what_others_answer_is_known() {
    let scripts = script::parse(include_str!("scripts.txt"));
    let peers = [Peer::halley(), Peer::cometd(), Peer::faye()];
    let [halley, cometd, faye] = std::thread::scope(|scope| {
        let playing = peers.each_ref().map(|peer| {
            let at = peer.at;
            let all: Vec<_> =
                scripts.iter().map(|script| scope.spawn(move || play::play(at, script))).collect();
            all
        });
        playing.map(|all| all.into_iter().map(|one| one.join().expect("a script is played")).collect())
    });
    let run = Run { scripts: &scripts, halley, others: [(Other::Cometd, cometd), (Other::Faye, faye)] };
    let new = run.page().unwrap_or_else(|wrong| panic!("\n{}\n", wrong.join("\n")));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let (begin, end) = ("<!-- begin differences -->\n", "<!-- end differences -->");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(begin).unwrap();
    let (old, after) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{begin}{new}{end}{after}")).unwrap();
        return;
    }
    let changed: Vec<&str> = new
        .lines()
        .filter(|line| !old.contains(line))
        .chain(old.lines().filter(|line| !new.contains(line)))
        .collect();
    assert!(
        old == new,
        "UPDATE=1 cargo test --release --test differential brings {PAGE} up to date:\n{}",
        changed.join("\n")
    );
}

/// What a script says when it is wrong is said before anything runs.
#[test]
fn a_wrong_script_is_found() {
    for wrong in ["a.http > [1]", "== x: y\na.tcp > []", "== x: y\na.http ~ []", "== x: y\n! cometd: why"] {
        assert!(std::panic::catch_unwind(|| script::parse(wrong)).is_err(), "{wrong}");
    }
    let scripts: Vec<Script> = script::parse("# c\n== x: y\na.http > []\n! faye: why\nwait 5\na.ws2 >> []\n");
    assert_eq!(scripts.len(), 1);
    assert_eq!(scripts[0].steps.len(), 3);
    assert_eq!(scripts[0].steps[0].why(Other::Faye), Some("why"));
    assert_eq!(scripts[0].steps[0].why(Other::Cometd), None);
}
