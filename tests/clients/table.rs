//! `docs/clients.md`, made from the runs.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use super::client::Step;
use super::party::Party;

const PAGE: &str = "docs/clients.md";

/// Groups run side by side.
static WRITING: Mutex<()> = Mutex::new(());

/// Compares the table of a section with what was seen. With `UPDATE` in the environment it writes it instead.
pub fn compare(section: &str, parties: &[Party]) {
    let _one = WRITING.lock();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- begin {section} -->\n");
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{PAGE} has no {begin}"));
    let (old, after) = rest.split_once("<!-- end -->").unwrap();
    let new = render(parties);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{begin}{new}<!-- end -->{after}")).unwrap();
    } else {
        assert!(
            old == new,
            "UPDATE=1 cargo test --release --test clients {section} brings {PAGE} up to date:\n{new}"
        );
    }
}

fn render(parties: &[Party]) -> String {
    let mut out = String::from("| client | version | transport |");
    for step in Step::ALL {
        let _ = write!(out, " {step} |");
    }
    let _ = writeln!(out, "\n|{}", " --- |".repeat(3 + Step::ALL.len()));
    let mut notes: Vec<&str> = Vec::new();
    for Party { client, version, .. } in parties {
        let extensions =
            if client.extensions.is_empty() { String::new() } else { format!(", {}", client.extensions) };
        let _ = write!(out, "| {} | {version} | {}{extensions} |", client.name, client.transport);
        for step in Step::ALL {
            let (mark, note) = if !client.takes(step) {
                ("–", None)
            } else if let Some(fault) = client.known(step) {
                (if fault.always { "no" } else { "not always" }, Some(fault.what))
            } else {
                ("✓", None)
            };
            let number = note.map(|note| {
                let known = notes.iter().position(|it| *it == note);
                1 + known.unwrap_or_else(|| {
                    notes.push(note);
                    notes.len() - 1
                })
            });
            let number = number.map(|number| format!(" ({number})")).unwrap_or_default();
            let _ = write!(out, " {mark}{number} |");
        }
        out.push('\n');
    }
    if !notes.is_empty() {
        out.push('\n');
    }
    for (n, note) in notes.iter().enumerate() {
        let _ = writeln!(out, "{}. {note}", n + 1);
    }
    out
}
