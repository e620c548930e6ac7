//! The Bayeux protocol as values: channels, messages, replies. Pure: no sockets, no clock.

mod channel;
mod error;
mod exchange;
mod ext;
mod message;
mod reply;

pub use channel::{Channel, ChannelError, Pattern, Wild, legal};
pub use error::Error;
pub use exchange::Exchange;
pub use ext::{Ack, AckReply, Ext, ReplyExt, Timesync, TimesyncReply};
pub use message::{Body, Limits, Message, ParseError, Subscription, parse};
pub use reply::{Advice, Reconnect, Reply};

pub use crate::config::ConnectionType;
