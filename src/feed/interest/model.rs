//! Interest against a naive model: whatever happens, who listens is what the subscriptions say, nothing is read twice, and nothing
//! that appears is missed.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::tests::{Did, Rig, Want, rig};
use super::*;
use crate::kafka::From;

#[derive(Clone, Debug)]
enum Op {
    Subscribe { shard: usize, pattern: usize },
    Unsubscribe(usize),
    Create { topic: usize, partitions: usize },
    Delete(usize),
    Grow(usize),
    Append(usize),
    Leader { topic: usize, there: bool },
    Kafka { down: bool },
    Misplaced(usize),
    Wait(u64),
}

const TOPICS: [&str; 3] = ["a-1", "a-2", "b"];
const PATTERNS: [&str; 5] = ["/0", "/1", "/2", "/3", "/4"];

fn wants(pattern: usize) -> Vec<Want> {
    let literal = |name: &str| vec![Arc::from(name)];
    match pattern {
        0 => vec![Want { literals: literal("b"), prefix: None, hash: None }],
        1 => vec![Want { literals: Vec::new(), prefix: Some("a-"), hash: None }],
        2 => vec![Want { literals: literal("b"), prefix: Some("a-"), hash: None }],
        3 => vec![Want { literals: literal("a-1"), prefix: None, hash: Some(5) }],
        _ => vec![
            Want { literals: literal("a-1"), prefix: None, hash: Some(2) },
            Want { literals: literal("b"), prefix: None, hash: None },
        ],
    }
}

fn op() -> impl Strategy<Value = Op> {
    let topic = 0..TOPICS.len();
    prop_oneof![
        6 => (0..2_usize, 0..PATTERNS.len()).prop_map(|(shard, pattern)| Op::Subscribe { shard, pattern }),
        4 => (0..100_usize).prop_map(Op::Unsubscribe),
        3 => (topic.clone(), 1..4_usize).prop_map(|(topic, partitions)| Op::Create { topic, partitions }),
        1 => topic.clone().prop_map(Op::Delete),
        1 => topic.clone().prop_map(Op::Grow),
        3 => topic.clone().prop_map(Op::Append),
        2 => (topic.clone(), any::<bool>()).prop_map(|(topic, there)| Op::Leader { topic, there }),
        2 => any::<bool>().prop_map(|down| Op::Kafka { down }),
        1 => topic.prop_map(Op::Misplaced),
        4 => prop_oneof![Just(1), Just(600), Just(6_000), Just(70_000)].prop_map(Op::Wait),
    ]
}

struct Sub {
    ticket: u64,
    shard: usize,
    pattern: usize,
    start: Option<Start>,
}

#[derive(Default)]
struct Model {
    subs: Vec<Sub>,
    tickets: u64,
    ids: u128,
    open: HashMap<String, (Arc<Topic>, i32)>,
    masks: HashMap<(u64, i32), u64>,
    reading: HashSet<(u64, i32)>,
}

impl Model {
    fn apply(&mut self, rig: &mut Rig, op: &Op) {
        let at =
            |rig: &Rig, topic: usize| rig.world.topics.iter().position(|(name, _, _)| name == TOPICS[topic]);
        match *op {
            Op::Subscribe { shard, pattern } => {
                self.tickets += 1;
                self.subs.push(Sub { ticket: self.tickets, shard, pattern, start: None });
                rig.subscribe(self.tickets, shard, PATTERNS[pattern], wants(pattern));
            }
            Op::Unsubscribe(which) => {
                let mut had =
                    (0..self.subs.len()).filter(|n| self.subs[*n].start.is_some()).collect::<Vec<_>>();
                if !had.is_empty() {
                    let sub = self.subs.remove(had.swap_remove(which % had.len()));
                    rig.unsubscribe(sub.shard, PATTERNS[sub.pattern]);
                }
            }
            Op::Create { topic, partitions } if at(rig, topic).is_none() => {
                self.ids += 1;
                rig.topic(TOPICS[topic], self.ids, &vec![0; partitions]);
            }
            Op::Wait(ms) => rig.pass(Duration::from_millis(ms)),
            Op::Kafka { down } => rig.world.down = down,
            Op::Misplaced(topic) => rig.interest.misplaced(rig.now, TOPICS[topic]),
            Op::Create { .. } => {}
            Op::Delete(topic) | Op::Grow(topic) | Op::Append(topic) | Op::Leader { topic, .. } => {
                let Some(at) = at(rig, topic) else { return };
                let ends = &mut rig.world.topics[at].2;
                match *op {
                    Op::Delete(_) => drop(rig.world.topics.remove(at)),
                    Op::Grow(_) => ends.push(Some(0)),
                    Op::Append(_) => ends.iter_mut().flatten().for_each(|end| *end += 1),
                    Op::Leader { there: true, .. } => {
                        for end in ends {
                            *end = Some(end.unwrap_or(7));
                        }
                    }
                    _ => ends[0] = None,
                }
            }
        }
    }

    fn see(&mut self, rig: &mut Rig) {
        rig.carry_out();
        for did in std::mem::take(&mut rig.did) {
            match did {
                Did::Open(topic, count) => {
                    let had = self.open.insert(topic.name.to_string(), (topic.clone(), count));
                    assert!(had.is_none_or(|(had, less)| had == topic && less < count), "opened twice");
                }
                Did::Close(topic) => {
                    assert!(
                        self.open.remove(&*topic.name).is_some_and(|(had, _)| had == topic),
                        "closed twice"
                    );
                    assert!(self.reading.iter().all(|(incarnation, _)| *incarnation != topic.incarnation));
                }
                Did::Listen(topic, p, mask) => drop(self.masks.insert((topic.incarnation, p), mask)),
                Did::Assign(topic, p, from) => {
                    assert!(self.reading.insert((topic.incarnation, p)), "read twice");
                    // Who was there before the partition is to miss nothing of it.
                    let missed = self.subs.iter().find(|sub| match &sub.start {
                        Some(start) => {
                            let all = wants(sub.pattern)
                                .iter()
                                .any(|want| want.hash.is_none() && want.covers(&topic.name));
                            let asked = start.positions.get(&topic, p).is_some();
                            let pending = start.pending.contains(&(topic.name.to_string(), p));
                            all && !asked && !pending
                        }
                        None => false,
                    });
                    // Nothing is written any more to a topic that is gone.
                    let gone = rig.world.topics.iter().all(|(name, _, _)| **name != *topic.name);
                    let early = gone || from == From::LogStart || missed.is_none();
                    assert!(early, "{} {p} begins too late", topic.name);
                }
                Did::Unassign(topic, p) => {
                    assert!(self.reading.remove(&(topic.incarnation, p)), "was not read");
                }
                Did::Reply(ticket, result) => {
                    let at = self.subs.iter().position(|sub| sub.ticket == ticket).expect("one reply each");
                    let Ok(start) = result else {
                        self.subs.remove(at);
                        continue;
                    };
                    for (topic, p, _) in start.positions.iter() {
                        assert!(self.reading.contains(&(topic.incarnation, p)), "replied before it is read");
                    }
                    assert!(self.subs[at].start.replace(start).is_none());
                }
            }
        }
    }

    /// Who listens, as the subscriptions have it.
    fn check_listeners(&self) {
        for (name, (topic, count)) in &self.open {
            for p in 0..*count {
                let (mut least, mut most) = (0, 0);
                for sub in &self.subs {
                    for want in wants(sub.pattern).iter().filter(|want| want.covers(name)) {
                        most |= 1 << sub.shard;
                        if want.partition(*count).is_none_or(|mine| mine == p) {
                            least |= 1 << sub.shard;
                        }
                    }
                }
                let mask = self.masks.get(&(topic.incarnation, p)).copied().unwrap_or(0);
                assert!(
                    mask & least == least && mask & !most == 0,
                    "{name} {p}: {mask:b} not in {least:b}..{most:b}"
                );
            }
        }
    }

    /// With Kafka there and time passed, all that is wanted is read, and nothing else.
    fn check_settled(&self, rig: &Rig) {
        assert!(self.subs.iter().all(|sub| sub.start.is_some()));
        for (name, _, ends) in &rig.world.topics {
            for p in 0..i32::try_from(ends.len()).unwrap() {
                let wanted = self.subs.iter().flat_map(|sub| wants(sub.pattern)).any(|want| {
                    want.covers(name)
                        && want.partition(i32::try_from(ends.len()).unwrap()).is_none_or(|mine| mine == p)
                });
                let read =
                    self.open.get(name).is_some_and(|(t, _)| self.reading.contains(&(t.incarnation, p)));
                assert!(read || !wanted, "{name} {p} is not read");
            }
        }
        if self.subs.is_empty() {
            assert!(self.open.is_empty() && self.reading.is_empty() && rig.interest.poll_timeout().is_none());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn interest_is_what_the_subscriptions_say(ops in prop::collection::vec(op(), 1..60)) {
        let (mut rig, mut model) = (rig(), Model::default());
        for op in &ops {
            model.apply(&mut rig, op);
            model.see(&mut rig);
            model.check_listeners();
        }
        let heal = [Op::Kafka { down: false }, Op::Leader { topic: 0, there: true }, Op::Leader { topic: 1, there: true },
            Op::Leader { topic: 2, there: true }, Op::Wait(80_000)];
        for op in &heal {
            model.apply(&mut rig, op);
            model.see(&mut rig);
        }
        model.check_settled(&rig);
        while model.subs.iter().any(|sub| sub.start.is_some()) {
            model.apply(&mut rig, &Op::Unsubscribe(0));
        }
        model.apply(&mut rig, &Op::Wait(80_000));
        model.see(&mut rig);
        model.check_settled(&rig);
    }
}
