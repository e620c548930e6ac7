//! What the admin address tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::telemetry::Metrics;

/// The state of the gateway, set by whoever brings it about.
#[derive(Debug)]
pub struct State {
    metrics: Arc<Metrics>,
    needs_kafka: bool,
    routes: AtomicBool,
    listening: AtomicBool,
    draining: AtomicBool,
    kafka: AtomicBool,
}

// === impl State ===

impl State {
    /// A gateway that is starting. `needs_kafka`: it is not ready without Kafka (`ready.kafka`).
    pub fn new(metrics: Arc<Metrics>, needs_kafka: bool) -> Self {
        let no = || AtomicBool::new(false);
        Self { metrics, needs_kafka, routes: no(), listening: no(), draining: no(), kafka: no() }
    }

    /// Routes are loaded.
    pub fn set_routes_loaded(&self) {
        self.routes.store(true, Ordering::Relaxed);
    }

    /// Clients can connect.
    pub fn set_listening(&self) {
        self.listening.store(true, Ordering::Relaxed);
    }

    /// The gateway is going down.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether Kafka answers; also the metric `halley_kafka_up`.
    pub fn set_kafka(&self, up: bool) {
        self.kafka.store(up, Ordering::Relaxed);
        self.metrics.node.kafka_up.set(u64::from(up));
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether clients should come here, and why or why not as JSON.
    pub(super) fn readiness(&self) -> (bool, String) {
        let [routes, listening, draining, kafka] =
            [&self.routes, &self.listening, &self.draining, &self.kafka]
                .map(|flag| flag.load(Ordering::Relaxed));
        let ready = routes && listening && !draining && (kafka || !self.needs_kafka);
        let why = format!(
            r#"{{"ready":{ready},"routes":{routes},"listening":{listening},"draining":{draining},"kafka":{kafka}}}"#
        );
        (ready, why)
    }
}
