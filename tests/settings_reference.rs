//! `docs/settings.md` says what the code does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use halley::config::{self, LoadOptions};

const PAGE: &str = "docs/settings.md";

/// With `UPDATE` in the environment it writes the page instead.
#[test]
fn the_tables_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- begin -->\n").unwrap();
    let (tables, after) = rest.split_once("<!-- end -->").unwrap();
    if std::env::var_os("UPDATE").is_some() {
        let page = format!("{before}<!-- begin -->\n{}<!-- end -->{after}", config::reference());
        std::fs::write(&path, page).unwrap();
    } else {
        assert!(
            tables == config::reference(),
            "UPDATE=1 cargo test --test settings_reference brings {PAGE} up to date"
        );
    }
}

#[test]
fn every_yaml_block_is_a_proper_settings_file() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "x").unwrap();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
    let blocks: Vec<_> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let file = folder.path().join("halley.yaml");
        std::fs::write(&file, block.replace("/run/secrets/kafka-password", secret.to_str().unwrap()))
            .unwrap();
        let loaded = config::load(LoadOptions { config: Some(file), sets: Vec::new(), env: [] });
        assert!(loaded.is_ok(), "{block}\n{}", loaded.unwrap_err());
    }
}
