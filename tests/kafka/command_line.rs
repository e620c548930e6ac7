//! `halley check` and `halley serve` with files full of mistakes.

use std::path::Path;
use std::process::Output;

use crate::support::gateway::halley;
use crate::support::kafka::Kafka;
use crate::support::unique;

const SETTINGS: &str = r#"listen: 127.0.0.1:8080
lisen: 127.0.0.1:8081
publish: { timeout: soon }
kafka: { bootstrap.servers: "127.0.0.1:9092" }
mappings: mappings/
"#;

const ROUTES: &str = r#"routes:
  - name: prices
    channel: "/prices/{symbol}"
    tpic: prices
    topic: prices
    key: "{symbol}"
  - name: orders
    channel: "/orders/{region}/{id}"
    topic: orders
    key: "{id}"
  - name: later
    channel: "/later/{id}"
    topic: later
    key: "{id}"
    filter: "value.x > 1"
"#;

const GOLDEN: [&str; 5] = [
    "halley.yaml:2:1: lisen: unknown key (did you mean listen?)",
    "halley.yaml:3:21: publish.timeout: \"soon\" is not a duration (such as 30s, 250ms, 2m or 1h)",
    "mappings/routes.yaml:4:5: route prices.tpic: unknown key (did you mean topic?)",
    "mappings/routes.yaml:8:14: route orders.channel: {region} cannot be derived from a record: it is not in topic, key or \
     bind (put {region} into topic or key, or say where it is: bind: { region: header:region })",
    "mappings/routes.yaml:15:13: route later.filter: not yet: this version of Halley cannot do it",
];

fn files(dir: &Path) {
    std::fs::create_dir(dir.join("mappings")).unwrap();
    std::fs::write(dir.join("halley.yaml"), SETTINGS).unwrap();
    std::fs::write(dir.join("mappings/routes.yaml"), ROUTES).unwrap();
}

/// The lines about the files, wherever they were printed.
fn problems(output: &Output) -> Vec<String> {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(all).expect("output in UTF-8");
    assert!(!text.contains("panicked"), "{text}");
    text.lines().filter(|line| line.contains(".yaml:")).map(str::to_owned).collect()
}

#[test]
fn five_mistakes_of_three_kinds_are_five_lines() {
    for command in ["check", "serve"] {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path());
        let output = halley(dir.path(), &[command, "--config", "halley.yaml"]);
        assert_eq!(output.status.code(), Some(2), "{command}: {output:?}");
        let found = problems(&output);
        assert_eq!(found, GOLDEN, "{command}");
    }
}

#[test]
fn a_good_pair_of_files_is_good() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("mappings")).unwrap();
    std::fs::write(dir.path().join("halley.yaml"), "mappings: mappings/\n").unwrap();
    let good = "routes:\n  - name: prices\n    channel: \"/prices/{symbol}\"\n    topic: prices\n    key: \"{symbol}\"\n";
    std::fs::write(dir.path().join("mappings/routes.yaml"), good).unwrap();
    let output = halley(dir.path(), &["check", "--config", "halley.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("/prices/{symbol}"), "{output:?}");
    let output = halley(dir.path(), &["route", "--config", "halley.yaml", "/prices/ACME"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("ACME"), "{output:?}");
}

#[test]
fn a_missing_file_or_a_bad_flag_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["serve", "--config", "absent.yaml"][..],
        &["check", "--config", "absent.yaml"],
        &["serve", "--set", "listen"],
        &["serve", "--set", "listen=nonsense"],
        &["serve", "--set", "nonsense=1"],
        &["nonsense"],
    ] {
        let output = halley(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!text.contains("panicked") && !text.is_empty(), "{args:?}: {text}");
    }
}

#[test]
fn the_cluster_is_compared_with_the_routes() {
    let kafka = Kafka::shared();
    let stem = unique("live");
    for (name, partitions) in [("there", 3), ("like.a", 1), ("like.b", 2)] {
        kafka.create_topic(&format!("{stem}.{name}"), partitions);
    }
    let dir = tempfile::tempdir().unwrap();
    let routes = |more: &str| {
        let text = format!(
            "routes:\n  - {{ name: there, channel: \"/there/{{id}}\", topic: {stem}.there, key: \"{{id}}\" }}\n\
             \x20 - {{ name: like, channel: \"/like/{{x}}\", topic: \"{stem}.like.{{x}}\" }}\n{more}"
        );
        std::fs::write(dir.path().join("routes.yaml"), text).unwrap();
    };
    let set = format!("kafka.bootstrap.servers={}", kafka.bootstrap());
    let check = || {
        let output = halley(dir.path(), &["check", "--live", "--set", "mappings=routes.yaml", "--set", &set]);
        let text = String::from_utf8(output.stdout).unwrap();
        let report: Vec<String> = text
            .lines()
            .skip_while(|line| !line.contains("CLUSTER"))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        (output.status.code(), report)
    };
    routes("");
    let (status, report) = check();
    assert_eq!(
        report,
        [
            "ROUTE TOPIC PARTITIONS CLUSTER".to_owned(),
            format!("there {stem}.there 3 ok"),
            format!("like {stem}.like.a 1 ok"),
            format!("like {stem}.like.b 2 ok"),
            String::new(),
            "0 errors, 0 warnings".to_owned(),
        ]
    );
    assert_eq!(status, Some(0));
    routes(&format!(
        "  - {{ name: absent, channel: /absent, topic: {stem}.absent, publish: }}\n\
         \x20 - {{ name: none, channel: \"/none/{{x}}\", topic: \"{stem}.none.{{x}}\" }}\n"
    ));
    let (status, report) = check();
    let said = |name: &str| report.iter().find(|line| line.starts_with(name)).unwrap().clone();
    assert!(
        said("absent").starts_with(&format!("absent {stem}.absent - error: there is no such topic")),
        "{report:?}"
    );
    assert!(said("none").starts_with(&format!("none {stem}.none.{{x}} - warning: no topic")), "{report:?}");
    assert_eq!(report.last().unwrap(), "1 error, 1 warning");
    assert_eq!(status, Some(1));
    let begun = std::time::Instant::now();
    let nowhere =
        ["check", "--live", "--set", "mappings=routes.yaml", "--set", "kafka.bootstrap.servers=127.0.0.1:1"];
    let output = halley(dir.path(), &nowhere);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no answer from Kafka"), "{output:?}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
}
