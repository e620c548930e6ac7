//! `docs/settings.md` says what the code does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use halley::config;

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
