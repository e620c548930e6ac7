//! The Bayeux protocol as values: channels, messages, replies. Pure: no sockets, no clock.

mod channel;

pub use channel::{Channel, ChannelError, Pattern, Wild, legal};
