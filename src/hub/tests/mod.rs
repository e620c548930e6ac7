//! The shard without sockets, broker or sleeps.

mod connect;
mod delivery;
mod drain;
mod handshake;
mod property;
mod publish;
mod rig;
mod slow;
mod sockets;
mod subscribe;

pub(super) use rig::event;
