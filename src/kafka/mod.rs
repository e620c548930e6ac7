//! Everything that talks to Kafka; nothing else names rdkafka.
//!
//! Three kinds of client, each driven by its own event queue on a thread of its own: the [`Reader`] reads partitions, the
//! [`Writer`] writes records, the [`Catalog`] answers questions about topics.

mod catalog;
mod config;
#[cfg(feature = "dev")]
mod dev;
mod error;
mod ffi;
mod log;
mod native;
mod producer;
mod reader;
mod revival;
#[cfg(test)]
#[cfg(feature = "dev")]
mod tests;
mod writer;

pub use catalog::{Catalog, Found, Inspected, Looked, OffsetOf};
pub use config::{BadProperty, Config};
#[cfg(feature = "dev")]
pub use dev::DevBroker;
pub use error::Error;
pub use reader::{From, Reader, Sink};
pub use writer::{Outcome, Report, SendError, Write, Writer};

/// librdkafka's error in its own words.
fn words(code: native::Code) -> String {
    // "Name (Words)": the name is the binding's.
    let text = code.to_string();
    text.split_once(" (").map_or(text.as_str(), |(_, words)| words.trim_end_matches(')')).to_owned()
}
