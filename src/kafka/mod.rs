//! Everything that talks to Kafka; nothing else names rdkafka.

#[cfg(feature = "dev")]
mod dev;
mod error;

#[cfg(feature = "dev")]
pub use dev::DevBroker;
pub use error::Error;
