//! Settings from files, environment and flags, as `halley serve` reads them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use halley::config::{self, ConnectionType, LoadOptions, LogFormat, SameSite, Settings};
use proptest::prelude::*;

/// Loads settings from a file's text, environment and flags; problems as lines, without the folder of the file.
fn load(file: &str, env: &[(&str, &str)], sets: &[&str]) -> Result<Settings, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    load_in(folder.path(), file, env, sets)
}

fn load_in(folder: &Path, file: &str, env: &[(&str, &str)], sets: &[&str]) -> Result<Settings, Vec<String>> {
    let path = folder.join("halley.yaml");
    std::fs::write(&path, file).unwrap();
    let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let sets = sets.iter().map(|set| (*set).to_owned()).collect();
    config::load(LoadOptions { config: Some(path), sets, env }).map_err(|problems| {
        let lines = problems.to_string().replace(&format!("{}/", folder.display()), "");
        lines.lines().map(str::to_owned).collect()
    })
}

fn problems(file: &str, env: &[(&str, &str)], sets: &[&str]) -> Vec<String> {
    load(file, env, sets).unwrap_err()
}

/// The defaults, with the mappings beside the settings file.
fn defaults(folder: &Path) -> Settings {
    Settings { mappings: vec![folder.join("mappings/")], ..Settings::default() }
}

#[test]
fn nothing_set_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["", "kafka:\nbayeux:\n  cookie: ~\nlimits: {}\n"] {
        assert_eq!(load_in(folder.path(), file, &[], &[]), Ok(defaults(folder.path())));
    }
}

#[test]
fn every_default_may_be_written_down_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = String::new();
    let mut sets = Vec::new();
    for (name, default) in config::defaults().filter(|(name, _)| *name != "mappings") {
        sets.push(format!("{name}={default}"));
        if !name.contains('.') {
            writeln!(file, "{name}: {default}").unwrap();
        }
    }
    let sets: Vec<_> = sets.iter().map(String::as_str).collect();
    assert_eq!(load_in(folder.path(), "", &[], &sets), Ok(defaults(folder.path())));
    assert_eq!(load_in(folder.path(), &file, &[], &[]), Ok(defaults(folder.path())));
}

#[test]
fn all_that_works_can_be_set() {
    let file = r#"
listen: ["127.0.0.1:8081", "[::1]:8081"]
admin: 127.0.0.1:9081
kafka:
  bootstrap.servers: a:9092,b:9092
  fetch.max.bytes: 8388608
  enable.partition.eof: true
mappings: [one.yaml, /etc/halley/more]
bayeux:
  path: [/cometd, /faye/]
  transports: [callback-polling, eventsource]
  clients_per_browser: 3
  multi_client_interval: 5s
  timeout: 20s
  interval: 500ms
  max_interval: 2m
  cookie: { secure: true, same_site: none, partitioned: true, domain: example.com, path: /cometd, max_age: 30d }
origins: ["https://app.example.com", "https://*.example.com:8443", "*"]
limits: { body: 64KiB, batch: 10, depth: 16, channel: 100, subscriptions: 5, header_bytes: 16KiB,
          header_timeout: 10s, body_timeout: 5s, root_patterns: false }
subscribe: { timeout: 3s }
publish: { timeout: 4s, in_flight_per_session: 2, in_flight: 3 }
queue: { bytes: 64KiB }
drain: 5s
ready: { kafka: true }
shards: 3
log: { level: "warn,halley::kafka=debug", format: json }
"#;
    let folder = tempfile::tempdir().unwrap();
    let settings = load_in(folder.path(), file, &[], &[]).unwrap();
    assert_eq!(settings.listen, ["127.0.0.1:8081".parse().unwrap(), "[::1]:8081".parse().unwrap()]);
    assert_eq!(settings.admin, "127.0.0.1:9081".parse().unwrap());
    assert_eq!(settings.kafka["bootstrap.servers"], "a:9092,b:9092");
    assert_eq!(settings.kafka["fetch.max.bytes"], "8388608");
    assert_eq!(settings.kafka["enable.partition.eof"], "true");
    assert_eq!(settings.mappings, [folder.path().join("one.yaml"), PathBuf::from("/etc/halley/more")]);
    assert_eq!(settings.bayeux.path, ["/cometd", "/faye"]);
    assert_eq!(settings.bayeux.transports, [ConnectionType::EventSource, ConnectionType::CallbackPolling]);
    assert_eq!(settings.bayeux.interval, Duration::from_millis(500));
    assert_eq!(settings.bayeux.max_interval, Duration::from_mins(2));
    assert!(settings.bayeux.cookie.secure && settings.bayeux.cookie.partitioned);
    assert_eq!(settings.bayeux.cookie.same_site, SameSite::None);
    assert_eq!(settings.bayeux.cookie.domain.as_deref(), Some("example.com"));
    assert_eq!(settings.bayeux.cookie.path, "/cometd");
    assert_eq!(settings.bayeux.clients_per_browser, Some(3));
    assert_eq!(settings.bayeux.multi_client_interval, Duration::from_secs(5));
    assert_eq!(settings.bayeux.cookie.max_age, Some(Duration::from_hours(24 * 30)));
    assert_eq!(settings.origins, ["https://app.example.com", "https://*.example.com:8443", "*"]);
    assert_eq!((settings.limits.body, settings.limits.header_bytes), (64 << 10, 16 << 10));
    assert!(!settings.limits.root_patterns);
    assert_eq!((settings.publish.in_flight_per_session, settings.publish.in_flight), (2, 3));
    assert_eq!(settings.queue.bytes, 64 << 10);
    assert_eq!(settings.shard_count(), 3);
    assert_eq!(settings.log.format, LogFormat::Json);
    assert!(settings.log.level.would_enable("halley::kafka::reader", &tracing::Level::DEBUG));
    assert!(!settings.log.level.would_enable("halley::hub", &tracing::Level::INFO));
}

#[test]
fn five_errors_of_three_kinds_give_five_lines() {
    let file = "\
listen: 0.0.0.0
bayeux:
  timout: 20s
  max_interval: soon
limits: { batch: none, body: 1MiB }
registry: { url: r }
";
    assert_eq!(
        problems(file, &[], &[]),
        [
            r#"halley.yaml:1:9: listen: "0.0.0.0" is not an address with a port (such as 0.0.0.0:8080 or [::]:8080)"#,
            "halley.yaml:3:3: bayeux.timout: unknown key (did you mean timeout?)",
            r#"halley.yaml:4:17: bayeux.max_interval: "soon" is not a duration (such as 30s, 250ms, 2m or 1h)"#,
            r#"halley.yaml:5:18: limits.batch: "none" is not a whole number (such as 100)"#,
            "halley.yaml:6:11: registry: not yet: this version has only the default (remove it, or null)",
        ]
    );
}

#[test]
fn problems_say_where_and_what_to_do() {
    for (file, expected) in [
        ("bayuex: {}\n", "1:1: bayuex: unknown key (did you mean bayeux?)"),
        ("kafak: {}\n", "1:1: kafak: unknown key (did you mean kafka?)"),
        ("dialect: x\n", "1:1: dialect: unknown key (did you mean bayeux.dialect?)"),
        ("zzz: 1\n", "1:1: zzz: unknown key"),
        ("bayeux: 5\n", "1:9: bayeux: expected a map, found a number"),
        ("- a\n", "1:1: the file: expected a map, found a list"),
        ("listen: []\n", "1:9: listen: the list is empty"),
        ("listen: ~\n", "1:9: listen: expected a list, found nothing"),
        ("admin: null\n", "1:8: admin: expected an address with a port, found nothing"),
        ("drain: [1s]\n", "1:8: drain: expected a duration, found a list"),
        ("drain: {}\n", "1:8: drain: expected a single value, found a map"),
        ("drain: 30\n", r#"1:8: drain: "30" is not a duration (such as 30s, 250ms, 2m or 1h)"#),
        ("publish: { timeout: 0s }\n", "1:21: publish.timeout: 0ms is out of range (at least 1ms)"),
        ("publish: { timeout: 30d }\n", "1:21: publish.timeout: 30d is out of range (at most 1d)"),
        (
            "limits: { header_bytes: 4KiB }\n",
            "1:25: limits.header_bytes: 4KiB is out of range (at least 8KiB)",
        ),
        (
            "log: { level: inof }\n",
            r#"1:15: log.level: "inof" is not a log level (one of error, warn, info, debug, trace, off; for parts: info,halley::kafka=debug)"#,
        ),
        ("log: { format: jsn }\n", r#"1:16: log.format: "jsn" is not text or json (did you mean json?)"#),
        ("ready: { kafka: yes }\n", r#"1:17: ready.kafka: "yes" is not true or false"#),
        (
            "listen:\n  - 0.0.0.0:1\n  - x\n",
            r#"3:5: listen: "x" is not an address with a port (such as 0.0.0.0:8080 or [::]:8080)"#,
        ),
        (
            "origins: [app.example.com]\n",
            r#"1:11: origins: "app.example.com" is not an origin (such as https://app.example.com, https://*.example.com or *)"#,
        ),
        (
            "origins: [*]\n",
            "1:11: not valid YAML: while scanning an anchor or alias, did not find expected alphabetic or numeric character (a value that begins with * must be quoted)",
        ),
        (
            "bayeux: { transports: [flash] }\n",
            "1:24: bayeux.transports: \"flash\" is not a transport (all, or a list of websocket, eventsource, long-polling, cross-origin-long-polling, callback-polling)",
        ),
        ("bayeux: { transports: [] }\n", "1:23: bayeux.transports: the list is empty"),
        ("bayeux: { path: cometd }\n", r#"1:17: bayeux.path: "cometd" is not a path (such as /cometd)"#),
        (
            "bayeux: { dialect: salesforce }\n",
            "1:20: bayeux.dialect: not yet: this version has only the default (remove it, or cometd)",
        ),
        (
            "auth: { anonymous: false }\n",
            "1:20: auth.anonymous: not yet: this version has only the default (remove it, or true)",
        ),
        (
            "bayeux: { cookie: { same_site: none } }\n",
            "1:32: bayeux.cookie.same_site: browsers drop such a cookie (set bayeux.cookie.secure: true)",
        ),
        ("tls: { cert: a.pem }\n", "1:14: tls.cert: tls.key is missing"),
        ("tls: { key: a.pem }\n", "1:13: tls.key: tls.cert is missing"),
        ("tls: { client_ca: a.pem }\n", "1:19: tls.client_ca: tls.cert is missing"),
        (
            "kafka: { bootstrap: { servers: x } }\n",
            "1:21: kafka.bootstrap: expected a single value, found a map (write a property's name in one: bootstrap.servers)",
        ),
        (
            "kafka: { bootstrap.servers: [a, b] }\n",
            "1:29: kafka.bootstrap.servers: expected a string, found a list (write one string with commas)",
        ),
        ("kafka: { Bootstrap: a }\n", "1:21: kafka.Bootstrap: not a name of a librdkafka property"),
    ] {
        assert_eq!(problems(file, &[], &[]), [format!("halley.yaml:{expected}")], "{file}");
    }
}

#[test]
fn line_ends_and_marks_of_other_systems_do_not_matter() {
    let settings = load("\u{feff}# settings\r\ndrain: 1s\r\nqueue:\r\n  bytes: 8KiB\r\n", &[], &[]).unwrap();
    assert_eq!((settings.drain, settings.queue.bytes), (Duration::from_secs(1), 8192));
}

#[test]
fn a_file_that_is_missing_is_a_problem() {
    let config = Some("/nonexistent/halley.yaml".into());
    let text = config::load(LoadOptions { config, sets: Vec::new(), env: [] }).unwrap_err().to_string();
    assert!(
        text.starts_with("the settings file: cannot read /nonexistent/halley.yaml: No such file"),
        "{text}"
    );
}

#[test]
fn flags_win_over_environment_and_environment_over_the_file() {
    let file = "bayeux: { timeout: 1s, interval: 1s, max_interval: 1s }\n\
                kafka: { a.b: file, c.d: file, e.f: file }\n";
    let env = [
        ("HALLEY__BAYEUX__INTERVAL", "2s"),
        ("HALLEY__BAYEUX__MAX_INTERVAL", "2s"),
        ("HALLEY__KAFKA__C_D", "env"),
        ("HALLEY__KAFKA__E_F", "env"),
        ("HALLEY_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    let sets = ["bayeux.max_interval=3s", "kafka.e.f=flag", "drain=1s", "drain=2s"];
    let settings = load(file, &env, &sets).unwrap();
    let bayeux = &settings.bayeux;
    assert_eq!([bayeux.timeout, bayeux.interval, bayeux.max_interval].map(|time| time.as_secs()), [1, 2, 3]);
    let kafka = ["a.b", "c.d", "e.f", "bootstrap.servers"].map(|name| settings.kafka[name].as_str());
    assert_eq!(kafka, ["file", "env", "flag", "localhost:9092"]);
    assert_eq!(settings.drain, Duration::from_secs(2));
}

#[test]
fn a_value_that_is_overridden_does_not_matter() {
    let settings = load("drain: soon\n", &[("HALLEY__DRAIN", "later")], &["drain=1s"]).unwrap();
    assert_eq!(settings.drain, Duration::from_secs(1));
}

#[test]
fn lists_and_maps_in_environment_and_flags() {
    let env = [
        ("HALLEY__ORIGINS", "https://a.example, https://b.example"),
        ("HALLEY__LISTEN", "[0.0.0.0:1, 0.0.0.0:2]"),
        ("HALLEY__KAFKA__BOOTSTRAP_SERVERS", "k:9092"),
    ];
    let sets =
        ["bayeux.cookie={secure: true, same_site: strict}", "bayeux.path=/a,/b", "kafka={client.id: x}"];
    let settings = load("", &env, &sets).unwrap();
    assert_eq!(settings.origins, ["https://a.example", "https://b.example"]);
    assert_eq!(settings.listen.len(), 2);
    assert!(settings.bayeux.cookie.secure);
    assert_eq!(settings.bayeux.path, ["/a", "/b"]);
    assert_eq!(settings.kafka["client.id"], "x");
    assert_eq!(settings.kafka["bootstrap.servers"], "k:9092");
}

#[test]
fn problems_with_environment_and_flags_name_them() {
    let env = [("HALLEY__BAYEUX__TIMOUT", "1s"), ("HALLEY__DRAIN", "soon"), ("HALLEY__LIMITS", "5")];
    let sets = ["bayeux", "bayeux.timeout=x", "origins=[", "registry.url=a"];
    assert_eq!(
        problems("zz: 1\n", &env, &sets),
        [
            "halley.yaml:1:1: zz: unknown key",
            "HALLEY__BAYEUX__TIMOUT: bayeux.timout: unknown key (did you mean timeout?)",
            "HALLEY__LIMITS: limits: expected a map, found a string",
            "--set: bayeux: there is no = (such as --set bayeux.timeout=20s)",
            "--set: origins: not valid YAML: unclosed bracket '['",
            "--set: registry: not yet: this version has only the default (remove it, or null)",
            r#"--set: bayeux.timeout: "x" is not a duration (such as 30s, 250ms, 2m or 1h)"#,
            r#"HALLEY__DRAIN: drain: "soon" is not a duration (such as 30s, 250ms, 2m or 1h)"#,
        ]
    );
}

#[test]
fn references_stand_for_environment_and_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "p${env:X}w\r\n").unwrap();
    let file = "\
kafka:
  sasl.password: ${file:password}
  sasl.username: user-${env:NAME}-${env:NAME}
  client.id: a$${env:NAME}$b
drain: ${env:DRAIN}
listen: ${env:LISTEN}
";
    let env = [("NAME", "n"), ("DRAIN", "3s"), ("LISTEN", "0.0.0.0:1,0.0.0.0:2")];
    let settings = load_in(folder.path(), file, &env, &[]).unwrap();
    assert_eq!(settings.kafka["sasl.password"], "p${env:X}w");
    assert_eq!(settings.kafka["sasl.username"], "user-n-n");
    assert_eq!(settings.kafka["client.id"], "a${env:NAME}$b");
    assert_eq!(settings.drain, Duration::from_secs(3));
    assert_eq!(settings.listen.len(), 2);

    let file = "kafka: { a: \"${env:NONE}\", b: \"${file:none}\", c: \"${x}\", d: \"${env:NONE\" }\n\
                drain: ${env:SECRET}\n";
    assert_eq!(
        load_in(folder.path(), file, &[("SECRET", "hunter2")], &[]).unwrap_err(),
        [
            "halley.yaml:1:13: kafka.a: environment variable NONE is not set",
            "halley.yaml:1:31: kafka.b: cannot read none: No such file or directory (os error 2)",
            "halley.yaml:1:50: kafka.c: ${x} is not a reference (known are ${env:NAME} and ${file:/path}; \
             write $${ for a plain ${)",
            "halley.yaml:1:61: kafka.d: a reference is not closed with } (write $${ for a plain ${)",
            r#"halley.yaml:2:8: drain: "${env:SECRET}" is not a duration (such as 30s, 250ms, 2m or 1h)"#,
        ]
    );
}

#[test]
fn secrets_do_not_show() {
    let sets = ["kafka.sasl.password=hunter2", "kafka.ssl.key.pem=hunter2", "kafka.bootstrap.servers=a:1"];
    let shown = format!("{:?}", load("", &[], &sets).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("a:1") && shown.contains("sasl.password"), "{shown}");
}

#[test]
fn mapping_files_are_read_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for folder in ["mappings", "mappings/..data", "empty"] {
        std::fs::create_dir(path(folder)).unwrap();
    }
    for file in ["mappings/b.yaml", "mappings/a.yml", "mappings/c.txt", "mappings/.hidden.yaml", "z.conf"] {
        std::fs::write(path(file), file).unwrap();
    }
    let files = |mappings: &str| {
        config::mapping_files(&load_in(folder.path(), mappings, &[], &[]).unwrap())
            .map_err(|problems| problems.to_string().replace(&format!("{}/", folder.path().display()), ""))
    };
    let file = |name: &str| (path(name), name.to_owned());
    let of_folder = [file("mappings/a.yml"), file("mappings/b.yaml")];
    assert_eq!(files("").unwrap(), of_folder);
    let listed = files("mappings: [z.conf, mappings, mappings/b.yaml]\n").unwrap();
    assert_eq!(listed[0], file("z.conf"));
    assert_eq!(listed[1..], of_folder);
    assert_eq!(
        files("mappings: [empty, none]\n").unwrap_err(),
        "mappings: no *.yaml or *.yml in empty\n\
         mappings: cannot read none: No such file or directory (os error 2)"
    );
}

proptest! {
    /// Whatever the file, loading it ends with settings or with problems of one line each.
    #[test]
    fn any_file_is_settings_or_problems(
        file in "([a-z]{1,8}|bayeux|limits|kafka|path|[ \n:{}\\[\\],'\"$*&!|>-]){0,24}"
    ) {
        if let Err(lines) = load(&file, &[], &[]) {
            prop_assert!(!lines.is_empty());
            prop_assert!(lines.iter().all(|line| line.contains(": ")), "{lines:?}");
        }
    }

    /// The same for flags and the environment.
    #[test]
    fn any_flag_is_settings_or_problems(name in "[a-z._]{0,12}", value in "[ -~]{0,12}") {
        let env = format!("HALLEY__{}", name.replace('.', "__").to_uppercase());
        let _ = load("", &[(&env, &value)], &[&format!("{name}={value}")]);
    }

    /// Of the layers that set a key, the highest counts.
    #[test]
    fn the_highest_layer_counts(
        file in proptest::option::of(1_u64..1000),
        env in proptest::option::of(1_u64..1000),
        flag in proptest::option::of(1_u64..1000),
    ) {
        let text = file.map_or(String::new(), |n| format!("drain: {n}s\n"));
        let variable = env.map(|n| format!("{n}s"));
        let env_list: Vec<_> = variable.iter().map(|text| ("HALLEY__DRAIN", text.as_str())).collect();
        let set = flag.map(|n| format!("drain={n}s"));
        let sets: Vec<_> = set.iter().map(String::as_str).collect();
        let expected = flag.or(env).or(file).unwrap_or(20);
        prop_assert_eq!(load(&text, &env_list, &sets).unwrap().drain, Duration::from_secs(expected));
    }
}
