//! Reads partitions, on a thread of its own.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ffi::{Client, Event, Message, Seen};
use super::native::{Code, Failure, Kind};
use super::revival::Revival;
use super::{Config, Error};
use crate::stream::{RawRecord, Topic};

/// What one turn brings at most.
const TURN_RECORDS: usize = 512;
const TURN_BYTES: usize = 256 << 10;
/// How long a turn waits for more where more is likely, so that what arrives close together is delivered together.
const GATHER: Duration = Duration::from_millis(5);
/// How long records are held back at most while it is found out whether their topics are still the same: where Kafka can't be
/// asked about topics, what can be read of it is worth more than to be sure.
const HOLD: Duration = Duration::from_secs(2);
/// How long the thread sleeps at most; commands and records wake it.
const IDLE: Duration = Duration::from_secs(1);

/// Takes what a [`Reader`] reads, in the order of each partition. Called on the reader's thread.
pub trait Sink: Send {
    /// A record; nothing lies between it and `from`, the offset after all that came before.
    fn record(&mut self, topic: &Arc<Topic>, from: i64, record: &RawRecord<'_>);

    /// Nothing lies in `[from, to)`: the partition's last stable offset was reached.
    fn reached(&mut self, topic: &Arc<Topic>, partition: i32, from: i64, to: i64);

    /// Kafka does not have the offset that is next: too old, or the topic is another one. The partition is read no further until
    /// it is assigned again.
    fn lost(&mut self, topic: &Arc<Topic>, partition: i32);

    /// Topics may have been created again, so that what comes next would be another topic's: nothing is handed over until
    /// [`Reader::trust`] says `number`, or nothing is heard for too long.
    fn doubt(&mut self, number: u64);

    /// A partition that was lost at `from` goes on at `to`, the log start.
    fn moved(&mut self, topic: &Arc<Topic>, partition: i32, from: i64, to: i64);

    /// The partition can't be read at present; the reader goes on trying.
    fn failed(&mut self, topic: &Arc<Topic>, partition: i32, reason: &str);

    /// The turn is over. May block while those who take the records are full: that is the back-pressure.
    fn flush(&mut self);

    /// Whether the last batch is still being worked on, so that the next may as well wait a little and be larger.
    fn busy(&self) -> bool;
}

/// Where reading of a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At this offset.
    Offset(i64),
    /// At the log start.
    LogStart,
}

/// One consumer that reads whatever partitions it is told to. Closed when dropped.
pub struct Reader {
    commands: Sender<Command>,
    client: Arc<Mutex<Arc<Client>>>,
}

enum Command {
    Assign(Vec<(Arc<Topic>, i32, From)>),
    Unassign(Vec<(Arc<Topic>, i32)>),
    Trust(u64),
    Stop,
}

/// The reader's thread.
struct Work<S> {
    config: Config,
    client: Arc<Client>,
    /// The same client, for those who wake it.
    shared: Arc<Mutex<Arc<Client>>>,
    commands: Receiver<Command>,
    revival: Revival,
    topics: HashMap<Box<str>, Reading>,
    /// The incarnation of every topic that the present client has read.
    seen: HashMap<Box<str>, u64>,
    sink: S,
    /// How often the present client had been told about topics when it was last known that it reads the right ones.
    trusted: u64,
    /// How often that was doubted.
    doubts: u64,
    stopped: bool,
    last_turn: Option<Instant>,
    records: usize,
    bytes: usize,
}

struct Reading {
    topic: Arc<Topic>,
    partitions: HashMap<i32, Place>,
}

/// Where reading of a partition stands.
struct Place {
    next: i64,
    begin: Begin,
}

/// How reading of a partition begins, until its first offset is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// At the place's offset; the rule.
    Here,
    /// At the log start, as was asked for.
    LogStart,
    /// At the log start, since Kafka does not have the place's offset.
    Lost,
    /// Not at all: Kafka does not have the place's offset, and what to do about it was not said yet.
    Held,
}

// === impl Reader ===

impl Reader {
    /// Starts the thread. Kafka need not be there.
    ///
    /// # Errors
    ///
    /// [`Error::Start`].
    pub fn start(config: &Config, sink: impl Sink + 'static) -> Result<Self, Error> {
        let client = Arc::new(config.client(Kind::Consumer)?);
        let shared = Arc::new(Mutex::new(Arc::clone(&client)));
        let (commands, received) = mpsc::channel();
        let work = Work {
            config: config.clone(),
            client,
            shared: Arc::clone(&shared),
            commands: received,
            revival: Revival::default(),
            topics: HashMap::new(),
            seen: HashMap::new(),
            sink,
            trusted: 0,
            doubts: 0,
            stopped: false,
            last_turn: None,
            records: 0,
            bytes: 0,
        };
        let thread = std::thread::Builder::new().name("kafka-reader".into()).spawn(move || work.run());
        thread.map_err(|error| Error::Start(error.to_string()))?;
        Ok(Self { commands, client: shared })
    }

    /// Reads partitions, from where it says. One that is read already goes on from there instead; one that was lost goes on at
    /// the log start, and says so.
    pub fn assign(&self, partitions: Vec<(Arc<Topic>, i32, From)>) {
        self.send(Command::Assign(partitions));
    }

    /// Reads partitions no more. What of them was not handed over yet is dropped.
    pub fn unassign(&self, partitions: Vec<(Arc<Topic>, i32)>) {
        self.send(Command::Unassign(partitions));
    }

    /// What is assigned now is known to be what Kafka had after [`Sink::doubt`] was called with `number`.
    pub fn trust(&self, number: u64) {
        self.send(Command::Trust(number));
    }

    fn send(&self, command: Command) {
        // The thread ends by `Stop` only, which is the last command.
        let _ = self.commands.send(command);
        self.client.lock().unwrap_or_else(PoisonError::into_inner).wake();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.send(Command::Stop);
    }
}

// === impl Work ===

impl<S: Sink> Work<S> {
    fn run(mut self) {
        loop {
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command);
            }
            if self.stopped {
                return;
            }
            self.turn();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Assign(partitions) => self.assign(partitions),
            Command::Unassign(partitions) => self.unassign(&partitions),
            // Too late to matter.
            Command::Trust(_) => {}
            Command::Stop => self.stopped = true,
        }
    }

    /// Waits for something to read, takes what else is there, and hands it over.
    fn turn(&mut self) {
        let client = Arc::clone(&self.client);
        let Some(first) = self.revival.poll(&client, IDLE) else { return };
        let flowing = self.last_turn.is_some_and(|last| last.elapsed() < GATHER);
        let until = (flowing || self.sink.busy()).then(|| Instant::now() + GATHER);
        (self.records, self.bytes) = (0, 0);
        if !self.trusts(&client) {
            return;
        }
        self.take(&first);
        drop(first);
        while self.records < TURN_RECORDS && self.bytes < TURN_BYTES {
            let wait = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
            let Some(event) = self.revival.poll(&client, wait) else { break };
            if !self.trusts(&client) {
                break;
            }
            self.take(&event);
        }
        self.sink.flush();
        if self.records > 0 {
            self.last_turn = Some(Instant::now());
        }
    }

    /// Whether what `client` just brought is of the topics that are read. Waits where that has to be found out first; obeys meanwhile.
    fn trusts(&mut self, client: &Arc<Client>) -> bool {
        let mut until = None;
        loop {
            let looks = client.looks();
            if looks == self.trusted {
                return true;
            }
            let until = *until.get_or_insert_with(|| Instant::now() + HOLD);
            // What came before is beyond doubt.
            self.sink.flush();
            self.doubts += 1;
            self.sink.doubt(self.doubts);
            loop {
                let left = until.saturating_duration_since(Instant::now());
                match self.commands.recv_timeout(left) {
                    Ok(Command::Trust(number)) if number == self.doubts => break,
                    Ok(command) => self.obey(command),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => self.stopped = true,
                }
                if self.stopped || !Arc::ptr_eq(client, &self.client) {
                    return false;
                }
            }
            self.trusted = looks;
        }
    }

    fn take(&mut self, event: &Event<'_>) {
        match event.see() {
            Seen::Record(message) => self.record(message),
            Seen::Failed(failure) => self.failed(&failure),
            _ => {}
        }
    }

    fn record(&mut self, message: Message<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        let Some(Reading { topic, partitions }) = self.topics.get_mut(message.topic()) else { return };
        let Some(place) = partitions.get_mut(&partition) else { return };
        if !place.admits(offset) {
            return;
        }
        place.settle(topic, partition, offset, &mut self.sink);
        let mut headers = Vec::new();
        message.headers(&mut headers);
        let record = RawRecord {
            topic: &topic.name,
            partition,
            offset,
            timestamp: message.timestamp(),
            key: message.key(),
            value: message.value(),
            headers: &headers,
        };
        self.records += 1;
        self.bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        self.sink.record(topic, place.next, &record);
        place.next = offset + 1;
    }

    fn failed(&mut self, failure: &Failure) {
        let Some((name, partition, offset)) = &failure.at else {
            // What is about no partition is logged by librdkafka, and mended by it.
            return;
        };
        let Some(Reading { topic, partitions }) = self.topics.get_mut(name.as_str()) else { return };
        let Some(place) = partitions.get_mut(partition) else { return };
        match failure.code {
            Code::PartitionEOF if place.admits(*offset) => {
                place.settle(topic, *partition, *offset, &mut self.sink);
                if place.next < *offset {
                    self.sink.reached(topic, *partition, place.next, *offset);
                    place.next = *offset;
                }
            }
            Code::PartitionEOF => {}
            Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                place.begin = Begin::Held;
                self.sink.lost(topic, *partition);
                let at = [(Arc::clone(topic), *partition, 0)];
                self.client_unassign(&at);
            }
            _ => self.sink.failed(topic, *partition, &failure.text),
        }
    }

    fn assign(&mut self, partitions: Vec<(Arc<Topic>, i32, From)>) {
        let recreated = |(topic, _, _): &(Arc<Topic>, i32, From)| {
            self.seen.get(&topic.name).is_some_and(|incarnation| *incarnation != topic.incarnation)
        };
        let recreated = partitions.iter().any(recreated);
        let (mut taken, mut begun) = (Vec::new(), Vec::new());
        for (topic, partition, from) in partitions {
            let reading = self.topics.entry(topic.name.clone()).or_insert_with(|| Reading::new(&topic));
            if reading.topic != topic {
                taken.extend(reading.assigned());
                *reading = Reading::new(&topic);
            }
            let before = reading.partitions.get(&partition);
            let place = match (from, before) {
                (From::Offset(next), _) => Place { next, begin: Begin::Here },
                (From::LogStart, Some(Place { next, begin: Begin::Held | Begin::Lost })) => {
                    Place { next: *next, begin: Begin::Lost }
                }
                (From::LogStart, _) => Place { next: 0, begin: Begin::LogStart },
            };
            if before.is_some_and(Place::is_assigned) {
                taken.push((Arc::clone(&topic), partition, 0));
            }
            self.seen.insert(topic.name.clone(), topic.incarnation);
            begun.push((topic, partition, place.start()));
            reading.partitions.insert(partition, place);
        }
        if recreated {
            // The present client holds the old topic's leader epochs and would take the new one's for stale.
            self.renew();
        } else {
            self.client_unassign(&taken);
            self.client_assign(&begun);
        }
    }

    fn unassign(&mut self, partitions: &[(Arc<Topic>, i32)]) {
        let mut taken = Vec::new();
        for (topic, partition) in partitions {
            let Some(reading) = self.topics.get_mut(&topic.name) else { continue };
            let same = reading.topic == *topic;
            let place = if same { reading.partitions.remove(partition) } else { None };
            if place.as_ref().is_some_and(Place::is_assigned) {
                taken.push((Arc::clone(topic), *partition, 0));
            }
            if reading.partitions.is_empty() {
                self.topics.remove(&topic.name);
            }
        }
        self.client_unassign(&taken);
    }

    /// Goes on with a new client, where each partition stands.
    fn renew(&mut self) {
        let client = match self.config.client(Kind::Consumer) {
            Ok(client) => Arc::new(client),
            Err(error) => return tracing::error!(%error, "no new Kafka consumer; going on with the old one"),
        };
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&client);
        let old = std::mem::replace(&mut self.client, client);
        self.revival = Revival::default();
        self.trusted = 0;
        // Closing may take a while where a broker does not answer.
        let closing = std::thread::Builder::new().name("kafka-closing".into()).spawn(move || drop(old));
        if let Err(error) = closing {
            tracing::warn!(%error, "no thread to close a Kafka consumer on");
        }
        self.seen =
            self.topics.iter().map(|(name, reading)| (name.clone(), reading.topic.incarnation)).collect();
        let places: Vec<_> = self.topics.values().flat_map(Reading::assigned).collect();
        self.client_assign(&places);
    }

    fn client_assign(&self, partitions: &[(Arc<Topic>, i32, i64)]) {
        if let Err(failure) = with_names(partitions, |list| self.client.assign(list)) {
            tracing::error!(reason = failure.text, partitions = partitions.len(), "partitions can't be read");
        }
    }

    fn client_unassign(&self, partitions: &[(Arc<Topic>, i32, i64)]) {
        if let Err(failure) = with_names(partitions, |list| self.client.unassign(list)) {
            tracing::warn!(reason = failure.text, partitions = partitions.len(), "partitions can't be left");
        }
    }
}

/// librdkafka's name for the log start.
const START: i64 = rdkafka::bindings::RD_KAFKA_OFFSET_BEGINNING as i64;

fn with_names(
    partitions: &[(Arc<Topic>, i32, i64)],
    call: impl FnOnce(&[(&std::ffi::CStr, i32, i64)]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if partitions.is_empty() {
        return Ok(());
    }
    let names: Vec<_> =
        partitions.iter().map(|(topic, _, _)| CString::new(&*topic.name).unwrap_or_default()).collect();
    let list: Vec<_> =
        names.iter().zip(partitions).map(|(name, (_, p, offset))| (name.as_c_str(), *p, *offset)).collect();
    call(&list)
}

// === impl Reading ===

impl Reading {
    fn new(topic: &Arc<Topic>) -> Self {
        Self { topic: Arc::clone(topic), partitions: HashMap::new() }
    }

    /// What the client is to read, and from where.
    fn assigned(&self) -> impl Iterator<Item = (Arc<Topic>, i32, i64)> {
        let assigned = self.partitions.iter().filter(|(_, place)| place.is_assigned());
        assigned.map(|(partition, place)| (Arc::clone(&self.topic), *partition, place.start()))
    }
}

// === impl Place ===

impl Place {
    fn is_assigned(&self) -> bool {
        self.begin != Begin::Held
    }

    /// Where the client starts.
    fn start(&self) -> i64 {
        if self.begin == Begin::Here { self.next } else { START }
    }

    /// Whether an offset is news; what lies before the place is left over from an earlier assignment.
    fn admits(&self, offset: i64) -> bool {
        match self.begin {
            Begin::Here | Begin::LogStart => offset >= self.next,
            Begin::Lost => true,
            Begin::Held => false,
        }
    }

    /// The first offset of the partition is known now.
    fn settle(&mut self, topic: &Arc<Topic>, partition: i32, offset: i64, sink: &mut impl Sink) {
        if self.begin == Begin::Lost {
            sink.moved(topic, partition, self.next, offset);
            self.next = offset;
        }
        self.begin = Begin::Here;
    }
}
