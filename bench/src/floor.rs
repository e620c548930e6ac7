//! The least that a server can do: one epoll loop that writes the same bytes to the same number of sockets at the same rate.
//!
//! It answers just enough of Bayeux for the same clients to connect. Once with no Kafka, one frame a write; once with a Kafka
//! consumer, everything that has arrived for a socket in one write.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::Timespec;

use crate::record::key_name;
use crate::writer::Schedule;
use crate::{clock, wire};

/// Where the clients' keys are.
pub const CHANNEL: &str = "/bench/";

/// Where the frames come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Made here, as the schedule says, which begins when a client publishes its start on `/start`.
    Made(Schedule),
    /// Read from this topic, from its beginning.
    Kafka { bootstrap: String, topic: String, partitions: i32 },
}

type Frame = Rc<[u8]>;
/// Channel and frame of every record of a turn.
type Arrived = Vec<(String, Vec<u8>)>;

struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
    upgraded: bool,
    /// Whether its first connect was answered; the others are held.
    connected: bool,
    waiting: VecDeque<Frame>,
    /// Bytes of the first that are written.
    written: usize,
    blocked: bool,
}

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    peers: Vec<Peer>,
    /// Peers by channel.
    listeners: HashMap<String, Vec<usize>>,
    start: Option<u64>,
}

const LISTENER: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;
/// Slices that one write takes at most.
const SLICES: usize = 512;
/// What the consumer hands over at a time, as the gateway's.
const TURN_RECORDS: usize = 512;

/// Serves until it is killed. Prints a line when it listens.
pub fn serve(listen: SocketAddr, source: Source) -> Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut floor = Floor { epoll, listener, peers: Vec::new(), listeners: HashMap::new(), start: None };
    #[allow(clippy::print_stdout)]
    {
        println!("listening");
    }
    match source {
        Source::Made(schedule) => floor.make(schedule),
        Source::Kafka { bootstrap, topic, partitions } => {
            let (wake, woken) = UnixStream::pair()?;
            woken.set_nonblocking(true)?;
            epoll::add(&floor.epoll, &woken, EventData::new_u64(WAKE), EventFlags::IN)?;
            let (batches, arrivals) = mpsc::channel();
            std::thread::spawn(move || read(&bootstrap, &topic, partitions, &batches, wake));
            floor.pass_on(&arrivals, woken)
        }
    }
}

/// Reads Kafka: waits for a record, takes what else is there, hands it over.
fn read(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    batches: &mpsc::Sender<Arrived>,
    mut wake: UnixStream,
) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "floor")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    loop {
        let mut batch = Vec::new();
        let mut wait = Duration::from_secs(1);
        while batch.len() < TURN_RECORDS {
            let Some(message) = consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            let message = message?;
            let key = String::from_utf8_lossy(message.key().unwrap_or_default());
            batch.push(frame(&key, message.payload().unwrap_or_default()));
        }
        if !batch.is_empty() {
            batches.send(batch)?;
            wake.write_all(&[0])?;
        }
    }
}

/// Channel and frame of a record.
fn frame(key: &str, value: &[u8]) -> (String, Vec<u8>) {
    let channel = format!("{CHANNEL}{key}");
    let mut message = format!(r#"[{{"channel":"{channel}","data":"#).into_bytes();
    message.extend_from_slice(value);
    message.extend_from_slice(b"}]");
    (channel, wire::server_frame(&message))
}

// === impl Floor ===

impl Floor {
    /// Writes frames of its own, each when it is due.
    fn make(&mut self, mut schedule: Schedule) -> Result<()> {
        let mut n = 0;
        loop {
            let mut wait = Duration::from_secs(1);
            if let Some(start) = self.start {
                schedule.start = start;
                while n < schedule.records && schedule.due(n) <= clock::now() {
                    let record = schedule.record(n);
                    let (channel, bytes) = frame(&key_name(record.key), record.value().as_bytes());
                    let frame: Frame = bytes.into();
                    for peer in self.listeners.get(&channel).cloned().unwrap_or_default() {
                        self.peers[peer].waiting.push_back(frame.clone());
                        self.flush(peer)?;
                    }
                    n += 1;
                }
                if n < schedule.records {
                    wait = Duration::from_nanos(schedule.due(n).saturating_sub(clock::now()));
                }
            }
            self.turn(wait)?;
        }
    }

    /// Writes what the consumer hands over.
    fn pass_on(&mut self, arrivals: &mpsc::Receiver<Arrived>, mut woken: UnixStream) -> Result<()> {
        let mut dirty = Vec::new();
        loop {
            self.turn(Duration::from_secs(1))?;
            match woken.read(&mut [0; 64]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            for (channel, bytes) in arrivals.try_iter().flatten() {
                let frame: Frame = bytes.into();
                for &peer in self.listeners.get(&channel).map_or(&[][..], |peers| peers) {
                    let waiting = &mut self.peers[peer].waiting;
                    if waiting.is_empty() {
                        dirty.push(peer);
                    }
                    waiting.push_back(frame.clone());
                }
            }
            for peer in dirty.drain(..) {
                self.flush(peer)?;
            }
        }
    }

    /// Writes what waits for a peer, as long as its socket accepts.
    fn flush(&mut self, number: usize) -> Result<()> {
        let peer = &mut self.peers[number];
        let was_blocked = std::mem::take(&mut peer.blocked);
        while !peer.waiting.is_empty() {
            let slices: Vec<IoSlice<'_>> = (peer.waiting.iter().take(SLICES).enumerate())
                .map(|(n, frame)| IoSlice::new(if n == 0 { &frame[peer.written..] } else { frame }))
                .collect();
            match peer.stream.write_vectored(&slices) {
                Ok(count) => peer.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    peer.blocked = true;
                    break;
                }
                // A client that has gone is of no interest any more.
                Err(_) => {
                    peer.waiting.clear();
                    peer.written = 0;
                }
            }
            while let Some(first) = peer.waiting.front()
                && first.len() <= peer.written
            {
                peer.written -= first.len();
                peer.waiting.pop_front();
            }
        }
        if peer.blocked != was_blocked {
            let flags = if peer.blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, &peer.stream, EventData::new_u64(number as u64), flags)?;
        }
        Ok(())
    }

    /// Waits for sockets, and serves them.
    fn turn(&mut self, wait: Duration) -> Result<()> {
        let timeout = Timespec { tv_sec: wait.as_secs().try_into()?, tv_nsec: wait.subsec_nanos().into() };
        let mut events = Vec::with_capacity(256);
        epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout))?;
        for event in events {
            let (data, flags) = (event.data, event.flags);
            match data.u64() {
                LISTENER => self.accept()?,
                WAKE => {}
                number => {
                    let number = usize::try_from(number)?;
                    if flags.contains(EventFlags::OUT) {
                        self.flush(number)?;
                    }
                    if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                        self.receive(number)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let number = self.peers.len();
            epoll::add(&self.epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)?;
            self.peers.push(Peer {
                stream,
                received: Vec::new(),
                upgraded: false,
                connected: false,
                waiting: VecDeque::new(),
                written: 0,
                blocked: false,
            });
        }
    }

    fn receive(&mut self, number: usize) -> Result<()> {
        let peer = &mut self.peers[number];
        let mut chunk = [0; 4096];
        match peer.stream.read(&mut chunk) {
            Ok(count) if count > 0 => peer.received.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            _ => {
                epoll::delete(&self.epoll, &peer.stream)?;
                return Ok(());
            }
        }
        if !peer.upgraded {
            if !peer.received.ends_with(b"\r\n\r\n") {
                return Ok(());
            }
            peer.received.clear();
            peer.upgraded = true;
            // The clients here do not check the key's answer.
            let response =
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
            peer.waiting.push_back(response.as_slice().into());
            return self.flush(number);
        }
        while let Some(frame) = wire::frame(&self.peers[number].received) {
            let (text, length) = (String::from_utf8_lossy(frame.payload).into_owned(), frame.length);
            self.peers[number].received.drain(..length);
            self.answer(number, &text)?;
        }
        self.peers[number].received.shrink_to(0);
        Ok(())
    }

    fn answer(&mut self, number: usize, text: &str) -> Result<()> {
        let reply = if text.contains("/meta/handshake") {
            r#"[{"id":"1","channel":"/meta/handshake","successful":true,"clientId":"floor"}]"#
        } else if text.contains("/meta/subscribe") {
            let channel = text.split_once(r#""subscription":""#).and_then(|(_, rest)| rest.split_once('"'));
            let channel = channel.context("a subscription")?.0.to_owned();
            self.listeners.entry(channel).or_default().push(number);
            r#"[{"id":"2","channel":"/meta/subscribe","successful":true}]"#
        } else if text.contains("/meta/connect") {
            if std::mem::replace(&mut self.peers[number].connected, true) {
                return Ok(());
            }
            r#"[{"id":"3","channel":"/meta/connect","successful":true}]"#
        } else {
            let start = text.split_once(r#""data":"#).and_then(|(_, rest)| rest.split_once('}'));
            self.start = Some(start.context("a start")?.0.parse()?);
            return Ok(());
        };
        self.peers[number].waiting.push_back(wire::server_frame(reply.as_bytes()).into());
        self.flush(number)
    }
}
