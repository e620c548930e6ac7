//! Logs and metrics.

mod cell;
mod every;
pub mod logs;
mod metrics;
mod process;

pub use cell::Cell;
pub use every::Every;
pub use metrics::{CONTENT_TYPE, Metrics, NodeMetrics, ShardMetrics};
