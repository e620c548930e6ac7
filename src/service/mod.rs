//! Requests and replies through Kafka: a publish on a `/service` channel whose route has `reply` is a request, and the record of
//! the reply topic that carries its correlation id goes to the session that asked, alone.
//!
//! - [`Requests`] belongs to one shard and is a state machine: it has the reply topic read before a request is sent, keeps what is
//!   outstanding and its time, and makes the messages for the sessions;
//! - [`Outstanding`] is what the shards and the reader of replies share: whose each id is, once.

mod correlation;
mod outstanding;
mod requests;
#[cfg(test)]
mod tests;

pub use correlation::{Correlation, ENTROPY, TAG};
pub use outstanding::{Outstanding, Verdict};
pub use requests::{Asked, Bounds, Effect, Entropy, Requests, Stats, Unread};
