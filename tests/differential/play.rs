//! Plays a script against a server.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::peer::{Place, TIMEOUT};
use super::script::{Action, Connection, Deed, Kind, Script};
use crate::support::http::{Http, Response};
use crate::support::ws::{CLOSE, PING, TEXT, Ws};

/// What came in a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The answer took about as long as a connect is held.
    pub held: bool,
    /// An HTTP status but 200, a close code; or that nothing came.
    pub note: Option<String>,
    /// With clientIds written as in scripts.
    pub messages: Vec<Value>,
}

/// Longer than a connect is held.
const PATIENCE: Duration = TIMEOUT.saturating_add(Duration::from_millis(1500));
/// What comes on a WebSocket within so long after something else belongs to the same step.
const TOGETHER: Duration = Duration::from_millis(700);

struct Player {
    at: Place,
    wires: HashMap<Connection, Wire>,
    cookies: HashMap<String, String>,
    /// By browser, the clientIds it was given.
    ids: HashMap<String, Vec<String>>,
    /// When something was sent that was not waited for.
    asked: HashMap<Connection, Instant>,
}

enum Wire {
    Http(Http),
    WebSocket(Ws),
}

/// The traces of a script's steps.
pub fn play(at: Place, script: &Script) -> Vec<Trace> {
    let mut player = Player {
        at,
        wires: HashMap::new(),
        cookies: HashMap::new(),
        ids: HashMap::new(),
        asked: HashMap::new(),
    };
    script.steps.iter().map(|step| player.step(&step.action)).collect()
}

// === impl Player ===

impl Player {
    fn step(&mut self, action: &Action) -> Trace {
        let (on, deed) = match action {
            Action::Wait(time) => {
                std::thread::sleep(*time);
                return Trace::default();
            }
            Action::On(on, deed) => (on, deed),
        };
        match deed {
            Deed::Drop => {
                self.wires.remove(on);
                Trace::default()
            }
            Deed::Receive => self.receive(on, PATIENCE),
            Deed::Look => Trace { held: false, ..self.receive(on, TOGETHER) },
            Deed::Send { kind, body, wait } => {
                let sent = self.send(on, *kind, body);
                self.asked.insert(on.clone(), Instant::now());
                match sent {
                    Err(error) => Trace { note: Some(error.to_string()), ..Trace::default() },
                    Ok(()) if *wait => self.receive(on, PATIENCE),
                    Ok(()) => Trace::default(),
                }
            }
        }
    }

    fn send(&mut self, on: &Connection, kind: Kind, body: &str) -> std::io::Result<()> {
        let mut body = body.to_owned();
        for (browser, ids) in &self.ids {
            for (name, id) in names(browser, ids).rev() {
                body = body.replace(&name, id);
            }
        }
        let cookie = self.cookies.get(&on.browser).map(|cookie| ("Cookie", cookie.as_str()));
        let at = self.at;
        let wire = self.wires.entry(on.clone()).or_insert_with(|| {
            if on.websocket {
                Wire::WebSocket(Ws::try_connect(at.addr, at.path, cookie.as_slice()).expect("a WebSocket"))
            } else {
                Wire::Http(Http::connect(at.addr))
            }
        });
        match wire {
            Wire::WebSocket(ws) => ws.send_text(&body),
            Wire::Http(http) => {
                let (method, query, content_type) = match kind {
                    Kind::Json => ("POST", String::new(), "application/json"),
                    Kind::Form => ("POST", String::new(), "application/x-www-form-urlencoded"),
                    Kind::Text => ("POST", String::new(), "text/plain"),
                    Kind::Call => ("GET", format!("?jsonp=cb&message={}", encoded(&body)), "text/plain"),
                };
                let body = if kind == Kind::Call { "" } else { body.as_str() };
                let mut request = format!(
                    "{method} {}{query} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n",
                    at.path,
                    at.addr,
                    body.len()
                );
                if let Some((name, value)) = cookie {
                    let _ = write!(request, "{name}: {value}\r\n");
                }
                http.send_raw(format!("{request}\r\n{body}").as_bytes())
            }
        }
    }

    fn receive(&mut self, on: &Connection, limit: Duration) -> Trace {
        let asked = self.asked.get(on).copied().unwrap_or_else(Instant::now);
        let Some(wire) = self.wires.get_mut(on) else {
            return Trace { note: Some("no connection".to_owned()), ..Trace::default() };
        };
        let mut trace = Trace::default();
        match wire {
            Wire::Http(http) => match http.response(Instant::now() + limit) {
                Ok(response) => {
                    trace.held = asked.elapsed() > TIMEOUT / 2;
                    if let Some(cookie) = browser_cookie(&response) {
                        self.cookies.insert(on.browser.clone(), cookie);
                    }
                    trace.body(&response);
                }
                Err(error) => trace.note = Some(said(&error)),
            },
            Wire::WebSocket(ws) => {
                let mut until = Instant::now() + limit;
                loop {
                    match ws.receive(until) {
                        Ok(frame) => {
                            trace.held |= trace.messages.is_empty() && asked.elapsed() > TIMEOUT / 2;
                            match frame.opcode {
                                TEXT => trace.frame(&frame.payload),
                                PING => continue,
                                CLOSE => {
                                    trace.note = frame.close_code().map(|code| format!("closed {code}"));
                                    break;
                                }
                                other => panic!("opcode {other}"),
                            }
                            until = Instant::now() + TOGETHER;
                        }
                        Err(error) => {
                            if trace == Trace::default() {
                                trace.note = Some(said(&error));
                            }
                            break;
                        }
                    }
                }
                if trace.note.as_ref().is_some_and(|note| note.starts_with("closed")) {
                    self.wires.remove(on);
                }
            }
        }
        for message in &trace.messages {
            if let Some(id) = message["clientId"].as_str().filter(|_| message["channel"] == "/meta/handshake")
            {
                self.ids.entry(on.browser.clone()).or_default().push(id.to_owned());
            }
        }
        for message in &mut trace.messages {
            for (browser, ids) in &self.ids {
                for (name, id) in names(browser, ids) {
                    rename(message, id, &name);
                }
            }
        }
        trace
    }
}

// === impl Trace ===

impl Trace {
    fn body(&mut self, response: &Response) {
        let mut body = response.text();
        // A script: what stands around the messages is noted.
        if let Some(((before, messages), after)) =
            body.rsplit_once(')').and_then(|(call, after)| Some((call.split_once('(')?, after)))
            && before.ends_with("cb")
        {
            self.note = Some(format!("`{before}(…){after}`"));
            body = messages;
        }
        match serde_json::from_str(body) {
            Ok(Value::Array(messages)) if response.status == 200 => {
                if messages.is_empty() {
                    self.note = Some("[]".to_owned());
                }
                self.messages.extend(messages);
            }
            _ => self.note = Some(format!("status {}", response.status)),
        }
    }

    fn frame(&mut self, payload: &[u8]) {
        match serde_json::from_slice(payload) {
            Ok(Value::Array(messages)) if messages.is_empty() => self.note = Some("[]".to_owned()),
            Ok(Value::Array(messages)) => self.messages.extend(messages),
            _ => self.note = Some(format!("no array: {}", String::from_utf8_lossy(payload))),
        }
    }
}

/// Percent-encoded, as a query has it.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "%{byte:02X}");
        all
    })
}

fn said(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut => "nothing".to_owned(),
        _ => "connection closed".to_owned(),
    }
}

fn browser_cookie(response: &Response) -> Option<String> {
    let cookie = response.header("set-cookie")?.split(';').next()?;
    cookie.starts_with("BAYEUX_BROWSER=").then(|| cookie.to_owned())
}

/// What scripts call the clientIds of a browser: the last one `$a`, the one before `$a'`.
fn names<'a>(
    browser: &'a str,
    ids: &'a [String],
) -> impl DoubleEndedIterator<Item = (String, &'a str)> + ExactSizeIterator {
    ids.iter().rev().enumerate().map(move |(n, id)| (format!("${browser}{}", "'".repeat(n)), id.as_str()))
}

/// Writes `name` for every `id` in a message.
fn rename(value: &mut Value, id: &str, name: &str) {
    match value {
        Value::String(text) if text.contains(id) => *text = text.replace(id, name),
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, id, name)),
        Value::Object(fields) => fields.values_mut().for_each(|value| rename(value, id, name)),
        _ => {}
    }
}
