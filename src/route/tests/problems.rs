//! What mapping files get wrong, and what is said of it.

use super::*;

fn problems(text: &str) -> Vec<String> {
    match parse(&[Source { file: Path::new("r.yaml"), text }]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

/// The problems of one route, without the file's name.
fn of_route(route: &str) -> Vec<String> {
    let indented = route.trim_start().replace('\n', "\n    ");
    problems(&format!("routes:\n  - {indented}\n"))
        .iter()
        .map(|line| line.trim_start_matches("r.yaml:").to_owned())
        .collect()
}

#[test]
fn every_problem_of_every_file_is_told_in_order() {
    let files = [
        (
            "a.yaml",
            "routes:\n  - name: a\n    chanel: /a\n    topic: a\n  - name: b\n    channel: /b\n    topic: {b}\n",
        ),
        (
            "b.yaml",
            "routes:\n  - { name: a, channel: /c, topic: c, expose: [key] }\n  - name: d\n    channel: {d}/x\n",
        ),
        ("c.yaml", "rotues: []\n"),
    ];
    let sources: Vec<_> = files.iter().map(|(file, text)| Source { file: Path::new(file), text }).collect();
    let problems = parse(&sources).unwrap_err();
    assert_eq!(
        problems.to_string().lines().collect::<Vec<_>>(),
        [
            "a.yaml:2:5: route a.channel: missing",
            "a.yaml:3:5: route a.chanel: unknown key (did you mean channel?)",
            "a.yaml:7:12: route b.topic: expected a string, found a map (quote it: \"{b}\")",
            "b.yaml:4:17: not valid YAML: while parsing a block mapping, did not find expected key (quote it: \"{d}/x\")",
            "c.yaml:1:1: rotues: unknown key (did you mean routes?)",
        ]
    );
}

#[test]
fn templates() {
    for (route, expected) in [
        (
            "name: a\nchannel: a/{x}\ntopic: a\nkey: '{x}'",
            "3:14: route a.channel: \"a/{x}\": a channel begins with '/'",
        ),
        (
            "name: a\nchannel: /a//b\ntopic: a",
            "3:14: route a.channel: \"/a//b\": a channel has no empty segment",
        ),
        (
            "name: a\nchannel: /a/{x**}/b\ntopic: a\nkey: '{x**}'",
            "3:14: route a.channel: \"/a/{x**}/b\": {x**} is for the last segment, alone",
        ),
        (
            "name: a\nchannel: /a/b{x**}\ntopic: a\nkey: '{x**}'",
            "3:14: route a.channel: \"/a/b{x**}\": {x**} is for the last segment, alone",
        ),
        (
            "name: a\nchannel: /a/*\ntopic: a",
            "3:14: route a.channel: \"/a/*\": '*' is not allowed in a channel (a variable of several segments is written {x**})",
        ),
        (
            "name: a\nchannel: '/a/{x}:{y}'\ntopic: a",
            "3:14: route a.channel: \"/a/{x}:{y}\": ':' is not allowed in a channel",
        ),
        (
            "name: a\nchannel: '/a/{x}{y}'\ntopic: a",
            "3:14: route a.channel: \"/a/{x}{y}\": nothing stands between {x} and {y}, so they cannot be told apart (put text between them, as in {x}-{y})",
        ),
        ("name: a\nchannel: '/{x}/{x}'\ntopic: a", "3:14: route a.channel: \"/{x}/{x}\": {x} occurs twice"),
        (
            "name: a\nchannel: '/a/{x~7E}'\ntopic: a",
            "3:14: route a.channel: \"/a/{x~7E}\": \"x~7E\" is not a name of a variable (a brace that begins no variable is written {{ or }})",
        ),
        ("name: a\nchannel: /meta/a\ntopic: a", "3:14: route a.channel: /meta belongs to the protocol"),
        (
            "name: a\nchannel: '/a/{x**}'\ntopic: a\nkey: '{x}'",
            "5:10: route a.key: \"{x}\": {x} is here, but {x**} elsewhere in the route (write it one way everywhere: {x} or {x**})",
        ),
        (
            "name: a\nchannel: '/a/{x**}'\ntopic: 'a.{x**}'",
            "4:12: route a.topic: {x**} cannot be in a topic, which has no segments",
        ),
        (
            "name: a\nchannel: /a\ntopic: 'a:b'",
            "4:12: route a.topic: \"a:b\" is not a name that Kafka allows (letters, digits, '.', '_' and '-', at most 249)",
        ),
        ("name: a\nchannel: /a\ntopic: []", "4:12: route a.topic: the list is empty"),
        (
            "name: a\nchannel: /a/{x}\ntopic: '__{x}'",
            "4:12: route a.topic: unreachable: templates never match topics that begin with '_'",
        ),
    ] {
        assert_eq!(of_route(route), [expected], "{route}");
    }
}

#[test]
fn events_wait_a_little_or_not_at_all() {
    for lazy in ["0ms", "2m", "soon", "200"] {
        let expected =
            format!("5:11: route a.lazy: \"{lazy}\" is not a duration between 1ms and 1m (such as 200ms)");
        assert_eq!(of_route(&format!("name: a\nchannel: /a\ntopic: a\nlazy: {lazy}")), [expected]);
    }
    assert_eq!(of_route("name: a\nchannel: /a\ntopic: a\nlazy: 200ms"), Vec::<String>::new());
}

#[test]
fn what_does_not_work_yet_is_refused() {
    for (key, place) in [
        ("filter: value.x > 1", "5:13"),
        ("envelope: none", "5:15"),
        ("expose: [key]", "5:13"),
        ("dead_letter: dlq", "5:18"),
        ("slow_consumer: conflate", "5:20"),
        ("recipient: key", "5:16"),
        ("subscribe: { start: earliest }", "5:25"),
        ("subscribe: { start: 10m }", "5:25"),
        ("subscribe: { allow: true }", "5:25"),
        ("subscribe: { replay_max_age: 1h }", "5:34"),
        ("publish: { allow: true }", "5:23"),
        ("publish: { echo: false }", "5:22"),
        ("publish: { subject: s }", "5:25"),
        ("publish: { headers: { u: '{claims.sub}' } }", "5:30"),
        ("key_format: avro", "5:17"),
        ("on_error: dead_letter", "5:15"),
    ] {
        let found = of_route(&format!("name: a\nchannel: /a\ntopic: a\n{key}"));
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        assert!(found[0].starts_with(&format!("{place}: route a.")), "{key}: {found:?}");
        assert!(found[0].ends_with("not yet: this version of Halley cannot do it"), "{key}: {found:?}");
    }
}

#[test]
fn values_that_are_none() {
    for (key, expected) in [
        (
            "key_format: log",
            "5:17: route a.key_format: \"log\" is none of text, json, long, int, uuid, bytes (did you mean long?)",
        ),
        (
            "partitioner: murmur",
            "5:18: route a.partitioner: \"murmur\" is none of murmur2, crc32, fnv1a (did you mean murmur2?)",
        ),
        ("on_error: stop", "5:15: route a.on_error: \"stop\" is none of skip"),
        (
            "subscribe: { start: soon }",
            "5:25: route a.subscribe.start: \"soon\" is none of latest, earliest, snapshot or a duration",
        ),
        ("subscribe: 1", "5:16: route a.subscribe: expected true, false or a map, found a number"),
        ("subscribe: { strat: latest }", "5:18: route a.subscribe.strat: unknown key (did you mean start?)"),
        ("publish: { header: {} }", "5:16: route a.publish.header: unknown key (did you mean headers?)"),
        ("match: { x: '(' }", "5:14: route a.match.x: the route has no variable {x}"),
        ("bind: { x: key }", "5:13: route a.bind.x: the route has no variable {x}"),
        (
            "data: { a: price }",
            "5:16: route a.data.a: \"price\" is not a selector (a selector is topic, partition, offset, timestamp, key, key:/pointer, header:NAME, value, value:/pointer or =literal)",
        ),
        (
            "data: { a: 'value:x' }",
            "5:16: route a.data.a: \"x\" is not a JSON pointer, such as /a/b (a selector is topic, partition, offset, timestamp, key, key:/pointer, header:NAME, value, value:/pointer or =literal)",
        ),
        ("data: { a: 0x1F }", "5:16: route a.data.a: 0x1F is not a number of JSON"),
        ("data: 'key:/a'", "5:11: route a.data: key:/a needs key_format: json"),
        ("local: yes", "5:12: route a.local: expected true or false, found a string"),
    ] {
        let found = of_route(&format!("name: a\nchannel: /a\ntopic: a\n{key}"));
        assert!(found.iter().any(|line| line == expected), "{key}: {found:#?}");
    }
}

#[test]
fn regular_expressions() {
    for (regex, expected) in [
        ("'('", "6:17: route a.match.x: \"(\" is not a regular expression: unclosed group"),
        ("'a)|(b'", "6:17: route a.match.x: \"a)|(b\" is not a regular expression: unopened group"),
        (
            "'(?=a)'",
            "6:17: route a.match.x: \"(?=a)\" is not a regular expression: look-around, including look-ahead and look-behind, is not supported",
        ),
        (
            "'(\\w{1000}){1000}'",
            "6:17: route a.match.x: \"(\\\\w{1000}){1000}\" is not a regular expression: it is too big",
        ),
        ("[a-z]", "6:17: route a.match.x: expected a string, found a list (quote it: \"[a-z]\")"),
    ] {
        let found =
            of_route(&format!("name: a\nchannel: /a/{{x}}\ntopic: a\nkey: '{{x}}'\nmatch: {{ x: {regex} }}"));
        assert_eq!(found, [expected], "{regex}");
    }
}

#[test]
fn directions_that_cannot_work() {
    for (route, expected) in [
        (
            "name: a\nchannel: '/a/{x}'\ntopic: a",
            "3:14: route a.channel: {x} cannot be derived from a record: it is not in topic, key or bind (put {x} into topic or key, or say where it is: bind: { x: header:x })",
        ),
        (
            "name: a\nchannel: '/a/{x}'\ntopic: ['a.{x}', b]",
            "3:14: route a.channel: {x} cannot be derived from a record: it is not in topic b, key or bind (put {x} into topic or key, or say where it is: bind: { x: header:x })",
        ),
        (
            "name: a\nchannel: '/a/{x}'\ntopic: 'a.{y}'\nkey: '{x}'\npublish:",
            "4:12: route a.topic: {y} is not in channel, so a publish cannot tell it (put {y} into channel, or remove publish)",
        ),
        (
            "name: a\nchannel: '/a/{x}'\ntopic: a\nkey: '{x}:{y}'\npublish: {}",
            "5:10: route a.key: {y} is not in channel, so a publish cannot tell it (put {y} into channel, or remove publish)",
        ),
        (
            "name: a\nchannel: /a\ntopic: [a, b]\npublish: {}",
            "4:12: route a.topic: a route that is open for publishing has one topic, not a list",
        ),
        (
            "name: a\nchannel: '/a/{x}'\ntopic: a\nbind: { x: offset }\npublish: {}",
            "5:16: route a.bind.x: offset cannot be written by a publish",
        ),
        (
            "name: a\nchannel: '/a/{x}'\ntopic: a\nkey: '{x}'\nbind: { x: 'header:x' }",
            "6:16: route a.bind.x: key tells this variable already",
        ),
        (
            "name: a\nchannel: '/a/{x}'\ntopic: a\nbind: { x: 'header:h' }\npublish: { headers: { h: '1' } }",
            "5:16: route a.bind.x: publish.headers writes the header h as well",
        ),
        (
            "name: a\nchannel: '/a/{x}'\ntopic: a\nvalue_format: text\nbind: { x: 'value:/x' }",
            "6:16: route a.bind.x: value:/x needs value_format: json",
        ),
        (
            "name: a\nchannel: /a\ntopic: a\npublish: { headers: { h: '{x}' } }",
            "5:30: route a.publish.headers.h: \"{x}\": not all of its variables are in channel",
        ),
        (
            "name: a\nchannel: /a\ntopic: a\nsubscribe: false",
            "3:14: route a.channel: it is open neither for subscribing nor for publishing (add publish:)",
        ),
        (
            "name: a\nchannel: /a\nlocal: true",
            "3:14: route a.local: unreachable: nobody may publish, so nothing can ever be here (add publish:)",
        ),
        (
            "name: a\nchannel: /a\nlocal: true\ntopic: a\npublish:",
            "5:12: route a.topic: a local route has no topic, so this has no meaning",
        ),
        (
            "name: a\nchannel: /service/a\ntopic: a\nsubscribe: true\npublish:",
            "5:16: route a.subscribe: records never map to /service (write subscribe: false, or leave it out)",
        ),
        (
            "name: a\nchannel: /service/a\nlocal: true\npublish:",
            "3:14: route a.local: unreachable: nobody can subscribe to /service, so nobody would get anything (give it a topic)",
        ),
        (
            "name: a\nchannel: /a\ntopic: a\npublish:\nreply: { topic: r }",
            "6:12: route a.reply: only a route under /service has replies (the channel has to begin with /service/)",
        ),
        (
            "name: a\nchannel: /service/a\ntopic: a\nreply: { topic: r }",
            "3:14: route a.channel: it is open neither for subscribing nor for publishing (add publish:)",
        ),
        (
            "name: a\nchannel: /service/a\ntopic: a\npublish:\nreply: { topic: a }",
            "6:12: route a.reply: requests would be read as replies: topic a may be a",
        ),
        (
            "name: a\nchannel: '/service/{x}'\ntopic: 'r.{x}'\npublish:\nreply: { topic: r.x }",
            "6:12: route a.reply: requests would be read as replies: topic r.{x} may be r.x",
        ),
        (
            "name: a\nchannel: /service/a\ntopic: a\npublish:\nreply: { topic: 'r.{x}' }",
            "6:21: route a.reply.topic: \"r.{x}\" is not a name that Kafka allows (one topic, no template: letters, digits, '.', '_' and '-', at most 249)",
        ),
        (
            "name: a\nchannel: /service/a\ntopic: a\npublish:\nreply: { topic: r, timeout: 8 }",
            "6:33: route a.reply.timeout: \"8\" is not a duration from 1ms to 1h (such as 8s or 500ms)",
        ),
        (
            "name: a\nchannel: /service/a\ntopic: a\npublish:\nreply: { topic: r, correlation_header: reply-to }",
            "6:12: route a.reply: correlation_header and reply_topic_header are both reply-to",
        ),
        (
            "name: a\nchannel: /service/a\ntopic: a\npublish: { headers: { reply-to: x } }\nreply: { topic: r }",
            "6:12: route a.reply: publish.headers writes the header reply-to as well",
        ),
        (
            "name: a\nchannel: '/service/{x}'\ntopic: a\nbind: { x: 'header:correlation-id' }\npublish:\nreply: { topic: r }",
            "7:12: route a.reply: bind writes the header correlation-id as well",
        ),
        ("name: a\nchannel: /a", "2:5: route a.topic: missing (a route without topic is local: true)"),
        (
            "name: a\nchannel: '/a/{x}'\ntopic: a\nbind: { x: '=b' }\nmatch: { x: '[0-9]+' }",
            "3:14: route a.channel: unreachable: every channel that its records can have is excluded by match or belongs to a more specific route",
        ),
    ] {
        assert_eq!(of_route(route), [expected], "{route}");
    }
}

#[test]
fn routes_against_each_other() {
    let pair =
        |a: &str, b: &str| problems(&format!("routes:\n  - {{ name: a, {a} }}\n  - {{ name: b, {b} }}\n"));
    let (x, y) = ("channel: '/a/{x}', topic: a, key: '{x}'", "channel: '/a/{y}', topic: b, key: '{y}'");
    assert_eq!(
        pair(x, y),
        [
            "r.yaml:3:25: route b.channel: /a/{y} has the same precedence as /a/{x} of route a at r.yaml:2:5, and they have \
             channels in common (a channel belongs to one route: make one of the two more specific)"
        ]
    );
    assert_eq!(pair(x, &format!("{y}, match: {{ y: '[a-z]' }}")), [""; 0]);
    assert_eq!(pair(x, "channel: '/{z}/{x}', topic: b, key: '{z}-{x}'"), [""; 0]);
    assert_eq!(pair(x, "channel: '/a/{x}-{z}', topic: b, key: '{x}-{z}'"), [""; 0]);
    let (prefix, suffix) =
        ("channel: '/a-{x}', topic: a, key: '{x}'", "channel: '/{x}-a', topic: b, key: '{x}'");
    assert_eq!(pair(prefix, suffix).len(), 1, "/a-x-a is of both");
    assert_eq!(pair(prefix, &prefix.replace("/a-", "/b-")), [""; 0]);
    assert_eq!(
        pair("channel: '/a/{x}', topic: a, bind: { x: '=all' }", "channel: /a/all, topic: b"),
        [
            "r.yaml:2:25: route a.channel: unreachable: every channel that its records can have is excluded by match or belongs \
             to a more specific route"
        ]
    );
    assert_eq!(
        problems("routes:\n  - { name: a, channel: /a, topic: a }\n  - { name: a, channel: /b, topic: a }\n"),
        ["r.yaml:3:13: route a.name: the name is taken by the route at r.yaml:2:5"]
    );
}

#[test]
fn open_publishes_are_warned_about() {
    let checked = checked(
        "routes:\n  - name: a\n    channel: /a\n    topic: a\n    publish: {}\n  - { name: b, channel: /b, topic: b }\n",
    );
    assert_eq!(
        checked.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "routes.yaml:5:14: route a.publish: anyone who can connect may publish here (the gateway is anonymous: leave \
             publish out where that is not meant)"
        ]
    );
}
