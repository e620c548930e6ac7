//! librdkafka's C interface, as far as Halley needs it, made safe. The only file with `unsafe` in it.
//!
//! The Rust binding hides what Halley lives on: topic and offset of partition ends and errors, the status of a message that
//! was not delivered, topic ids, and offsets in bulk under `read_committed`. So every client is driven here by its event queue.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::native::{
    Code, Description, End, Failure, Kind, Outgoing, PartitionOffset, Refused, Status, millis, opaque_of,
    parts_of, text_of, token_of,
};
use rdkafka::bindings as rd;
use rdkafka::bindings::rd_kafka_admin_op_t as Op;
use rdkafka::bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR as NO_ERROR;
use rdkafka::bindings::rd_kafka_vtype_t as V;

/// The topic that a ping asks for: any name will do.
const PING_TOPIC: &CStr = c"__consumer_offsets";
/// The token of pings.
const PING: u64 = 0;
/// The name of the interceptor that counts what Kafka tells about topics.
const INTERCEPTOR: &CStr = c"halley";
/// The request that tells about topics, by its number in Kafka's protocol.
const METADATA: i16 = 3;

/// A set of librdkafka properties.
pub(super) struct Properties(NonNull<rd::rd_kafka_conf_t>);

/// One librdkafka client with its event queue. Closed when dropped, without waiting for Kafka.
pub(super) struct Client {
    rk: NonNull<rd::rd_kafka_t>,
    queue: NonNull<rd::rd_kafka_queue_t>,
    /// The brokers that are called first, as librdkafka wants them listed.
    bootstrap: CString,
    /// Counted by librdkafka's threads, which end before it is dropped.
    looks: Arc<AtomicU64>,
}

/// Topics by name, with their partition counts.
pub(super) type Topics = Vec<(String, i32)>;

/// What a client's queue gave.
pub(super) struct Event<'c> {
    event: NonNull<rd::rd_kafka_event_t>,
    client: PhantomData<&'c Client>,
}

/// An [`Event`], looked at.
pub(super) enum Seen<'e> {
    Record(Message<'e>),
    /// Delivery reports; take them with [`Event::next_message`].
    Reports,
    Failed(Failure),
    /// The answer to [`Client::describe`] with this token.
    Described(u64, Result<Vec<Description>, Failure>),
    /// The answer to [`Client::offsets`] with this token.
    Offsets(u64, Result<Vec<PartitionOffset>, Failure>),
    /// The answer to [`Client::ping`].
    Pong(Result<(), Code>),
    /// Nothing that matters here.
    Other,
}

/// A message in librdkafka's memory.
#[derive(Clone, Copy)]
pub(super) struct Message<'e>(&'e rd::rd_kafka_message_t);

// === impl Properties ===

impl Properties {
    pub(super) fn new() -> Self {
        // SAFETY: no preconditions; librdkafka aborts rather than return null.
        let conf = unsafe { rd::rd_kafka_conf_new() };
        Self(NonNull::new(conf).unwrap_or_else(|| std::process::abort()))
    }

    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Refused> {
        let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else {
            return Err(Refused::Invalid("a NUL character".into()));
        };
        let mut text = [0; 512];
        // SAFETY: the pointers are valid for the call, and the length is that of the buffer.
        let result = unsafe {
            let (text, len) = (text.as_mut_ptr(), text.len());
            rd::rd_kafka_conf_set(self.0.as_ptr(), name.as_ptr(), value.as_ptr(), text, len)
        };
        match result {
            rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK => Ok(()),
            rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_UNKNOWN => Err(Refused::Unknown),
            rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_INVALID => Err(Refused::Invalid(text_of(&text))),
        }
    }
}

impl Drop for Properties {
    fn drop(&mut self) {
        // SAFETY: owned, and not given to a client (which would have forgotten this value).
        unsafe { rd::rd_kafka_conf_destroy(self.0.as_ptr()) }
    }
}

// === impl Client ===

// SAFETY: librdkafka's handles and queues may be used from any thread at once (its INTRODUCTION.md, "Threads and callbacks").
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// Starts a client; does not wait for Kafka. The error is librdkafka's text.
    pub(super) fn new(kind: Kind, properties: Properties, bootstrap: CString) -> Result<Self, String> {
        use rd::rd_kafka_type_t::{RD_KAFKA_CONSUMER, RD_KAFKA_PRODUCER};
        let mut text = [0; 512];
        let looks = Arc::new(AtomicU64::new(0));
        let kind_of = if kind == Kind::Consumer { RD_KAFKA_CONSUMER } else { RD_KAFKA_PRODUCER };
        // SAFETY: the configuration is valid; `rd_kafka_new` takes it over if, and only if, it succeeds.
        let rk = unsafe {
            let conf = properties.0.as_ptr();
            rd::rd_kafka_conf_set_events(conf, rd::RD_KAFKA_EVENT_DR | rd::RD_KAFKA_EVENT_ERROR);
            rd::rd_kafka_conf_set_log_cb(conf, Some(log));
            if kind == Kind::Consumer {
                let counter = Arc::as_ptr(&looks).cast_mut().cast();
                rd::rd_kafka_conf_interceptor_add_on_new(conf, INTERCEPTOR.as_ptr(), Some(on_new), counter);
            }
            rd::rd_kafka_new(kind_of, conf, text.as_mut_ptr(), text.len())
        };
        let Some(rk) = NonNull::new(rk) else {
            if kind == Kind::Consumer {
                // librdkafka has freed the interceptors in it, and would again: what is left of it is lost.
                std::mem::forget(properties);
            }
            return Err(text_of(&text));
        };
        std::mem::forget(properties);
        // SAFETY: the handle is live. A consumer's main queue is led into the consumer queue, so that one queue gives all.
        let queue = unsafe {
            match kind {
                Kind::Consumer => {
                    rd::rd_kafka_poll_set_consumer(rk.as_ptr());
                    rd::rd_kafka_queue_get_consumer(rk.as_ptr())
                }
                Kind::Producer => rd::rd_kafka_queue_get_main(rk.as_ptr()),
            }
        };
        // Null only for a consumer without a group, and ours have one.
        let queue = NonNull::new(queue).unwrap_or_else(|| std::process::abort());
        Ok(Self { rk, queue, bootstrap, looks })
    }

    /// The next event; waits up to `timeout` for it.
    pub(super) fn poll(&self, timeout: Duration) -> Option<Event<'_>> {
        // SAFETY: the queue is live.
        NonNull::new(unsafe { rd::rd_kafka_queue_poll(self.queue.as_ptr(), millis(timeout)) })
            .map(|event| Event { event, client: PhantomData })
    }

    /// Adds the bootstrap brokers to those that the client knows; one that is there already is not added twice.
    pub(super) fn call_bootstrap(&self) {
        // SAFETY: the handle is live; the call copies the list.
        unsafe { rd::rd_kafka_brokers_add(self.rk.as_ptr(), self.bootstrap.as_ptr()) };
    }

    /// Makes a waiting [`Client::poll`], or else the next one, return at once.
    pub(super) fn wake(&self) {
        // SAFETY: the queue is live.
        unsafe { rd::rd_kafka_queue_yield(self.queue.as_ptr()) }
    }

    /// How often Kafka has told this consumer about topics. Each time it may have learned of another topic of the same name, from
    /// which it goes on reading, at the old one's offsets, without a word; what it read before the number rose it did not.
    pub(super) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Acquire)
    }

    /// Begins to read partitions at offsets. A partition that is read already has to be taken away first.
    pub(super) fn assign(&self, partitions: &[(&CStr, i32, i64)]) -> Result<(), Failure> {
        let list = PartitionList::of(partitions);
        // SAFETY: both live; the call copies the list.
        check(unsafe { rd::rd_kafka_incremental_assign(self.rk.as_ptr(), list.0) })
    }

    /// Ends reading of partitions.
    pub(super) fn unassign(&self, partitions: &[(&CStr, i32, i64)]) -> Result<(), Failure> {
        let list = PartitionList::of(partitions);
        // SAFETY: both live; the call copies the list.
        check(unsafe { rd::rd_kafka_incremental_unassign(self.rk.as_ptr(), list.0) })
    }

    /// Hands a message to the producer's queue.
    pub(super) fn produce(&self, message: &Outgoing<'_>) -> Result<(), Code> {
        let (key, key_len) = parts_of(message.key);
        let (value, value_len) = parts_of(message.value);
        // SAFETY: librdkafka copies topic, key and value within the call; the headers are its own from a success on.
        // The variable arguments are of the types that each tag asks for (rdkafka.h, `rd_kafka_vtype_t`).
        let error = unsafe {
            let (rk, headers) = (self.rk.as_ptr(), headers_of(message.headers));
            let error = rd::rd_kafka_producev(
                rk,
                V::RD_KAFKA_VTYPE_TOPIC,
                message.topic.as_ptr(),
                V::RD_KAFKA_VTYPE_PARTITION,
                message.partition,
                V::RD_KAFKA_VTYPE_MSGFLAGS,
                rd::RD_KAFKA_MSG_F_COPY,
                V::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                V::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                V::RD_KAFKA_VTYPE_HEADERS,
                headers,
                V::RD_KAFKA_VTYPE_OPAQUE,
                opaque_of(message.token),
                V::RD_KAFKA_VTYPE_END,
            );
            if error != NO_ERROR && !headers.is_null() {
                rd::rd_kafka_headers_destroy(headers);
            }
            error
        };
        ok_or_code(error)
    }

    /// Waits until every message has its report (another thread must be polling); `false` if `timeout` was too short.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        // SAFETY: the handle is live.
        unsafe { rd::rd_kafka_flush(self.rk.as_ptr(), millis(timeout)) == NO_ERROR }
    }

    /// Looks at one topic or at all, and names them with their partition counts; and the broker that answered, if its id is known.
    /// Blocks.
    pub(super) fn topics(
        &self,
        only: Option<&CStr>,
        timeout: Duration,
    ) -> Result<(Topics, Option<i32>), Code> {
        let (rk, mut metadata) = (self.rk.as_ptr(), ptr::null());
        // SAFETY: name, topic object and, on success, the result are valid until after their last use.
        unsafe {
            let topic = only.map(|name| rd::rd_kafka_topic_new(rk, name.as_ptr(), ptr::null_mut()));
            let (all, only) = (c_int::from(topic.is_none()), topic.unwrap_or(ptr::null_mut()));
            let error = rd::rd_kafka_metadata(rk, all, only, &raw mut metadata, millis(timeout));
            if !only.is_null() {
                rd::rd_kafka_topic_destroy(only);
            }
            ok_or_code(error)?;
            let topics = slice_of((*metadata).topics, (*metadata).topic_cnt.try_into().unwrap_or(0));
            let there = topics.iter().filter(|topic| ok_or_code(topic.err).is_ok());
            let named = there.map(|topic| (string_of(topic.topic), topic.partition_cnt)).collect();
            let by = (*metadata).orig_broker_id;
            rd::rd_kafka_metadata_destroy(metadata);
            Ok((named, (by >= 0).then_some(by)))
        }
    }

    /// Asks a broker, or else the one that librdkafka takes for the controller, for a sign of life; the answer is a [`Seen::Pong`] on the queue.
    ///
    /// It is a question about a topic, there or not: librdkafka aborts the process when the answer to the obvious one,
    /// `rd_kafka_DescribeCluster`, lists neither broker nor topic, as that of a broker which its controller has fenced does.
    pub(super) fn ping(&self, broker: Option<i32>, timeout: Duration) {
        self.describe(&[PING_TOPIC.to_owned()], false, broker, timeout, PING);
    }

    /// How many messages have had no report yet.
    pub(super) fn unreported(&self) -> usize {
        // SAFETY: the handle is live.
        unsafe { rd::rd_kafka_outq_len(self.rk.as_ptr()) }.try_into().unwrap_or(0)
    }

    /// Asks for topics by name, at least one; the answer is a [`Seen::Described`] with `token`, not 0, on the queue.
    /// With `rights` also for what these credentials may do with them. `broker` as for [`Client::ping`].
    pub(super) fn describe(
        &self,
        topics: &[CString],
        rights: bool,
        broker: Option<i32>,
        timeout: Duration,
        token: u64,
    ) {
        let mut names: Vec<*const c_char> = topics.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: all live for the calls, which copy the names.
        self.ask(Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout, token, |options| unsafe {
            if let Some(broker) = broker {
                rd::rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
            }
            if rights {
                let error = rd::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
                rd::rd_kafka_error_destroy(error);
            }
            let collection = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            rd::rd_kafka_DescribeTopics(self.rk.as_ptr(), collection, options, self.queue.as_ptr());
            rd::rd_kafka_TopicCollection_destroy(collection);
        });
    }

    /// Asks for offsets; the answer is a [`Seen::Offsets`] with `token` on the queue.
    pub(super) fn offsets(&self, partitions: &[(&CStr, i32)], end: End, timeout: Duration, token: u64) {
        let spec = match end {
            End::Start => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
            End::Stable => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
        };
        let partitions: Vec<_> = partitions.iter().map(|(topic, p)| (*topic, *p, spec as i64)).collect();
        let list = PartitionList::of(&partitions);
        // SAFETY: all live for the calls, which copy the list; an error of the first (null or owned) is destroyed.
        self.ask(Op::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout, token, |options| unsafe {
            let committed = rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
            rd::rd_kafka_error_destroy(rd::rd_kafka_AdminOptions_set_isolation_level(options, committed));
            rd::rd_kafka_ListOffsets(self.rk.as_ptr(), list.0, options, self.queue.as_ptr());
        });
    }

    /// Has `call` ask a question whose answer carries `token`.
    fn ask(
        &self,
        op: Op,
        timeout: Duration,
        token: u64,
        call: impl FnOnce(*mut rd::rd_kafka_AdminOptions_t),
    ) {
        let mut text = [0; 128];
        // SAFETY: the handle is live, the buffer as long as said, the options are destroyed after their last use.
        unsafe {
            let options = rd::rd_kafka_AdminOptions_new(self.rk.as_ptr(), op);
            let (wait, text, len) = (millis(timeout), text.as_mut_ptr(), text.len());
            rd::rd_kafka_AdminOptions_set_request_timeout(options, wait, text, len);
            rd::rd_kafka_AdminOptions_set_opaque(options, opaque_of(token));
            call(options);
            rd::rd_kafka_AdminOptions_destroy(options);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: both are owned and live, and events borrow the client. No group was joined, so none has to be left.
        unsafe {
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
            rd::rd_kafka_destroy_flags(self.rk.as_ptr(), rd::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        }
    }
}

// === impl Event ===

impl Event<'_> {
    /// What the event is.
    pub(super) fn see(&self) -> Seen<'_> {
        let event = self.event.as_ptr();
        // SAFETY: the event is live, and each reader gets an event of its own type.
        unsafe {
            match rd::rd_kafka_event_type(event) {
                rd::RD_KAFKA_EVENT_FETCH => self.next_message().map_or(Seen::Other, Seen::Record),
                rd::RD_KAFKA_EVENT_DR => Seen::Reports,
                rd::RD_KAFKA_EVENT_ERROR => Seen::Failed(self.failure()),
                rd::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT if self.token() == PING => {
                    Seen::Pong(ok_or_code(rd::rd_kafka_event_error(event)))
                }
                rd::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT => {
                    Seen::Described(self.token(), self.descriptions())
                }
                rd::RD_KAFKA_EVENT_LISTOFFSETS_RESULT => {
                    Seen::Offsets(self.token(), self.partition_offsets())
                }
                _ => Seen::Other,
            }
        }
    }

    /// Whether it says that the client has no connection to any broker.
    pub(super) fn tells_all_down(&self) -> bool {
        let (event, all_down) =
            (self.event.as_ptr(), rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN);
        // SAFETY: the event is live.
        unsafe {
            rd::rd_kafka_event_type(event) == rd::RD_KAFKA_EVENT_ERROR
                && rd::rd_kafka_event_error(event) == all_down
        }
    }

    /// The next message of a fetch or of delivery reports.
    pub(super) fn next_message(&self) -> Option<Message<'_>> {
        // SAFETY: the event is live; its messages live as long.
        unsafe { rd::rd_kafka_event_message_next(self.event.as_ptr()).as_ref() }.map(Message)
    }

    fn token(&self) -> u64 {
        // SAFETY: the event is live.
        token_of(unsafe { rd::rd_kafka_event_opaque(self.event.as_ptr()) })
    }

    fn failure(&self) -> Failure {
        let event = self.event.as_ptr();
        // SAFETY: the event is live; the partition is owned until after its last use.
        unsafe {
            let partition = rd::rd_kafka_event_topic_partition(event);
            let at = partition.as_ref().map(|p| (string_of(p.topic), p.partition, p.offset));
            if !partition.is_null() {
                rd::rd_kafka_topic_partition_destroy(partition);
            }
            let text = string_of(rd::rd_kafka_event_error_string(event));
            Failure { code: rd::rd_kafka_event_error(event).into(), text, at }
        }
    }

    /// # Safety
    /// Only for the answer to a description.
    unsafe fn descriptions(&self) -> Result<Vec<Description>, Failure> {
        let event = self.event.as_ptr();
        // SAFETY: all that is read lives as long as the event.
        unsafe {
            ok_or_code(rd::rd_kafka_event_error(event)).map_err(|_| self.failure())?;
            let mut count = 0;
            let result = rd::rd_kafka_event_DescribeTopics_result(event);
            let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            Ok(slice_of(topics.cast_const(), count).iter().map(|topic| description_of(*topic)).collect())
        }
    }

    /// # Safety
    /// Only for the answer to a question for offsets.
    unsafe fn partition_offsets(&self) -> Result<Vec<PartitionOffset>, Failure> {
        let event = self.event.as_ptr();
        // SAFETY: all that is read lives as long as the event.
        unsafe {
            ok_or_code(rd::rd_kafka_event_error(event)).map_err(|_| self.failure())?;
            let mut count = 0;
            let result = rd::rd_kafka_event_ListOffsets_result(event);
            let infos = rd::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            let of = |info: &*const rd::rd_kafka_ListOffsetsResultInfo_t| {
                let partition = rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*info).as_ref()?;
                let offset = ok_or_code(partition.err).map(|()| partition.offset);
                Some(PartitionOffset {
                    topic: string_of(partition.topic),
                    partition: partition.partition,
                    offset,
                })
            };
            Ok(slice_of(infos.cast_const(), count).iter().filter_map(of).collect())
        }
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        // SAFETY: owned.
        unsafe { rd::rd_kafka_event_destroy(self.event.as_ptr()) }
    }
}

// === impl Message ===

impl<'e> Message<'e> {
    /// The topic's name.
    pub(super) fn topic(self) -> &'e str {
        // SAFETY: the message keeps its topic object, and the name in it, alive.
        let name = unsafe { rd::rd_kafka_topic_name(self.0.rkt).as_ref().map(|name| CStr::from_ptr(name)) };
        name.and_then(|name| name.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn partition(self) -> i32 {
        self.0.partition
    }

    pub(super) fn offset(self) -> i64 {
        self.0.offset
    }

    pub(super) fn key(self) -> Option<&'e [u8]> {
        // SAFETY: key and length belong together and live as long as the message.
        unsafe { bytes_of(self.0.key, self.0.key_len) }
    }

    pub(super) fn value(self) -> Option<&'e [u8]> {
        // SAFETY: as above.
        unsafe { bytes_of(self.0.payload, self.0.len) }
    }

    /// Milliseconds since 1970.
    pub(super) fn timestamp(self) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live.
        let time = unsafe { rd::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        (kind != rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && time >= 0).then_some(time)
    }

    /// Appends the headers. One whose name is not UTF-8 is left out.
    pub(super) fn headers(self, out: &mut Vec<(&'e str, Option<&'e [u8]>)>) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message owns its headers; names and values live as long as it does.
        unsafe {
            if ok_or_code(rd::rd_kafka_message_headers(self.0, &raw mut headers)).is_err() {
                return;
            }
            for index in 0.. {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                let got =
                    rd::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size);
                if ok_or_code(got).is_err() {
                    return;
                }
                if let Ok(name) = CStr::from_ptr(name).to_str() {
                    out.push((name, bytes_of(value, size)));
                }
            }
        }
    }

    /// The token of an [`Outgoing`] message.
    pub(super) fn token(self) -> u64 {
        token_of(self.0._private)
    }

    /// What went wrong with it.
    pub(super) fn error(self) -> Option<Code> {
        ok_or_code(self.0.err).err()
    }

    pub(super) fn status(self) -> Status {
        // SAFETY: the message is live.
        match unsafe { rd::rd_kafka_message_status(self.0) } {
            rd::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Status::NotPersisted,
            rd::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => Status::PossiblyPersisted,
            rd::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_PERSISTED => Status::Persisted,
        }
    }
}

/// A list of partitions in librdkafka's memory.
struct PartitionList(*mut rd::rd_kafka_topic_partition_list_t);

impl PartitionList {
    fn of(partitions: &[(&CStr, i32, i64)]) -> Self {
        // SAFETY: the list is live, and grows by itself; the names are copied.
        unsafe {
            let list = rd::rd_kafka_topic_partition_list_new(
                c_int::try_from(partitions.len()).unwrap_or(c_int::MAX),
            );
            for (topic, partition, offset) in partitions {
                (*rd::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), *partition)).offset = *offset;
            }
            Self(list)
        }
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: owned.
        unsafe { rd::rd_kafka_topic_partition_list_destroy(self.0) }
    }
}

/// Has a new client count what Kafka tells it about topics; `counter` is its [`Client::looks`].
extern "C" fn on_new(
    rk: *mut rd::rd_kafka_t,
    _: *const rd::rd_kafka_conf_t,
    counter: *mut c_void,
    _: *mut c_char,
    _: usize,
) -> rd::rd_kafka_resp_err_t {
    // SAFETY: within the interceptor of a new client, as librdkafka demands.
    unsafe {
        rd::rd_kafka_interceptor_add_on_response_received(
            rk,
            INTERCEPTOR.as_ptr(),
            Some(on_response),
            counter,
        )
    }
}

/// A response, before librdkafka looks at it; from any of its threads.
extern "C" fn on_response(
    _: *mut rd::rd_kafka_t,
    _: c_int,
    _: *const c_char,
    _: i32,
    api_key: i16,
    _: i16,
    _: i32,
    _: usize,
    _: i64,
    _: rd::rd_kafka_resp_err_t,
    counter: *mut c_void,
) -> rd::rd_kafka_resp_err_t {
    if api_key == METADATA {
        // SAFETY: the counter of a client, which outlives librdkafka's threads.
        unsafe { &*counter.cast::<AtomicU64>() }.fetch_add(1, Ordering::Release);
    }
    NO_ERROR
}

/// librdkafka's log lines, from any of its threads.
extern "C" fn log(_: *const rd::rd_kafka_t, level: c_int, facility: *const c_char, line: *const c_char) {
    super::log::line(level, &string_of(facility), &string_of(line));
}

fn check(error: *mut rd::rd_kafka_error_t) -> Result<(), Failure> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, hence owned and live until destroyed.
    unsafe {
        let code = rd::rd_kafka_error_code(error).into();
        let text = string_of(rd::rd_kafka_error_string(error));
        rd::rd_kafka_error_destroy(error);
        Err(Failure { code, text, at: None })
    }
}

fn ok_or_code(error: rd::rd_kafka_resp_err_t) -> Result<(), Code> {
    if error == NO_ERROR { Ok(()) } else { Err(error.into()) }
}

/// # Safety
/// `topic` is live.
unsafe fn description_of(topic: *const rd::rd_kafka_TopicDescription_t) -> Description {
    // SAFETY: all that is read belongs to the topic.
    unsafe {
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        let half = |bits: i64| u128::from(bits.cast_unsigned());
        let id = if id.is_null() {
            0
        } else {
            half(rd::rd_kafka_Uuid_most_significant_bits(id)) << 64
                | half(rd::rd_kafka_Uuid_least_significant_bits(id))
        };
        let mut count = 0;
        let partitions = rd::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let partitions = slice_of(partitions.cast_const(), count);
        let error = rd::rd_kafka_TopicDescription_error(topic);
        let mut count = 0;
        let rights = rd::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count);
        let rights = (!rights.is_null()).then(|| slice_of(rights, count).to_vec());
        Description {
            name: string_of(rd::rd_kafka_TopicDescription_name(topic)),
            id,
            leaders: partitions
                .iter()
                .map(|p| !rd::rd_kafka_TopicPartitionInfo_leader(*p).is_null())
                .collect(),
            error: if error.is_null() { None } else { ok_or_code(rd::rd_kafka_error_code(error)).err() },
            rights,
        }
    }
}

/// # Safety
/// The caller owns the result, which is null for no headers.
unsafe fn headers_of(headers: &[(&str, Option<&[u8]>)]) -> *mut rd::rd_kafka_headers_t {
    if headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: names and values are copied, with the lengths given.
    unsafe {
        let list = rd::rd_kafka_headers_new(headers.len());
        for (name, value) in headers {
            let (value, size) = parts_of(*value);
            rd::rd_kafka_header_add(
                list,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                value,
                size.cast_signed(),
            );
        }
        list
    }
}

/// # Safety
/// `start` is null, or `count` elements are there for as long as `'a`.
unsafe fn slice_of<'a, T>(start: *const T, count: usize) -> &'a [T] {
    // SAFETY: the caller's word.
    if start.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(start, count) } }
}

/// # Safety
/// `start` is null, or `len` bytes are there for as long as `'a`.
unsafe fn bytes_of<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's word.
    (!start.is_null()).then(|| unsafe { slice_of(start.cast(), len) })
}

/// A string of librdkafka's; empty for null.
fn string_of(text: *const c_char) -> String {
    // SAFETY: librdkafka's strings end with NUL.
    if text.is_null() {
        String::new()
    } else {
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}
