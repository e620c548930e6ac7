//! Scripts: sessions as lines of text.
//!
//! ```text
//! == NAME: what it is about
//! a.http > BODY        browser a sends it on its connection http (or http2, …; ws, ws2, …), as JSON, and waits for the answer
//! a.http form> BODY    as a form; text> as text; call> as the message of a callback, by GET
//! a.http >> BODY       without waiting
//! a.http <             waits for an answer
//! a.ws <~              looks what has come
//! a.http x             drops the connection
//! wait 1000            milliseconds
//! ! cometd: WHY        the step above is answered differently by CometD; or faye; or both
//! ```
//!
//! `$a` is the clientId that browser a was given last, `$a'` the one before.

use std::time::Duration;

use super::compare::Other;

pub struct Script {
    pub name: String,
    pub about: String,
    pub steps: Vec<Step>,
}

pub struct Step {
    /// As it stands in the script.
    pub text: String,
    pub action: Action,
    reasons: Vec<(String, String)>,
}

pub enum Action {
    Wait(Duration),
    On(Connection, Deed),
}

/// A connection of a browser.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    pub browser: String,
    pub name: String,
    pub websocket: bool,
}

pub enum Deed {
    Send { kind: Kind, body: String, wait: bool },
    Receive,
    Look,
    Drop,
}

/// What a body is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Json,
    Form,
    Text,
    Call,
}

// === impl Step ===

impl Step {
    /// Why another server answers it differently.
    pub fn why(&self, other: Other) -> Option<&str> {
        let mut reasons = self.reasons.iter();
        let found = reasons.find(|(who, _)| who == "both" || who == other.name());
        found.map(|(_, why)| why.as_str())
    }
}

/// Reads scripts; panics with the line that is wrong.
pub fn parse(text: &str) -> Vec<Script> {
    let mut scripts: Vec<Script> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some(heading) = line.strip_prefix("== ") {
            let (name, about) = heading.split_once(": ").unwrap_or_else(|| panic!("no heading: {line}"));
            scripts.push(Script { name: name.to_owned(), about: about.to_owned(), steps: Vec::new() });
            continue;
        }
        let script = scripts.last_mut().unwrap_or_else(|| panic!("before the first heading: {line}"));
        if let Some(reason) = line.strip_prefix("! ") {
            let (who, why) = reason.split_once(": ").unwrap_or_else(|| panic!("no reason: {line}"));
            assert!(["both", "cometd", "faye"].contains(&who), "nobody: {line}");
            let step = script.steps.last_mut().unwrap_or_else(|| panic!("of no step: {line}"));
            step.reasons.push((who.to_owned(), why.to_owned()));
        } else {
            script.steps.push(Step { text: line.to_owned(), action: action(line), reasons: Vec::new() });
        }
    }
    scripts
}

fn action(line: &str) -> Action {
    let (first, rest) = line.split_once(' ').unwrap_or_else(|| panic!("not a step: {line}"));
    if first == "wait" {
        return Action::Wait(Duration::from_millis(rest.parse().expect("milliseconds")));
    }
    let (browser, name) = first.split_once('.').unwrap_or_else(|| panic!("no connection: {line}"));
    let websocket = name.starts_with("ws");
    assert!(websocket || name.starts_with("http"), "no such connection: {line}");
    let connection = Connection { browser: browser.to_owned(), name: name.to_owned(), websocket };
    let (verb, body) = rest.split_once(' ').unwrap_or((rest, ""));
    let send = |kind, wait| Deed::Send { kind, body: body.to_owned(), wait };
    let deed = match verb {
        ">" => send(Kind::Json, true),
        ">>" => send(Kind::Json, false),
        "form>" => send(Kind::Form, true),
        "text>" => send(Kind::Text, true),
        "call>" => send(Kind::Call, true),
        "<" => Deed::Receive,
        "<~" => Deed::Look,
        "x" => Deed::Drop,
        _ => panic!("no such step: {line}"),
    };
    Action::On(connection, deed)
}
