//! Every YAML block of the documentation is what it says it is: settings load, mappings parse. Every link leads somewhere. What is
//! required of a Bayeux server is shown by tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "conformance/table.rs"]
mod table;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use halley::config::{self, LoadOptions, yaml};
use halley::route::{self, Source};

/// First keys of files that are not Halley's own: they only have to be YAML.
const FOREIGN: &[&str] = &["livenessProbe", "scrape_configs", "apiVersion", "services"];

#[test]
fn every_yaml_block_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = markdown(&root.join("docs"));
    pages.push(root.join("README.md"));
    let (mut settings, mut mappings, mut wrong) = (0, 0, Vec::new());
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        let page = page.strip_prefix(root).unwrap().display();
        for (line, block) in blocks(&text) {
            let place = format!("{page}:{line}");
            match first_key(&block) {
                "routes" => {
                    mappings += 1;
                    wrong.extend(mapping(&block).err().map(|problem| format!("{place}: {problem}")));
                }
                key if FOREIGN.contains(&key) => {
                    let parsed = yaml::parse(Path::new(&place), &block);
                    wrong.extend(parsed.err().map(|problem| problem.to_string()));
                }
                _ => {
                    settings += 1;
                    wrong.extend(load(&block).err().map(|problem| format!("{place}: {problem}")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(
        settings >= 2 && mappings >= 10,
        "the blocks are found: {settings} of settings, {mappings} of mappings"
    );
}

#[test]
fn a_wrong_block_is_found() {
    let page = "text\n```yaml\n# a comment\nroutes:\n  - nme: x\n```\nmore\n```yaml\nlisen: 1\n```\n```json\n{\n```\n";
    let found = blocks(page);
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 9]);
    assert_eq!((first_key(&found[0].1), first_key(&found[1].1)), ("routes", "lisen"));
    assert!(mapping(&found[0].1).unwrap_err().contains("nme"));
    assert!(load(&found[1].1).unwrap_err().contains("lisen"));
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = markdown(&root.join("docs"));
    pages.push(root.join("README.md"));
    let mut wrong = Vec::new();
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        for link in links(&text).filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let heading = |line: &str| line.starts_with('#') && slug(line) == anchor;
            let found = target.exists()
                && (anchor.is_empty() || std::fs::read_to_string(&target).unwrap().lines().any(heading));
            wrong.extend((!found).then(|| format!("{}: {link}", page.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// With `UPDATE` in the environment it writes the table instead.
#[test]
fn what_is_required_is_shown_by_tests() {
    const PAGE: &str = "docs/conformance.md";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (begin, end) = ("<!-- begin requirements -->\n", "<!-- end requirements -->");
    let page = std::fs::read_to_string(root.join(PAGE)).unwrap();
    let (before, rest) = page.split_once(begin).unwrap();
    let (old, after) = rest.split_once(end).unwrap();
    let new = table::table(root).unwrap_or_else(|wrong| panic!("\n{}\n", wrong.join("\n")));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(root.join(PAGE), format!("{before}{begin}{new}{end}{after}")).unwrap();
    } else {
        assert!(old == new, "UPDATE=1 cargo test --test docs brings {PAGE} up to date");
    }
}

/// Where the links and pictures of a page lead.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let after = |start: &'static str, end: char| {
        page.split(start).skip(1).filter_map(move |rest| rest.split(end).next())
    };
    after("](", ')').chain(after("src=\"", '"')).chain(after("srcset=\"", '"'))
}

/// The anchor of a heading.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

fn mapping(block: &str) -> Result<(), String> {
    match route::parse(&[Source { file: Path::new("block"), text: block }]) {
        Ok(_) => Ok(()),
        Err(problems) => Err(problems.to_string()),
    }
}

fn load(block: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("halley.yaml");
    // Secrets that a block refers to are elsewhere; here they are beside it.
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "x").unwrap();
    let mut text = String::new();
    for (n, part) in block.split("${file:").enumerate() {
        if n > 0 {
            let rest = part.split_once('}').expect("a reference ends").1;
            let _ = write!(text, "${{file:{}}}{rest}", secret.display());
        } else {
            text += part;
        }
    }
    std::fs::write(&file, text).unwrap();
    let env = std::iter::empty::<(String, String)>();
    config::load(LoadOptions { config: Some(file), sets: Vec::new(), env })
        .map(drop)
        .map_err(|problems| problems.to_string())
}

/// The first key at the beginning of a line.
fn first_key(block: &str) -> &str {
    let line = block.lines().find(|line| line.starts_with(|c: char| c.is_alphabetic())).unwrap_or_default();
    line.split(':').next().unwrap_or_default()
}

/// The fenced YAML blocks of a page with the line that they begin in.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (n, line) in page.lines().enumerate() {
        match &mut open {
            None if matches!(line.trim(), "```yaml" | "```yml") => open = Some((n + 2, String::new())),
            None => {}
            Some(_) if line.trim() == "```" => found.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages.extend(markdown(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages
}
