use super::*;
use crate::kafka::{Found, From};
use crate::stream::Positions;

const TIMES: Times = Times {
    subscribe: Duration::from_secs(8),
    linger: Duration::from_mins(1),
    discovery: Duration::from_secs(5),
};

/// Reads topics by name, by prefix, or one partition.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub literals: Vec<Arc<str>>,
    pub prefix: Option<&'static str>,
    pub hash: Option<i32>,
}

fn literal(name: &str) -> Want {
    Want { literals: vec![name.into()], prefix: None, hash: None }
}

impl Reads for Want {
    fn literals(&self) -> &[Arc<str>] {
        &self.literals
    }
    fn is_template(&self) -> bool {
        self.prefix.is_some()
    }
    fn covers(&self, topic: &str) -> bool {
        self.literals.iter().any(|name| **name == *topic) || self.prefix.is_some_and(|p| topic.starts_with(p))
    }
    fn partition(&self, count: i32) -> Option<i32> {
        self.hash.map(|hash| hash % count)
    }
}

/// What Kafka has.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub topics: Vec<(String, u128, Vec<Option<i64>>)>,
    pub down: bool,
}

/// What was done to partitions.
pub(super) enum Did {
    Open(Arc<Topic>, i32),
    Close(Arc<Topic>),
    Listen(Arc<Topic>, i32, u64),
    Assign(Arc<Topic>, i32, From),
    Unassign(Arc<Topic>, i32),
    Reply(u64, Result<Start, SubscribeError>),
}

pub(super) struct Rig {
    pub interest: Interest<Want>,
    pub now: Instant,
    pub world: World,
    done: Vec<String>,
    pub did: Vec<Did>,
    pub replies: Vec<(u64, Result<Start, SubscribeError>)>,
}

pub(super) fn rig() -> Rig {
    let now = Instant::now();
    let interest = Interest::new(TIMES, 2, now);
    Rig { interest, now, world: World::default(), done: Vec::new(), did: Vec::new(), replies: Vec::new() }
}

impl Rig {
    pub(super) fn topic(&mut self, name: &str, id: u128, ends: &[i64]) {
        self.world.topics.retain(|(n, _, _)| n != name);
        self.world.topics.push((name.into(), id, ends.iter().map(|end| Some(*end)).collect()));
    }

    pub(super) fn subscribe(&mut self, ticket: u64, shard: usize, pattern: &str, wants: Vec<Want>) {
        self.interest.subscribe(self.now, ticket, shard, Pattern::parse(pattern).unwrap(), wants);
    }

    pub(super) fn unsubscribe(&mut self, shard: usize, pattern: &str) {
        self.interest.unsubscribe(self.now, shard, &Pattern::parse(pattern).unwrap());
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.carry_out();
            match self.interest.poll_timeout() {
                Some(next) if next <= until => self.now = self.now.max(next),
                _ => break,
            }
            self.interest.tick(self.now);
        }
        self.now = until;
    }

    /// Carries out effects, answering at once; what was done since the last time.
    fn run(&mut self) -> Vec<String> {
        self.carry_out();
        std::mem::take(&mut self.done)
    }

    pub(super) fn carry_out(&mut self) {
        while let Some(effect) = self.interest.poll_effect() {
            self.did.extend(match &effect {
                Effect::Open(topic, count) => Some(Did::Open(topic.clone(), *count)),
                Effect::Close(topic) => Some(Did::Close(topic.clone())),
                Effect::Listen(topic, p, mask) => Some(Did::Listen(topic.clone(), *p, *mask)),
                Effect::Assign(topic, p, from) => Some(Did::Assign(topic.clone(), *p, *from)),
                Effect::Unassign(topic, p) => Some(Did::Unassign(topic.clone(), *p)),
                Effect::Reply(ticket, result) => Some(Did::Reply(*ticket, result.clone())),
                _ => None,
            });
            match effect {
                Effect::List if self.world.down => self.interest.listed(self.now, Err("down".into())),
                Effect::List => {
                    let all: Vec<_> = self
                        .world
                        .topics
                        .iter()
                        .map(|(n, _, p)| (n.clone(), i32::try_from(p.len()).unwrap()))
                        .collect();
                    self.interest.listed(self.now, Ok(&all));
                }
                Effect::Find(_) if self.world.down => self.interest.found(self.now, Err("down".into())),
                Effect::Find(names) => {
                    let found = self.world.topics.iter().filter(|(n, _, _)| names.contains(n.as_str()));
                    let found = found.map(|(name, id, ends)| Found {
                        name: name.clone(),
                        id: *id,
                        leaders: ends.iter().map(Option::is_some).collect(),
                    });
                    self.interest.found(self.now, Ok(found.collect()));
                }
                Effect::QueryEnd(_) if self.world.down => self.interest.ended(self.now, Err("down".into())),
                Effect::QueryEnd(of) => {
                    let ends = of.into_iter().map(|(name, p)| {
                        let topic = self.world.topics.iter().find(|(n, _, _)| **n == *name).unwrap();
                        (
                            (name, p),
                            topic.2[usize::try_from(p).unwrap()].ok_or_else(|| "no leader".to_owned()),
                        )
                    });
                    self.interest.ended(self.now, Ok(ends.collect()));
                }
                Effect::Open(topic, count) => self.done.push(format!("open {}/{count}", topic.name)),
                Effect::Close(topic) => self.done.push(format!("close {}", topic.name)),
                Effect::Listen(topic, p, mask) => {
                    self.done.push(format!("listen {} {p} {mask:b}", topic.name));
                }
                Effect::Assign(topic, p, From::Offset(at)) => {
                    self.done.push(format!("assign {} {p} {at}", topic.name));
                }
                Effect::Assign(topic, p, From::LogStart) => {
                    self.done.push(format!("assign {} {p} start", topic.name));
                }
                Effect::Resume(topic, p) => self.done.push(format!("resume {} {p}", topic.name)),
                Effect::Unassign(topic, p) => self.done.push(format!("unassign {} {p}", topic.name)),
                Effect::Trust(number) => self.done.push(format!("trust {number}")),
                Effect::Reply(ticket, result) => {
                    self.done.push(format!("reply {ticket} {}", if result.is_ok() { "ok" } else { "error" }));
                    self.replies.push((ticket, result));
                }
            }
        }
    }

    fn start(&mut self) -> Vec<(String, i32, i64)> {
        let (_, result) = self.replies.pop().expect("a reply");
        let of =
            |positions: &Positions| positions.iter().map(|(t, p, at)| (t.name.to_string(), p, at)).collect();
        of(&result.unwrap().positions)
    }
}

#[test]
fn the_position_is_fixed_before_the_reply() {
    let mut rig = rig();
    rig.topic("t", 1, &[5, 7]);
    rig.subscribe(1, 0, "/a", vec![literal("t")]);
    let expected = ["open t/2", "listen t 0 1", "listen t 1 1", "assign t 0 5", "assign t 1 7", "reply 1 ok"];
    assert_eq!(rig.run(), expected);
    assert_eq!(rig.start(), [("t".into(), 0, 5), ("t".into(), 1, 7)]);
    // Another one, from another shard: heard before its ends are asked for, and not read anew.
    rig.topic("t", 1, &[6, 9]);
    rig.subscribe(2, 1, "/b", vec![literal("t")]);
    assert_eq!(rig.run(), ["listen t 0 11", "listen t 1 11", "reply 2 ok"]);
    assert_eq!(rig.start(), [("t".into(), 0, 6), ("t".into(), 1, 9)]);
}

#[test]
fn a_doubt_is_cleared_up_by_a_look_that_begins_after_it() {
    let mut rig = rig();
    rig.topic("t", 1, &[5]);
    rig.subscribe(1, 0, "/a", vec![literal("t")]);
    rig.run();
    rig.interest.doubt(rig.now, 1);
    assert_eq!(rig.run(), ["trust 1"]);
    // In the middle of a round: its look was before.
    rig.subscribe(2, 0, "/b", vec![literal("t")]);
    let Some(Effect::Find(_)) = rig.interest.poll_effect() else { panic!("not asked") };
    rig.interest.doubt(rig.now, 2);
    rig.interest.found(rig.now, Ok(vec![Found { name: "t".into(), id: 1, leaders: vec![true] }]));
    rig.topic("t", 2, &[9]);
    let expected =
        ["reply 2 ok", "unassign t 0", "close t", "open t/1", "listen t 0 1", "assign t 0 start", "trust 2"];
    assert_eq!(rig.run(), expected);
    // Kafka could not be asked: it is asked again.
    rig.world.down = true;
    rig.interest.doubt(rig.now, 3);
    assert!(rig.run().is_empty());
    rig.world.down = false;
    rig.pass(RETRY);
    assert_eq!(rig.run(), ["trust 3"]);
}

#[test]
fn what_acls_keep_from_us_is_refused_where_there_is_nothing_else() {
    let mut rig = rig();
    rig.topic("t", 1, &[5]);
    rig.subscribe(1, 0, "/a", vec![literal("t"), literal("secret")]);
    let denied = || BTreeSet::from(["secret".into()]);
    let t = || Found { name: "t".into(), id: 1, leaders: vec![true] };
    let Some(Effect::Find(_)) = rig.interest.poll_effect() else { panic!("not asked") };
    rig.interest.denied(denied());
    rig.interest.found(rig.now, Ok(vec![t()]));
    let Some(Effect::Open(..)) = rig.interest.poll_effect() else { panic!("not opened") };
    rig.run();
    assert_eq!(rig.start(), [("t".into(), 0, 5)], "what may be read is");

    let mut rig = self::rig();
    rig.subscribe(2, 0, "/b", vec![literal("secret")]);
    let Some(Effect::Find(_)) = rig.interest.poll_effect() else { panic!("not asked") };
    rig.interest.denied(denied());
    rig.interest.found(rig.now, Ok(Vec::new()));
    rig.run();
    assert_eq!(rig.replies.pop().unwrap().1.unwrap_err(), SubscribeError::Denied);
    assert!(rig.interest.poll_timeout().is_none(), "and nothing is left of it");
}

#[test]
fn those_who_come_during_a_round_are_served_by_the_next() {
    let mut rig = rig();
    rig.topic("t", 1, &[5]);
    rig.subscribe(1, 0, "/a", vec![literal("t")]);
    rig.subscribe(2, 0, "/b", vec![literal("t")]);
    let Some(Effect::Find(names)) = rig.interest.poll_effect() else { panic!("not asked") };
    assert_eq!(names, BTreeSet::from(["t".into()]));
    assert!(rig.interest.poll_effect().is_none());
    rig.interest.found(rig.now, Ok(vec![Found { name: "t".into(), id: 1, leaders: vec![true] }]));
    rig.topic("t", 1, &[8]);
    rig.run();
    rig.replies.sort_by_key(|(ticket, _)| *ticket);
    assert_eq!(rig.start(), [("t".into(), 0, 8)]);
    assert_eq!(rig.replies.len(), 1);
}

#[test]
fn a_partition_lingers_after_its_last_listener() {
    let mut rig = rig();
    rig.topic("t", 1, &[5]);
    rig.subscribe(1, 0, "/a", vec![literal("t")]);
    rig.subscribe(2, 0, "/a", vec![literal("t")]);
    rig.run();
    rig.unsubscribe(0, "/a");
    assert!(rig.run().is_empty());
    rig.unsubscribe(0, "/a");
    assert_eq!(rig.run(), ["listen t 0 0"]);
    rig.pass(Duration::from_secs(59));
    assert!(rig.run().is_empty());
    rig.subscribe(3, 0, "/b", vec![literal("t")]);
    assert_eq!(rig.run(), ["listen t 0 1", "reply 3 ok"]);
    rig.unsubscribe(0, "/b");
    rig.run();
    rig.pass(Duration::from_secs(59));
    assert!(rig.run().is_empty());
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.run(), ["unassign t 0", "close t"]);
    assert!(rig.interest.poll_timeout().is_none());
}

#[test]
fn what_appears_later_is_read_from_its_log_start() {
    let mut rig = rig();
    rig.topic("a-1", 1, &[5]);
    rig.subscribe(1, 0, "/a/*", vec![Want { prefix: Some("a-"), ..literal("b") }]);
    rig.pass(Duration::ZERO);
    assert_eq!(rig.start(), [("a-1".into(), 0, 5)]);
    rig.done.clear();
    // The literal topic, at the quick second look.
    rig.topic("b", 2, &[3]);
    rig.pass(Duration::from_millis(600));
    assert_eq!(rig.run(), ["open b/1", "listen b 0 1", "assign b 0 start"]);
    rig.topic("a-2", 3, &[1]);
    rig.topic("a-1", 1, &[5, 2]);
    rig.pass(Duration::from_secs(6));
    let expected = [
        "open a-2/1",
        "listen a-2 0 1",
        "assign a-2 0 start",
        "open a-1/2",
        "listen a-1 1 1",
        "assign a-1 1 start",
    ];
    let mut done = rig.run();
    done.sort();
    let mut expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(done, expected);
    // Somebody new begins at the ends all the same.
    rig.subscribe(2, 1, "/a/*", vec![Want { prefix: Some("a-"), ..literal("b") }]);
    rig.run();
    assert_eq!(
        rig.start(),
        [("a-1".into(), 0, 5), ("a-1".into(), 1, 2), ("a-2".into(), 0, 1), ("b".into(), 0, 3)]
    );
}

#[test]
fn a_topic_created_again_is_read_from_its_log_start() {
    let mut rig = rig();
    rig.topic("t", 1, &[5]);
    rig.subscribe(1, 0, "/a", vec![literal("t")]);
    rig.run();
    rig.world.topics.clear();
    rig.pass(Duration::from_secs(20));
    assert!(rig.run().is_empty());
    // Subscribing to what is gone succeeds, and finds nothing.
    rig.subscribe(2, 0, "/a", vec![literal("t")]);
    rig.run();
    assert_eq!(rig.start(), []);
    rig.topic("t", 2, &[9]);
    rig.pass(Duration::from_secs(6));
    assert_eq!(rig.run(), ["unassign t 0", "close t", "open t/1", "listen t 0 1", "assign t 0 start"]);
}

#[test]
fn a_fixed_key_reads_one_partition_until_keys_are_out_of_place() {
    let mut rig = rig();
    rig.topic("t", 1, &[1, 2, 3]);
    rig.subscribe(1, 0, "/a", vec![Want { hash: Some(4), ..literal("t") }]);
    rig.pass(Duration::ZERO);
    assert_eq!(rig.start(), [("t".into(), 1, 2)]);
    assert_eq!(rig.run(), ["open t/3", "listen t 1 1", "assign t 1 2", "reply 1 ok"]);
    rig.interest.misplaced(rig.now, "t");
    rig.interest.misplaced(rig.now, "t");
    assert_eq!(rig.run(), ["listen t 0 1", "listen t 2 1", "assign t 0 1", "assign t 2 3"]);
    rig.unsubscribe(0, "/a");
    assert_eq!(rig.run(), ["listen t 0 0", "listen t 1 0", "listen t 2 0"]);
}

#[test]
fn more_partitions_move_keys_so_all_are_read() {
    let mut rig = rig();
    rig.topic("t", 1, &[1, 2]);
    rig.subscribe(1, 0, "/a", vec![Want { hash: Some(1), ..literal("t") }]);
    rig.run();
    rig.topic("t", 1, &[1, 2, 3]);
    rig.pass(Duration::from_secs(6));
    assert_eq!(rig.run(), ["open t/3", "listen t 0 1", "listen t 2 1", "assign t 2 start", "assign t 0 1"]);
}

#[test]
fn what_keys_moved_to_is_read_from_before_they_moved() {
    let mut rig = rig();
    rig.topic("t", 1, &[10, 20]);
    rig.subscribe(1, 0, "/a", vec![Want { hash: Some(1), ..literal("t") }]);
    // Two looks: the ends that the first one found were still those of a topic of two partitions at the second.
    rig.pass(Duration::from_secs(6));
    rig.topic("t", 1, &[13, 20]);
    rig.pass(Duration::from_secs(5));
    rig.run();
    rig.topic("t", 1, &[15, 20, 3]);
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.run(), ["open t/3", "listen t 0 1", "listen t 2 1", "assign t 2 start", "assign t 0 10"]);
}

#[test]
fn a_partition_that_cannot_be_asked_is_pending_and_read_from_first_contact() {
    let mut rig = rig();
    rig.world.topics.push(("t".into(), 1, vec![Some(5), None]));
    rig.subscribe(1, 0, "/a", vec![literal("t")]);
    rig.pass(Duration::from_millis(1900));
    assert!(rig.replies.is_empty());
    rig.pass(Duration::from_millis(300));
    let (_, start) = rig.replies.pop().unwrap();
    let start = start.unwrap();
    assert_eq!(start.pending, [("t".into(), 1)]);
    assert_eq!(start.positions.iter().count(), 1);
    rig.done.clear();
    rig.topic("t", 1, &[6, 4]);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.run(), ["assign t 1 4"]);
}

#[test]
fn kafka_out_of_reach_fails_in_time_and_takes_the_demand_back() {
    let mut rig = rig();
    rig.world.down = true;
    rig.subscribe(1, 0, "/a", vec![literal("t")]);
    rig.pass(Duration::from_millis(7900));
    assert!(rig.replies.is_empty());
    rig.pass(Duration::from_millis(200));
    assert_eq!(rig.replies.pop().unwrap().1.unwrap_err(), SubscribeError::Kafka("down".into()));
    assert!(rig.interest.poll_timeout().is_none());
    // Back in time.
    rig.subscribe(2, 0, "/a", vec![literal("t")]);
    rig.pass(Duration::from_secs(3));
    rig.world.down = false;
    rig.topic("t", 1, &[5]);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.start(), [("t".into(), 0, 5)]);
}

#[test]
fn a_partition_without_any_leader_is_waited_for() {
    let mut rig = rig();
    rig.world.topics.push(("t".into(), 1, vec![None]));
    rig.subscribe(1, 0, "/a", vec![literal("t")]);
    rig.pass(Duration::from_secs(2));
    assert!(rig.replies.is_empty());
    rig.topic("t", 1, &[5]);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.start(), [("t".into(), 0, 5)]);
}

#[test]
fn what_does_not_come_from_kafka_is_answered_at_once() {
    let mut rig = rig();
    rig.world.down = true;
    rig.subscribe(1, 0, "/local", Vec::new());
    assert_eq!(rig.run(), ["reply 1 ok"]);
    assert!(rig.interest.poll_timeout().is_none());
}

#[test]
fn warm_routes_are_read_for_nobody() {
    let mut rig = rig();
    rig.world.down = true;
    rig.interest.keep_warm(rig.now, vec![literal("t")]);
    rig.pass(Duration::from_secs(20));
    rig.world.down = false;
    rig.topic("t", 1, &[5]);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.run(), ["open t/1", "assign t 0 5", "reply 0 ok"]);
    rig.pass(Duration::from_secs(100));
    rig.subscribe(1, 1, "/a", vec![literal("t")]);
    assert_eq!(rig.run(), ["listen t 0 10", "reply 1 ok"]);
    rig.unsubscribe(1, "/a");
    rig.pass(Duration::from_secs(100));
    assert_eq!(rig.run(), ["listen t 0 0"]);
}

#[test]
fn what_is_lost_goes_on_unless_the_topic_is_another() {
    let mut rig = rig();
    rig.topic("t", 1, &[5]);
    rig.subscribe(1, 0, "/a", vec![literal("t")]);
    rig.run();
    let (_, start) = rig.replies.pop().unwrap();
    let start = start.unwrap();
    let (topic, _, _) = start.positions.iter().next().unwrap();
    rig.interest.lost(rig.now, topic, 0);
    assert_eq!(rig.run(), ["resume t 0"]);
    // Deleted; then created again.
    rig.world.topics.clear();
    rig.interest.lost(rig.now, topic, 0);
    rig.pass(Duration::from_secs(1));
    assert!(rig.run().is_empty());
    rig.topic("t", 2, &[0]);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.run(), ["unassign t 0", "close t", "open t/1", "listen t 0 1", "assign t 0 start"]);
    // Nobody left: given up like any other.
    rig.world.topics.clear();
    rig.interest.lost(rig.now, topic, 0);
    rig.unsubscribe(0, "/a");
    rig.pass(Duration::from_secs(61));
    assert_eq!(rig.run(), ["listen t 0 0", "unassign t 0", "close t"]);
}
