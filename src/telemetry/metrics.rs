//! The metrics, for Prometheus. Every number has its place from the start: counting is one addition, never a look-up.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::cell::Cell;
use super::process;

/// What [`Metrics::text`] is: `OpenMetrics`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    /// Numbers of the node as a whole.
    pub node: Arc<NodeMetrics>,
    shards: Arc<Shards>,
    registry: Registry,
}

/// The numbers of all shards; a scrape shows their sums.
#[derive(Debug, Default)]
struct Shards(Mutex<Vec<Arc<ShardMetrics>>>);

/// The process itself.
#[derive(Debug)]
struct Process {
    start: f64,
}

/// A metric: the name is without `_total`, which counters get; a label sets apart those of one name.
struct Row<M> {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    label: &'static [(&'static str, &'static str)],
    cell: fn(&M) -> &Cell,
}

/// A struct of cells and the table of what they are to Prometheus. Those of one name follow each other.
macro_rules! metrics {
    (
        $(#[$about:meta])* $metrics:ident;
        $($kind:ident $name:literal $help:literal { $($field:ident $({ $label:literal = $value:literal })?),+ })+
    ) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub struct $metrics {
            $($(
                #[doc = concat!("`", $name, $("{", $label, "=\"", $value, "\"}",)? "`: ", $help)]
                pub $field: Cell,
            )+)+
        }

        impl $metrics {
            const ROWS: &[Row<Self>] = &[$($(
                Row {
                    name: $name,
                    help: $help,
                    kind: MetricType::$kind,
                    label: metrics!(@label $($label = $value)?),
                    cell: |metrics| &metrics.$field,
                },
            )+)+];
        }
    };
    (@label) => { &[] };
    (@label $label:literal = $value:literal) => { &[($label, $value)] };
}

metrics! {
    /// Numbers of one shard, which alone changes them.
    ShardMetrics;
    Gauge "halley_connections" "Open connections of clients." { connections }
    Counter "halley_connections_accepted" "Connections accepted." { connections_accepted }
    Counter "halley_http2_connections" "Connections that speak HTTP/2." { http2_connections }
    Gauge "halley_websockets" "Open WebSockets." { websockets }
    Counter "halley_websocket_upgrades" "Connections that became WebSockets." { websocket_upgrades }
    Gauge "halley_event_streams" "Open event streams." { event_streams }
    Counter "halley_http_requests" "HTTP requests answered, by class of status." {
        http_1xx { "status" = "1xx" },
        http_2xx { "status" = "2xx" },
        http_3xx { "status" = "3xx" },
        http_4xx { "status" = "4xx" },
        http_5xx { "status" = "5xx" }
    }
    Counter "halley_requests_refused" "Requests, upgrades and WebSocket messages refused before Bayeux, by reason." {
        refused_origin { "reason" = "origin" },
        refused_malformed { "reason" = "malformed" },
        refused_too_large { "reason" = "too_large" },
        refused_timeout { "reason" = "timeout" },
        refused_pipelined { "reason" = "pipelined" }
    }
    Gauge "halley_sessions" "Sessions." { sessions }
    Counter "halley_handshakes" "Handshakes, by result." {
        handshakes_accepted { "result" = "accepted" },
        handshakes_refused { "result" = "refused" }
    }
    Counter "halley_sessions_expired" "Sessions ended because their client was silent." { sessions_expired }
    Counter "halley_sessions_inactive" "Sessions ended because their client did nothing but connect." { sessions_inactive }
    Counter "halley_slow_consumer_disconnects" "Sessions ended because their queue was full." { slow_consumer_disconnects }
    Gauge "halley_subscriptions" "Subscriptions." { subscriptions }
    Counter "halley_deliveries" "Events queued for a session." { deliveries }
    Counter "halley_delivered_bytes" "Bytes of these events, compressed where they are." { delivered_bytes }
    Gauge "halley_queue_bytes" "Bytes that wait for clients." { queue_bytes }
    Counter "halley_messages_refused" "Bayeux messages answered with an error, outcomes of publishes aside." { messages_refused }
    Counter "halley_limited" "Bayeux messages refused by a limit, by the setting." {
        limited_sessions_per_address { "limit" = "sessions_per_address" },
        limited_subscriptions { "limit" = "subscriptions" },
        limited_publish_rate { "limit" = "publish_rate" },
        limited_in_flight_per_session { "limit" = "in_flight_per_session" },
        limited_in_flight { "limit" = "in_flight" }
    }
    Counter "halley_publishes" "Publishes answered, by outcome." {
        publishes_written { "outcome" = "written" },
        publishes_not_written { "outcome" = "not_written" },
        publishes_outcome_unknown { "outcome" = "outcome_unknown" },
        publishes_refused { "outcome" = "refused" }
    }
    Counter "halley_publish_twins" "Publishes that got the result of the one they repeat." { publish_twins }
    Gauge "halley_service_requests_outstanding" "Requests of `/service` channels that wait for their reply." { service_requests_outstanding }
    Counter "halley_service_requests" "Requests of `/service` channels that were written, by how they ended." {
        service_replied { "result" = "reply" },
        service_bad_replies { "result" = "bad_reply" },
        service_timeouts { "result" = "timeout" }
    }
}

metrics! {
    /// Numbers of the node.
    NodeMetrics;
    Counter "halley_connections_refused" "Connections refused because too many were open." { connections_refused }
    Counter "halley_records_read" "Records read from Kafka." { records_read }
    Counter "halley_records_skipped" "Records not delivered because they are bad, by reason." {
        records_undecodable { "reason" = "undecodable" },
        records_unroutable { "reason" = "unroutable" },
        records_too_large { "reason" = "too_large" }
    }
    Counter "halley_records_missed" "Offsets that Kafka had deleted before they were read." { records_missed }
    Counter "halley_records_misplaced" "Records on another partition than `partitioner` says." { records_misplaced }
    Counter "halley_service_replies_read" "Records read of reply topics." { service_replies_read }
    Counter "halley_service_replies_dropped" "Replies that nobody waits for, by reason." {
        service_replies_unexpected { "reason" = "unexpected" },
        service_replies_foreign { "reason" = "foreign" },
        service_replies_uncorrelated { "reason" = "uncorrelated" }
    }
    Counter "halley_batches" "Batches of records handed to shards." { batches }
    Gauge "halley_partitions" "Partitions that are read." { partitions }
    Counter "halley_kafka_errors" "Errors that Kafka or the way to it reported." { kafka_errors }
    Counter "halley_tls_handshakes" "TLS handshakes with clients, by result." {
        tls_accepted { "result" = "accepted" },
        tls_failed { "result" = "failed" },
        tls_timeout { "result" = "timeout" }
    }
    Counter "halley_tls_reloads" "Changed files of `tls` that were read, by result." {
        tls_reloaded { "result" = "taken" },
        tls_refused { "result" = "refused" }
    }
    Gauge "halley_kafka_up" "1 if Kafka answers, 0 if not." { kafka_up }
}

// === impl Metrics ===

impl Metrics {
    /// All at zero. The process counts as started now.
    pub fn new() -> Self {
        let node = Arc::<NodeMetrics>::default();
        let shards = Arc::<Shards>::default();
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&shards)));
        registry.register_collector(Box::new(Arc::clone(&node)));
        registry.register_collector(Box::new(Process { start }));
        Self { node, shards, registry }
    }

    /// Numbers for one more shard.
    pub fn shard(&self) -> Arc<ShardMetrics> {
        let shard = Arc::<ShardMetrics>::default();
        self.shards.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&shard));
        shard
    }

    /// The numbers now, as `OpenMetrics` text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Collector ===

impl Collector for Shards {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |row: &Row<ShardMetrics>| {
            shards.iter().map(|shard| (row.cell)(shard).get()).fold(0, u64::wrapping_add)
        };
        rows(ShardMetrics::ROWS, sum, encoder)
    }
}

impl Collector for NodeMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        rows(Self::ROWS, |row| (row.cell)(self).get(), encoder)
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        encoder
            .encode_descriptor("halley_build", "The program.", None, MetricType::Info)?
            .encode_info(&build)?;
        let mut gauge = |name, help, value: f64| {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
        };
        gauge("process_start_time_seconds", "When the process started, in seconds since 1970.", self.start)?;
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory in use.", process::resident_bytes()),
            ("process_open_fds", "Open files and sockets.", process::open_files()),
        ] {
            if let Some(value) = value {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
                gauge(name, help, value as f64)?;
            }
        }
        Ok(())
    }
}

fn rows<M>(
    rows: &[Row<M>],
    value: impl Fn(&Row<M>) -> u64,
    mut encoder: DescriptorEncoder<'_>,
) -> fmt::Result {
    for group in rows.chunk_by(|a, b| a.name == b.name) {
        let Some(first) = group.first() else { continue };
        let mut metric = encoder.encode_descriptor(first.name, first.help, None, first.kind)?;
        for row in group {
            if row.label.is_empty() {
                encode(&mut metric, row.kind, value(row))?;
            } else {
                encode(&mut metric.encode_family(&row.label)?, row.kind, value(row))?;
            }
        }
    }
    Ok(())
}

fn encode(metric: &mut MetricEncoder<'_>, kind: MetricType, value: u64) -> fmt::Result {
    match kind {
        MetricType::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        // What goes down by one before another thread has seen it go up reads as a little below zero.
        _ => metric.encode_gauge(&value.cast_signed()),
    }
}
