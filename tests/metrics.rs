//! What `/metrics` shows, and that `docs/metrics.md` tells all of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;

use halley::telemetry::Metrics;

/// Names of samples, without labels and values.
fn samples(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

#[test]
fn numbers_of_shards_are_summed() {
    let metrics = Metrics::new();
    let (one, two) = (metrics.shard(), metrics.shard());
    one.sessions.set(3);
    two.sessions.set(4);
    one.publishes_written.inc();
    two.publishes_written.add(10);
    two.publishes_refused.inc();
    one.connections.sub(1);
    metrics.node.records_undecodable.inc();
    let text = metrics.text();
    for line in [
        "# TYPE halley_sessions gauge",
        "halley_sessions 7",
        "# TYPE halley_publishes counter",
        r#"halley_publishes_total{outcome="written"} 11"#,
        r#"halley_publishes_total{outcome="refused"} 1"#,
        r#"halley_publishes_total{outcome="outcome_unknown"} 0"#,
        "halley_connections -1",
        r#"halley_records_skipped_total{reason="undecodable"} 1"#,
        "halley_deliveries_total 0",
        concat!("halley_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn every_metric_is_described_once() {
    let text = Metrics::new().text();
    let described: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let names: BTreeSet<_> = described.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names.len(), described.len(), "{described:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured() {
    let text = Metrics::new().text();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.split(' ').nth(1).unwrap().parse::<f64>().unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_start_time_seconds") > 1.7e9);
}

#[test]
fn the_page_names_every_metric_and_no_other() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<String> =
        rows.map(|row| row.split(['`', '{']).next().unwrap().to_owned()).collect();
    assert_eq!(documented, samples(&Metrics::new().text()));
}
