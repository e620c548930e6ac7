//! Arrows between modules run one way, the pure ones name nothing that does I/O, and only one place knows each library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

/// Which modules a module may use. `config` and `telemetry` are at the bottom: see [`BOTTOM`].
const ARROWS: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("telemetry", &[]),
    ("bayeux", &[]),
    ("stream", &["bayeux"]),
    ("codec", &["bayeux"]),
    ("route", &["bayeux", "codec", "stream"]),
    ("hub", &["bayeux", "stream"]),
    ("kafka", &["stream"]),
    ("feed", &["hub", "kafka", "route", "codec", "stream", "bayeux"]),
    ("publish", &["kafka", "route", "codec", "bayeux", "stream"]),
    ("service", &["route", "codec", "bayeux", "stream"]),
    ("net", &[]),
    ("transport", &["hub", "net", "bayeux", "stream"]),
    ("admin", &["net"]),
    // The other side of the wire, for the tools of the command line: it shares nothing with the server but sockets.
    ("client", &["net"]),
    (
        "gateway",
        &[
            "admin",
            "bayeux",
            "codec",
            "feed",
            "hub",
            "kafka",
            "net",
            "publish",
            "route",
            "service",
            "stream",
            "transport",
        ],
    ),
    (
        "cli",
        &[
            "admin",
            "bayeux",
            "client",
            "codec",
            "feed",
            "gateway",
            "hub",
            "kafka",
            "net",
            "publish",
            "route",
            "stream",
            "transport",
        ],
    ),
    ("main", &["cli"]),
];

/// Anyone may use these; `telemetry` uses `config`, `config` nothing.
const BOTTOM: &[&str] = &["config", "telemetry"];

/// Time and randomness are parameters, input and output are values.
const PURE: &[&str] = &["bayeux", "route", "codec", "stream", "hub", "service"];

/// What the pure modules never name.
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["rdkafka"],
    &["hyper"],
    &["hyper_util"],
    &["rand"],
    &["getrandom"],
    &["mpsc"],
    &["Instant", "::", "now"],
    &["SystemTime", "::", "now"],
    &["std", "::", "fs"],
    &["std", "::", "env"],
    &["std", "::", "thread"],
    &["TcpStream"],
    &["TcpListener"],
];

/// A library and the modules that may name it.
const KNOWN_ONLY_TO: &[(&str, &[&str])] = &[
    ("rdkafka", &["kafka"]),
    ("hyper", &["net", "transport", "proxy", "admin"]),
    ("hyper_util", &["net", "transport", "proxy", "admin"]),
    ("krafka", &["kafka"]),
    ("rustls", &["net", "kafka"]),
    ("flate2", &["stream", "transport"]),
];

#[test]
fn the_arrows_hold() {
    let mut found = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&src);
    assert!(files.len() > 10, "the sources are looked at");
    for file in &files {
        let path = file.strip_prefix(&src).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        found.extend(
            violations(path, &text).into_iter().map(|what| format!("src/{}: {what}", path.display())),
        );
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_planted_violation_is_found() {
    for (path, code, expected) in [
        ("hub/mod.rs", "use crate::kafka::Reader;", "hub uses kafka"),
        ("hub/a/b.rs", "fn f() { let x = crate::feed::new(); }", "hub uses feed"),
        ("hub/mod.rs", "use crate::{bayeux::Channel, transport::{self, Conn}};", "hub uses transport"),
        ("hub/mod.rs", "use crate::{\n    bayeux,\n    net,\n};", "hub uses net"),
        ("hub/mod.rs", "use super::publish;", "hub uses publish"),
        ("hub/outbox.rs", "use super::super::publish;", "hub uses publish"),
        ("hub/outbox.rs", "use crate::*;", "hub uses *"),
        ("stream/seam.rs", "pub(in crate::route) fn f(r: &crate::route::RouteTable) {}", "stream uses route"),
        ("kafka/reader.rs", "use halley::hub::Shard;", "kafka uses hub"),
        ("transport/ws.rs", "type T = crate  ::  kafka::Reader;", "transport uses kafka"),
        ("config/mod.rs", "use crate::telemetry;", "config uses telemetry"),
        ("main.rs", "fn main() { halley::gateway::run() }", "main uses gateway"),
        ("hub/mod.rs", "use tokio::sync::Notify;", "hub names tokio"),
        ("codec/mod.rs", "use std::time::Instant; fn f() { Instant::now(); }", "codec names Instant::now"),
        ("route/mod.rs", "fn f() { std::time::Instant :: now(); }", "route names Instant::now"),
        ("bayeux/mod.rs", "fn f() -> hyper::Body { todo!() }", "bayeux names hyper"),
        ("stream/mod.rs", "use rdkafka::Message;", "stream names rdkafka"),
        ("route/mod.rs", "use std::{fs, io};", "route names std::fs"),
        ("feed/mod.rs", "use rdkafka::Message;", "rdkafka is named outside kafka"),
        ("gateway/mod.rs", "use hyper::Request;", "hyper is named outside net, transport, proxy, admin"),
        ("nowhere/mod.rs", "", "nowhere has no row in the table of arrows"),
        ("hub/mod.rs", "#[cfg(test)] mod tests { fn f() {} } use crate::feed;", "hub uses feed"),
        ("hub/mod.rs", "const C: char = '\"'; use crate::feed; const D: char = '\"';", "hub uses feed"),
        ("hub/mod.rs", "fn f<'a>(x: &'a str) { crate::feed::g(x) }", "hub uses feed"),
    ] {
        let found = violations(Path::new(path), code);
        assert!(
            found.iter().any(|what| what == expected),
            "{path}: {code}\nexpected {expected}, found {found:?}"
        );
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    for (path, code) in [
        ("hub/mod.rs", "use crate::bayeux::Channel; use crate::{stream::{Record, Span}, config, telemetry};"),
        ("hub/a/b.rs", "use super::super::outbox; use super::c;"),
        (
            "hub/mod.rs",
            "// use crate::kafka;\n/* tokio /* nested */ */ fn f() -> &'static str { \"crate::kafka tokio\" }",
        ),
        ("hub/mod.rs", "fn f() -> &'static str { r#\"crate::kafka \" tokio\"# }"),
        ("hub/mod.rs", "#[cfg(test)]\nmod tests { use std::time::Instant; fn f() { Instant::now(); } }"),
        ("hub/tests.rs", "fn f() { std::time::Instant::now(); }"),
        ("hub/tests/rig.rs", "fn f() { std::time::Instant::now(); }"),
        ("hub/mod.rs", "use std::time::Instant; pub(crate) fn f(now: Instant) {}"),
        ("kafka/mod.rs", "use rdkafka::Message; use tokio::sync::mpsc;"),
        ("lib.rs", "pub mod hub; pub mod kafka;"),
        ("main.rs", "fn main() { halley::cli::main() }"),
    ] {
        assert_eq!(violations(Path::new(path), code), Vec::<String>::new(), "{path}: {code}");
    }
}

/// What is wrong in the file at `path` (below `src`).
fn violations(path: &Path, text: &str) -> Vec<String> {
    let mut parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    let file = parts.pop().unwrap().trim_end_matches(".rs");
    if file != "mod" {
        parts.push(file);
    }
    let module = parts[0];
    // Files of tests by their names; lib.rs only lists the modules.
    if module == "lib" || parts.contains(&"tests") {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{module} has no row in the table of arrows")];
    };
    let tokens = without_tests(&tokens(text));
    let mut found = Vec::new();
    for used in modules_used(&tokens, parts.len()) {
        let bottom = BOTTOM.contains(&used.as_str()) && module != "config";
        if used != module && !bottom && !allowed.contains(&used.as_str()) {
            found.push(format!("{module} uses {used}"));
        }
    }
    if PURE.contains(&module) {
        for name in IMPURE {
            if names(&tokens, name) {
                found.push(format!("{module} names {}", name.concat()));
            }
        }
    }
    for (library, places) in KNOWN_ONLY_TO {
        if !places.contains(&module) && names(&tokens, &[library]) {
            found.push(format!("{library} is named outside {}", places.join(", ")));
        }
    }
    found.dedup();
    found
}

/// The modules of the crate that are named by a path from its root: `crate::x`, `halley::x`, enough `super`s, and groups of them.
fn modules_used(tokens: &[String], depth: usize) -> Vec<String> {
    let mut used = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let inside_path = at > 0 && tokens[at - 1] == "::";
        let mut supers = 0;
        while tokens.get(at + 2 * supers).is_some_and(|t| t == "super")
            && tokens.get(at + 2 * supers + 1).is_some_and(|t| t == "::")
        {
            supers += 1;
        }
        let root = matches!(tokens[at].as_str(), "crate" | "halley")
            && tokens.get(at + 1).is_some_and(|t| t == "::");
        if !inside_path && root {
            used.extend(heads(&tokens[at + 2..]));
        } else if !inside_path && supers == depth && supers > 0 {
            used.extend(heads(&tokens[at + 2 * supers..]));
        }
        at += 1 + 2 * supers.saturating_sub(1);
    }
    used
}

/// The first segments of a use tree.
fn heads(tree: &[String]) -> Vec<String> {
    let Some(first) = tree.first() else { return Vec::new() };
    if first != "{" {
        return vec![first.clone()];
    }
    let (mut heads, mut depth) = (Vec::new(), 0);
    for (n, token) in tree.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ if depth == 1 && matches!(tree[n - 1].as_str(), "{" | ",") => heads.push(token.clone()),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

/// Whether the code names `path`; `a::b` is also found in `a::{…, b, …}`.
fn names(tokens: &[String], path: &[&str]) -> bool {
    if tokens.windows(path.len()).any(|window| window == path) {
        return true;
    }
    let [head, "::", last] = path else { return false };
    (0..tokens.len()).any(|at| {
        tokens[at] == *head
            && tokens.get(at + 1).is_some_and(|t| t == "::")
            && heads(&tokens[at + 2..]).iter().any(|name| name == last)
    })
}

/// Without the items behind `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let marker = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if !tokens[at..].iter().zip(marker).all(|(a, b)| a == b) || tokens.len() - at < marker.len() {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // To the end of the item: a `;`, or the brace that closes the first one opened.
        let mut depth = 0;
        at += marker.len();
        while at < tokens.len() {
            let token = tokens[at].as_str();
            at += 1;
            match token {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(token, ";" | "}") {
                break;
            }
        }
    }
    kept
}

/// Identifiers, `::` and single punctuation characters; comments, strings and character literals are left out.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let rest = &chars[at..];
        match rest {
            ['/', '/', ..] => at += rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => at += comment(rest),
            ['"', ..] => at += string(rest),
            ['r', '"' | '#', ..] if raw_string(rest).is_some() => at += raw_string(rest).unwrap(),
            ['b', 'r', ..] if raw_string(&rest[1..]).is_some() => at += 1 + raw_string(&rest[1..]).unwrap(),
            ['\'', '\\', ..] => at += 3 + rest[3..].iter().position(|c| *c == '\'').unwrap_or(0),
            ['\'', _, '\'', ..] => at += 3,
            [':', ':', ..] => {
                out.push("::".to_owned());
                at += 2;
            }
            [c, ..] if c.is_alphanumeric() || *c == '_' => {
                let end = rest.iter().position(|c| !c.is_alphanumeric() && *c != '_').unwrap_or(rest.len());
                out.push(rest[..end].iter().collect());
                at += end;
            }
            [c, ..] => {
                if !c.is_whitespace() {
                    out.push(c.to_string());
                }
                at += 1;
            }
            [] => {}
        }
    }
    out
}

/// The length of the block comment, nested ones included.
fn comment(text: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < text.len() {
        match (text[at], text[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of the string literal.
fn string(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of the raw string literal, if that is what begins here.
fn raw_string(text: &[char]) -> Option<usize> {
    let hashes = text[1..].iter().take_while(|c| **c == '#').count();
    let open = 1 + hashes;
    if text[0] != 'r' || text.get(open) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &text[open + 1..];
    let end = body.windows(close.len()).position(|window| window == close).unwrap_or(body.len());
    Some(open + 1 + end + close.len())
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
