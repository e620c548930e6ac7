//! What is different, apart from what is different everywhere.

use std::cell::Cell;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::peer::advised;
use super::play::Trace;
use super::script::{Script, Step};

/// A server that Halley is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    Cometd,
    Faye,
}

/// A difference that is everywhere: looked away from, and told once.
struct Rule {
    of: Other,
    what: &'static str,
    why: &'static str,
    /// Takes it out of a message; true if it was there.
    apply: fn(&mut Value) -> bool,
}

const RULES: [Rule; 10] = [
    Rule {
        of: Other::Cometd,
        what: "`advice` is in a connect's reply only when it has changed",
        why: "Halley repeats it: some clients need it there, others take what they had for replaced (W2)",
        apply: |message| message["channel"] == "/meta/connect" && drop_advice(message),
    },
    Rule {
        of: Other::Cometd,
        what: "`supportedConnectionTypes` are its own",
        why: "each lists what it has",
        apply: |message| drop_field(message, "supportedConnectionTypes"),
    },
    Rule {
        of: Other::Cometd,
        what: "with acknowledgements, replies that acknowledge nothing have an empty `ext`",
        why: "it says nothing",
        apply: |message| message["ext"] == json!({}) && drop_field(message, "ext"),
    },
    Rule {
        of: Other::Faye,
        what: "no acknowledgements: no `ext` in a reply",
        why: "Halley has CometD's",
        apply: |message| message.get("successful").is_some() && drop_field(message, "ext"),
    },
    Rule {
        of: Other::Faye,
        what: "`supportedConnectionTypes` are its own",
        why: "each lists what it has",
        apply: |message| drop_field(message, "supportedConnectionTypes"),
    },
    Rule {
        of: Other::Faye,
        what: "every reply has the `clientId`",
        why: "no client needs it there, and it is a secret",
        apply: |message| message["channel"] != "/meta/handshake" && drop_field(message, "clientId"),
    },
    Rule {
        of: Other::Faye,
        what: "a delivery has the publisher's `id`",
        why: "ids of one client mean nothing to others, and older clients took it for the reply to a request of their own (W6)",
        apply: |message| message.get("successful").is_none() && drop_field(message, "id"),
    },
    Rule {
        of: Other::Faye,
        what: "other codes and texts of errors: `401` is an unknown session, `402` a missing field",
        why: "Halley has CometD's; clients go by the advice",
        apply: |message| {
            let differs = message["error"].is_string();
            if differs {
                message["error"] = json!(true);
            }
            differs
        },
    },
    Rule {
        of: Other::Faye,
        what: "the advice `handshake` has no interval",
        why: "Halley's is complete, as CometD's",
        apply: |message| {
            let handshake = message["advice"]["reconnect"] == "handshake";
            handshake && drop_field(&mut message["advice"], "interval")
        },
    },
    Rule {
        of: Other::Faye,
        what: "no `minimumVersion` in a handshake's reply",
        why: "Halley has it, as CometD",
        apply: |message| drop_field(message, "minimumVersion"),
    },
];

/// All that was said.
pub struct Run<'a> {
    pub scripts: &'a [Script],
    /// By script and step.
    pub halley: Vec<Vec<Trace>>,
    pub others: [(Other, Vec<Vec<Trace>>); 2],
}

fn drop_field(value: &mut Value, field: &str) -> bool {
    value.as_object_mut().is_some_and(|fields| fields.remove(field).is_some())
}

fn drop_advice(message: &mut Value) -> bool {
    let complete = json!({ "reconnect": "retry", "interval": 0, "timeout": advised() });
    message["advice"] == complete && drop_field(message, "advice")
}

/// The order that the specification leaves open: events, then replies; and a disconnect's last, before or after which CometD answers the
/// connect that it ends as it happens.
fn ordered(trace: &Trace) -> Trace {
    let mut trace = trace.clone();
    trace.messages.sort_by_key(|message| {
        (message.get("successful").is_some(), message["channel"] == "/meta/disconnect")
    });
    trace
}

fn shown(trace: &Trace) -> String {
    let held = trace.held.then(|| "(held)".to_owned());
    let note = trace.note.clone();
    let messages = trace.messages.iter().map(|message| {
        let mut message = message.clone();
        if message.get("supportedConnectionTypes").is_some() {
            message["supportedConnectionTypes"] = json!("…");
        }
        format!("`{message}`")
    });
    let all: Vec<String> = held.into_iter().chain(note).chain(messages).collect();
    if all.is_empty() { "–".to_owned() } else { all.join(" ") }
}

// === impl Other ===

impl Other {
    /// As scripts call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cometd => "cometd",
            Self::Faye => "faye",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Cometd => "CometD",
            Self::Faye => "Faye",
        }
    }
}

// === impl Run ===

impl Run<'_> {
    /// The differences in Markdown; or those without a reason, and the reasons without a difference.
    pub fn page(&self) -> Result<String, Vec<String>> {
        let used = RULES.each_ref().map(|_| Cell::new(false));
        let mut wrong = Vec::new();
        let mut page = String::new();
        let (mut same, mut steps) = (Vec::new(), 0);
        for (n, script) in self.scripts.iter().enumerate() {
            let mut rows = String::new();
            for (m, step) in script.steps.iter().enumerate() {
                steps += 1;
                rows += &self.row((n, m), script, step, &used, &mut wrong);
            }
            if rows.is_empty() {
                same.push(format!("{} ({})", script.name, script.about));
            } else {
                let _ = write!(page, "\n#### {}\n\nAbout: {}.\n\n{rows}", script.name, script.about);
            }
        }
        let unused = RULES.iter().zip(&used).filter(|(_, used)| !used.get());
        wrong.extend(unused.map(|(rule, _)| format!("{}: no longer so: {}", rule.of.name(), rule.what)));
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let mut head = format!(
            "\n{} sessions, {steps} steps. Everywhere:\n\n| | what is different | why |\n| --- | --- | --- |\n",
            self.scripts.len()
        );
        for rule in &RULES {
            let _ = writeln!(head, "| {} | {} | {} |", rule.of.title(), rule.what, rule.why);
        }
        let _ = write!(head, "\nNo further difference in: {}.\n", same.join(", "));
        Ok(head + &page)
    }

    /// What a step is answered; empty if all answer alike.
    fn row(
        &self,
        (n, m): (usize, usize),
        script: &Script,
        step: &Step,
        used: &[Cell<bool>; RULES.len()],
        wrong: &mut Vec<String>,
    ) -> String {
        let halley = ordered(&self.halley[n][m]);
        let mut cells = Vec::new();
        let mut reasons: Vec<String> = Vec::new();
        for (other, traces) in &self.others {
            let theirs = ordered(&traces[n][m]);
            let place = || format!("{}, {}: {}", script.name, other.name(), step.text);
            let (mut left, mut right) = (halley.clone(), theirs.clone());
            for (rule, used) in RULES.iter().zip(used).filter(|(rule, _)| rule.of == *other) {
                for message in left.messages.iter_mut().chain(&mut right.messages) {
                    used.set((rule.apply)(message) | used.get());
                }
            }
            match (left == right, step.why(*other)) {
                (true, None) => cells.push("the same".to_owned()),
                (true, Some(why)) => wrong.push(format!("{}\n  no longer differs: {why}", place())),
                (false, None) => wrong.push(format!(
                    "{}\n  halley: {}\n  {}: {}",
                    place(),
                    shown(&halley),
                    other.name(),
                    shown(&theirs)
                )),
                (false, Some(why)) => {
                    cells.push(shown(&theirs));
                    let known = reasons.iter_mut().find(|reason| reason.ends_with(&format!(": {why}")));
                    match known {
                        Some(reason) => why.clone_into(reason),
                        None => reasons.push(format!("{}: {why}", other.title())),
                    }
                }
            }
        }
        if reasons.is_empty() {
            return String::new();
        }
        let (asked, halley, why) = (&step.text, shown(&halley), reasons.join("; "));
        let [cometd, faye] = &cells[..] else { return String::new() };
        format!(
            "- `{asked}`\n  - Halley: {halley}\n  - CometD: {cometd}\n  - Faye: {faye}\n  - *why*: {why}\n"
        )
    }
}
