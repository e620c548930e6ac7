//! The table of `docs/conformance.md`: what is required, and the tests that show it.
//!
//! A test cites what it shows at the beginning of its doc comment: `/// R69, W12: what the client sees.`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A heading, and what is required below it.
struct Part {
    letter: String,
    title: String,
    about: String,
    requirements: Vec<Requirement>,
}

struct Requirement {
    number: String,
    what: String,
    /// Why no test has to show it: what kind of reason, and the reason.
    excuse: Option<(String, String)>,
}

/// What kinds of reasons there are, and whether a test may show what is done instead.
const EXCUSES: [(&str, bool); 3] = [("does not apply", false), ("not offered", false), ("by choice", true)];

/// By what they cite, the tests: their file from the root of the repository, and their name.
type Citations = BTreeMap<String, Vec<(PathBuf, String)>>;

/// The table in Markdown; or everything that is wrong with requirements and citations.
pub fn table(root: &Path) -> Result<String, Vec<String>> {
    let mut wrong = Vec::new();
    let file = root.join("tests/conformance/requirements.txt");
    let parts = requirements(&std::fs::read_to_string(file).unwrap(), &mut wrong);
    let mut cited = Citations::new();
    for path in sources(&root.join("tests")) {
        let text = std::fs::read_to_string(&path).unwrap();
        collect(path.strip_prefix(root).unwrap(), &text, &mut cited, &mut wrong);
    }
    let mut page = String::new();
    for part in &parts {
        let _ = write!(page, "\n### {}\n\n{}\n\n", part.title, part.about);
        page += "| | | | shown by |\n| --- | --- | --- | --- |\n";
        for it in &part.requirements {
            let tests = cited.remove(&it.number).unwrap_or_default();
            check(it, &tests, &mut wrong);
            page += &row(it, &tests);
        }
    }
    for (number, tests) in cited {
        wrong.extend(tests.iter().map(|(file, test)| {
            format!("{}: {test} cites {number}, which is no requirement", file.display())
        }));
    }
    if wrong.is_empty() { Ok(page) } else { Err(wrong) }
}

fn check(it: &Requirement, tests: &[(PathBuf, String)], wrong: &mut Vec<String>) {
    let number = &it.number;
    let Some((kind, _)) = &it.excuse else {
        if tests.is_empty() {
            wrong.push(format!("{number} is shown by no test: {}", it.what));
        }
        return;
    };
    match EXCUSES.iter().find(|(known, _)| known == kind) {
        None => wrong.push(format!("{number}: {kind:?} is no excuse")),
        Some((_, false)) if !tests.is_empty() => {
            wrong.push(format!("{number}: {kind}, they say, but {} shows it", tests[0].1));
        }
        Some(_) => {}
    }
}

fn row(it: &Requirement, tests: &[(PathBuf, String)]) -> String {
    let mut files: BTreeMap<&Path, Vec<&str>> = BTreeMap::new();
    for (file, test) in tests {
        files.entry(file).or_default().push(test);
    }
    let shown = files.iter().map(|(file, tests)| {
        let stem = file.with_extension("");
        let name = stem.strip_prefix("tests").unwrap().display().to_string();
        format!("[{name}](../{}): {}", file.display(), tests.join(", "))
    });
    let reason = it.excuse.iter().map(|(_, why)| why.clone());
    let last: Vec<String> = reason.chain(shown).collect();
    let result = it.excuse.as_ref().map_or("tested", |(kind, _)| kind);
    format!("| {} | {} | {result} | {} |\n", it.number, it.what.replace('|', "\\|"), last.join("; "))
}

fn requirements(text: &str, wrong: &mut Vec<String>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (heading, line) = line.strip_prefix("= ").map_or((false, line), |rest| (true, rest));
        let mut fields = line.split(" | ").map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        if heading {
            parts.push(Part { letter: next(), title: next(), about: next(), requirements: Vec::new() });
            continue;
        }
        let (number, what, kind, why) = (next(), next(), next(), next());
        let part = parts.last_mut().expect("a heading comes first");
        let due = format!("{}{}", part.letter, part.requirements.len() + 1);
        if number != due || what.is_empty() || kind.is_empty() != why.is_empty() || fields.next().is_some() {
            wrong.push(format!("not a requirement, or not {due}: {line}"));
        }
        let excuse = (!kind.is_empty()).then_some((kind, why));
        part.requirements.push(Requirement { number: due, what, excuse });
    }
    parts
}

/// Takes the citations out of a file of tests.
fn collect(file: &Path, text: &str, cited: &mut Citations, wrong: &mut Vec<String>) {
    let (mut doc, mut attributes) = (String::new(), String::new());
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("///") {
            doc += rest;
            continue;
        }
        if line.starts_with("#[") {
            attributes += line;
            continue;
        }
        if let Some((name, _)) = line.strip_prefix("fn ").and_then(|rest| rest.split_once('('))
            && attributes.contains("#[test]")
        {
            match citations(&doc) {
                // What only a soak runs shows nothing by itself.
                Ok(numbers) if !attributes.contains("#[ignore") => {
                    for number in numbers {
                        cited.entry(number).or_default().push((file.to_owned(), name.to_owned()));
                    }
                }
                Ok(_) => {}
                Err(stray) => wrong.push(format!(
                    "{}: {name} speaks of {stray}; a test cites like this: /// R69, W12: what the client sees.",
                    file.display()
                )),
            }
        }
        doc.clear();
        attributes.clear();
    }
}

/// What a doc comment cites; or what looks like a citation and is in the wrong place.
fn citations(doc: &str) -> Result<Vec<String>, String> {
    let is_number = |word: &str| {
        let digits = word.strip_prefix(['R', 'W', 'B']).unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (head, rest) = doc.split_once(':').unwrap_or(("", doc));
    let numbers: Vec<String> = head.split(',').map(|word| word.trim().to_owned()).collect();
    let (numbers, rest) =
        if numbers.iter().all(|word| is_number(word)) { (numbers, rest) } else { (Vec::new(), doc) };
    match rest.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| is_number(word)) {
        Some(stray) => Err(stray.to_owned()),
        None => Ok(numbers),
    }
}

/// The sources of all tests, in the order of their names.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() && !path.ends_with("node_modules") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_stand_first() {
        assert_eq!(citations(" R69, W12: what is seen.").unwrap(), ["R69", "W12"]);
        assert_eq!(citations(" Nothing: at all.").unwrap(), Vec::<String>::new());
        assert_eq!(citations(" As in R2.").unwrap_err(), "R2");
        assert_eq!(citations(" W1: and B3.").unwrap_err(), "B3");
    }

    #[test]
    fn tests_that_run_are_collected() {
        let text = "/// R1: it.\n#[test]\nfn it() {\n}\n/// R2: no test.\nfn helper() {}\n/// R1: long.\n#[test]\n#[ignore = \"slow\"]\nfn soak() {\n}\n/// Of R3.\n#[test]\nfn stray() {}\n";
        let (mut cited, mut wrong) = (Citations::new(), Vec::new());
        collect(Path::new("tests/a/b.rs"), text, &mut cited, &mut wrong);
        assert_eq!(
            cited,
            Citations::from([("R1".to_owned(), vec![("tests/a/b.rs".into(), "it".to_owned())])])
        );
        assert_eq!(wrong.len(), 1, "{wrong:?}");
    }

    #[test]
    fn what_is_neither_cited_nor_excused_is_found() {
        let text =
            "# x\n= Z | Title | About.\nZ1 | one\nZ2 | two | does not apply | for a reason\nZ4 | four\n";
        let mut wrong = Vec::new();
        let parts = requirements(text, &mut wrong);
        assert_eq!(wrong.len(), 1, "the numbers have no gap: {wrong:?}");
        let [one, two, _] = &*parts[0].requirements else { panic!() };
        let test = (PathBuf::from("tests/a/b.rs"), "it".to_owned());
        let mut checked = |it, tests: &[_]| {
            wrong.clear();
            check(it, tests, &mut wrong);
            wrong.len()
        };
        assert_eq!(checked(one, &[]), 1);
        assert_eq!(checked(one, std::slice::from_ref(&test)), 0);
        assert_eq!(checked(two, &[]), 0);
        assert_eq!(checked(two, std::slice::from_ref(&test)), 1);
        assert_eq!(row(one, &[test]), "| Z1 | one | tested | [a/b](../tests/a/b.rs): it |\n");
        assert_eq!(row(two, &[]), "| Z2 | two | does not apply | for a reason |\n");
    }
}
