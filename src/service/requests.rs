//! The requests of one shard.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hashbrown::HashMap;

use super::correlation::{Correlation, ENTROPY};
use super::outstanding::Outstanding;
use crate::bayeux::{Channel, Error};
use crate::codec::{CodecError, check_value, put_string};
use crate::route::{Reply, Route, RouteTable};
use crate::stream::{Body, RawRecord, Record, Render};

/// Fills a buffer with random bytes that nobody can guess.
pub type Entropy = Box<dyn FnMut(&mut [u8])>;

/// Bounds of one shard's requests.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Requests of one session that wait for their reply.
    pub per_session: usize,
    /// How long a request may wait until its reply topic is read.
    pub patience: Duration,
    /// How long a reply topic is wanted after the last request.
    pub linger: Duration,
}

/// A publish on a `/service` channel.
#[derive(Clone, Debug)]
pub struct Asked<S, T> {
    /// Who publishes.
    pub session: S,
    /// The publish.
    pub ticket: T,
    /// Where.
    pub channel: Channel,
    /// Its message's id, as it came.
    pub id: Option<Bytes>,
    /// The JSON of `data`.
    pub data: Bytes,
    /// Its `ext.binary`.
    pub binary: Option<Bytes>,
}

/// What to do for requests.
#[derive(Debug)]
pub enum Effect<S, T> {
    /// Read a topic from its end; [`Requests::reads`] follows.
    Read(Arc<str>),
    /// A topic that is read is not wanted any more.
    Leave(Arc<str>),
    /// Hand a publish on; its record gets these headers besides those of the route. [`Requests::published`] follows. Those of one
    /// session and channel come in order.
    Publish(Asked<S, T>, Vec<(String, Vec<u8>)>),
    /// Tell the publisher that Kafka has its publish.
    Written(T),
    /// Tell the publisher why there is no record.
    Refused(T, Error),
    /// A message for the session that asked.
    Deliver(S, Arc<Record>),
}

/// Why a reply topic is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is not there.
    Missing,
    /// Kafka's ACLs do not allow it.
    Denied,
    /// Kafka could not say where all of it ends.
    Kafka(String),
}

/// Counters since the start, and the present number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that wait for their reply.
    pub outstanding: usize,
    /// Replies given to sessions.
    pub replies: u64,
    /// Replies that were not of the route's format.
    pub bad_replies: u64,
    /// Requests whose reply did not come in time.
    pub timeouts: u64,
}

/// The requests of one shard that are not answered. `S` names a session, `T` a publish.
pub struct Requests<S, T> {
    routes: Arc<RouteTable>,
    outstanding: Arc<Outstanding>,
    shard: u16,
    bounds: Bounds,
    entropy: Entropy,
    open: HashMap<Correlation, Request<S, T>>,
    sessions: HashMap<S, Vec<Correlation>>,
    /// Publishes that Kafka has not acknowledged.
    tickets: HashMap<T, Correlation>,
    topics: HashMap<Arc<str>, Topic>,
    timers: BTreeSet<(Instant, Correlation)>,
    stats: Stats,
    effects: VecDeque<Effect<S, T>>,
}

struct Request<S, T> {
    session: S,
    channel: Channel,
    id: Option<Bytes>,
    route: Arc<Route>,
    reply: Arc<Reply>,
    /// The publish, until Kafka has it.
    ticket: Option<T>,
    /// What is to be handed on, until it is.
    asked: Option<Box<Asked<S, T>>>,
    /// When it is given up.
    due: Option<Instant>,
}

/// Makes the message that a reply is to who asked: that of an event on its route, and which call it is the answer of.
struct Answer {
    route: Arc<dyn Render>,
    id: Option<Bytes>,
}

/// A reply topic that this shard wants.
#[derive(Default)]
struct Topic {
    read: bool,
    /// Requests that wait until it is read, in order.
    waiting: VecDeque<Correlation>,
    /// Requests whose replies will be there.
    count: usize,
    /// Since when there is none.
    idle_since: Option<Instant>,
}

impl<S: Copy + Eq + Hash, T: Copy + Eq + Hash> Requests<S, T> {
    /// No requests.
    pub fn new(
        routes: Arc<RouteTable>,
        outstanding: Arc<Outstanding>,
        shard: u16,
        bounds: Bounds,
        entropy: Entropy,
    ) -> Self {
        Self {
            routes,
            outstanding,
            shard,
            bounds,
            entropy,
            open: HashMap::new(),
            sessions: HashMap::new(),
            tickets: HashMap::new(),
            topics: HashMap::new(),
            timers: BTreeSet::new(),
            stats: Stats::default(),
            effects: VecDeque::new(),
        }
    }

    /// Takes a publish. It is handed on at once if it is no request, or if the reply topic is read.
    pub fn submit(&mut self, now: Instant, asked: Asked<S, T>) {
        let Some((route, reply)) = self.routes.request(&asked.channel) else {
            return self.effects.push_back(Effect::Publish(asked, Vec::new()));
        };
        let (route, reply) = (Arc::clone(route), Arc::clone(reply));
        let (session, ticket) = (asked.session, asked.ticket);
        if asked.id.is_some() {
            self.supersede(now, session, &asked.channel, asked.id.as_ref());
        }
        let mut random = [0; ENTROPY];
        (self.entropy)(&mut random);
        let correlation = Correlation::new(random);
        let request = Request {
            session,
            channel: asked.channel.clone(),
            id: asked.id.clone(),
            route,
            reply,
            ticket: Some(ticket),
            asked: Some(Box::new(asked)),
            due: None,
        };
        let few = self.sessions.get(&session).is_none_or(|own| own.len() < self.bounds.per_session);
        if !few || !self.outstanding.open(correlation, self.shard, request.size()) {
            let error = Error::busy(request.channel.as_str());
            return self.effects.push_back(Effect::Refused(ticket, error));
        }
        self.sessions.entry(session).or_default().push(correlation);
        self.tickets.insert(ticket, correlation);
        let name = Arc::clone(&request.reply.topic);
        self.open.insert(correlation, request);
        let topic = self.topics.entry(Arc::clone(&name)).or_insert_with(|| {
            self.effects.push_back(Effect::Read(name));
            Topic::default()
        });
        topic.count += 1;
        topic.idle_since = None;
        if topic.read {
            self.send(correlation);
        } else {
            topic.waiting.push_back(correlation);
            self.schedule(correlation, now + self.bounds.patience);
        }
    }

    /// A page that was loaded again counts its messages anew: an earlier request of the same name would be taken for this one.
    fn supersede(&mut self, now: Instant, session: S, channel: &Channel, id: Option<&Bytes>) {
        let own = self.sessions.get(&session).into_iter().flatten();
        let same = |request: &Request<S, T>| {
            request.ticket.is_none() && request.id.as_ref() == id && request.channel == *channel
        };
        let found = own.copied().find(|id| self.open.get(id).is_some_and(same));
        if let Some(earlier) = found {
            self.end(now, earlier);
        }
    }

    fn send(&mut self, id: Correlation) {
        self.unschedule(id);
        let Some(request) = self.open.get_mut(&id) else { return };
        let Some(asked) = request.asked.take() else { return };
        self.outstanding.shrink(id, asked.data.len());
        let reply = &request.reply;
        let headers = vec![
            (reply.correlation_header.to_string(), id.header(self.outstanding.tag()).into_bytes()),
            (reply.reply_topic_header.to_string(), reply.topic.as_bytes().to_vec()),
        ];
        self.effects.push_back(Effect::Publish(*asked, headers));
    }

    /// A reply topic is read from its end now, or why it is not.
    pub fn reads(&mut self, now: Instant, name: &str, result: &Result<(), Unread>) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        let waiting = std::mem::take(&mut topic.waiting);
        match result {
            Ok(()) => {
                topic.read = true;
                topic.idle_since = (topic.count == 0).then_some(now);
                for id in waiting {
                    self.send(id);
                }
            }
            Err(why) => {
                self.topics.remove(name);
                for id in waiting {
                    self.refuse(now, id, |channel| why.error(channel));
                }
            }
        }
    }

    /// What became of a publish.
    pub fn published(&mut self, now: Instant, ticket: T, result: &Result<(), Error>) {
        let Some(id) = self.tickets.remove(&ticket) else { return };
        let Some(request) = self.open.get_mut(&id) else { return };
        request.ticket = None;
        if result.is_ok() {
            let due = now + request.reply.timeout;
            self.schedule(id, due);
        } else {
            self.end(now, id);
        }
    }

    /// A reply was read; `false` if nobody waits for it any more.
    pub fn replied(&mut self, now: Instant, id: Correlation, reply: Body) -> bool {
        let Some(request) = self.end(now, id) else { return false };
        // Whoever replies has read the request: Kafka has it, whether it said so yet or not.
        if let Some(ticket) = request.ticket {
            self.effects.push_back(Effect::Written(ticket));
        }
        match check_value(request.route.value_format(), reply.value()) {
            Ok(()) => {
                self.stats.replies += 1;
                let render = Answer { route: request.route.render(), id: request.id };
                let record = Record::new(request.channel, None, Arc::new(reply), Arc::new(render));
                self.effects.push_back(Effect::Deliver(request.session, Arc::new(record)));
            }
            Err(why) => {
                self.stats.bad_replies += 1;
                self.fail(&request, &bad_reply(&request.channel, &why));
            }
        }
        true
    }

    /// A session ended.
    pub fn ended(&mut self, now: Instant, session: S) {
        for id in self.sessions.remove(&session).unwrap_or_default() {
            if self.open.get(&id).is_some_and(|request| request.asked.is_some()) {
                self.refuse(now, id, |_| Error::SESSION_UNKNOWN);
            } else {
                self.end(now, id);
            }
        }
    }

    /// When to call [`Requests::timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let idle =
            self.topics.values().filter_map(|topic| Some(topic.idle_since? + self.bounds.linger)).min();
        let request = self.timers.first().map(|(due, _)| *due);
        [idle, request].into_iter().flatten().min()
    }

    /// Time passed.
    pub fn timeout(&mut self, now: Instant) {
        while let Some((_, id)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            if self.open.get(&id).is_some_and(|request| request.asked.is_some()) {
                let why = Unread::Kafka("no answer in time".into());
                self.refuse(now, id, |channel| why.error(channel));
            } else if let Some(request) = self.end(now, id) {
                self.stats.timeouts += 1;
                let error = Error::about(504, request.channel.as_str(), "reply_timeout");
                self.fail(&request, &error);
            } else {
                self.timers.pop_first();
            }
        }
        let (linger, effects) = (self.bounds.linger, &mut self.effects);
        self.topics.retain(|name, topic| {
            let over = topic.read && topic.idle_since.is_some_and(|since| since + linger <= now);
            if over {
                effects.push_back(Effect::Leave(Arc::clone(name)));
            }
            !over
        });
    }

    /// What to do next; call until there is nothing.
    pub fn poll(&mut self) -> Option<Effect<S, T>> {
        self.effects.pop_front()
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        Stats { outstanding: self.open.len(), ..self.stats }
    }

    /// Whether nothing is kept at all.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
            && self.sessions.is_empty()
            && self.tickets.is_empty()
            && self.topics.is_empty()
            && self.timers.is_empty()
    }

    /// Tells a session that there is no reply. `data` tells clients that it is none to the publish.
    fn fail(&mut self, request: &Request<S, T>, error: &Error) {
        let mut json = br#"{"channel":"#.to_vec();
        put_string(request.channel.as_str(), &mut json);
        put_id(request.id.as_ref(), &mut json);
        json.extend_from_slice(br#","data":null,"successful":false,"error":"#);
        put_string(&error.to_string(), &mut json);
        json.push(b'}');
        let record = Record::message(request.channel.clone(), &json);
        self.effects.push_back(Effect::Deliver(request.session, Arc::new(record)));
    }

    /// Ends a request that was not sent.
    fn refuse(&mut self, now: Instant, id: Correlation, why: impl Fn(&Channel) -> Error) {
        let Some(request) = self.end(now, id) else { return };
        if let Some(topic) = self.topics.get_mut(&request.reply.topic) {
            topic.waiting.retain(|it| *it != id);
        }
        if let Some(ticket) = request.ticket {
            self.effects.push_back(Effect::Refused(ticket, why(&request.channel)));
        }
    }

    /// Forgets a request.
    fn end(&mut self, now: Instant, id: Correlation) -> Option<Request<S, T>> {
        self.unschedule(id);
        self.outstanding.close(id);
        let request = self.open.remove(&id)?;
        if let Some(ticket) = &request.ticket {
            self.tickets.remove(ticket);
        }
        if let Some(own) = self.sessions.get_mut(&request.session) {
            own.retain(|it| *it != id);
            if own.is_empty() {
                self.sessions.remove(&request.session);
            }
        }
        if let Some(topic) = self.topics.get_mut(&request.reply.topic) {
            topic.count -= 1;
            topic.idle_since = (topic.count == 0 && topic.read).then_some(now);
        }
        Some(request)
    }

    fn schedule(&mut self, id: Correlation, at: Instant) {
        if let Some(request) = self.open.get_mut(&id) {
            request.due = Some(at);
            self.timers.insert((at, id));
        }
    }

    fn unschedule(&mut self, id: Correlation) {
        if let Some(due) = self.open.get_mut(&id).and_then(|request| request.due.take()) {
            self.timers.remove(&(due, id));
        }
    }
}

// === impl Request ===

impl<S, T> Request<S, T> {
    fn size(&self) -> usize {
        let id = self.id.as_ref().map_or(0, Bytes::len);
        size_of::<Self>()
            + self.channel.as_str().len()
            + id
            + self.asked.as_ref().map_or(0, |asked| asked.data.len())
    }
}

// === impl Answer ===

impl Render for Answer {
    fn data(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        self.route.data(record, out);
    }

    fn ext(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        self.route.ext(record, out);
        put_id(self.id.as_ref(), out);
        out.extend_from_slice(br#","successful":true"#);
    }
}

fn put_id(id: Option<&Bytes>, json: &mut Vec<u8>) {
    if let Some(id) = id {
        json.extend_from_slice(br#","id":"#);
        json.extend_from_slice(id);
    }
}

// === impl Unread ===

impl Unread {
    fn error(&self, channel: &Channel) -> Error {
        let channel = channel.as_str();
        match self {
            Self::Missing => Error::about(404, channel, "unknown_reply_topic"),
            Self::Denied => Error::about(403, channel, "reply_topic_denied_by_kafka"),
            Self::Kafka(reason) => {
                Error::about(504, channel, format!("not_written, replies cannot be read, {reason}"))
            }
        }
    }
}

fn bad_reply(channel: &Channel, why: &CodecError) -> Error {
    Error::about(502, channel.as_str(), format!("bad_reply, {why}"))
}

impl<S, T> fmt::Debug for Requests<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("outstanding", &self.open.len()).finish_non_exhaustive()
    }
}
