//! The shard without sockets, broker or sleeps.

mod ack;
mod ack_property;
mod browsers;
mod connect;
mod delivery;
mod drain;
mod extensions;
mod handshake;
mod lazy;
mod property;
mod publish;
mod rig;
mod service;
mod slow;
mod sockets;
mod streams;
mod subscribe;

pub(super) use rig::{event, event_of};
