//! What the transports ask of the shard whose thread they run on. The gateway's driver answers.

use std::net::IpAddr;
use std::rc::Rc;

use tokio::sync::oneshot;

use super::link::Link;
use super::websocket::frame;
use super::{eventsource, websocket};
use crate::bayeux::Message;
use crate::hub::{HttpId, Outbox, Response, SocketKey};

/// Who sent a request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The other end of the connection.
    pub address: IpAddr,
    /// The `BAYEUX_BROWSER` cookie, if one came and is well formed.
    pub browser: Option<Box<str>>,
    /// Whether it came by TLS.
    pub secure: bool,
    /// Whether the connection carries many requests at a time (HTTP/2), so that nobody is kept waiting by those that are held.
    pub multiplexed: bool,
}

/// A connection on its way to another shard.
#[derive(Debug)]
pub enum Handover {
    /// A WebSocket, with what was read from it.
    WebSocket(websocket::Handover),
    /// An event stream, of which nothing is written yet.
    EventStream(eventsource::Handover),
}

/// An HTTP request that a shard answers, perhaps another one than where it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostId {
    /// The shard.
    pub shard: u16,
    /// The shard's number for it.
    pub http: HttpId,
}

/// The shard of this thread, and by it the others. Calls come from tasks of this thread, one at a time; none is made from within another,
/// nor from within [`Link::flush`] and [`Link::close`].
pub trait Hub {
    /// Passes on the messages of an HTTP request to the shard of its session. [`written`](Self::written) follows exactly once. A
    /// receiver that fails means that the gateway is going down.
    fn post(&self, peer: Peer, messages: Vec<Message>) -> (PostId, oneshot::Receiver<Response>);

    /// Whether the whole response went to the kernel; if not, the client cannot have read it, or it went away before there was one.
    fn written(&self, post: PostId, whole: bool);

    /// Another request has arrived behind this one on its connection.
    fn hurry(&self, post: PostId);

    /// Adds a WebSocket, for compressed frames or only plain ones. What its outbox gets is to be given to [`Link::flush`].
    fn open(&self, link: Rc<Link>, compressed: bool) -> SocketKey;

    /// The shard of the session that a socket's first messages name, if it is another one: the socket must go there.
    fn home(&self, messages: &[Message]) -> Option<u16>;

    /// The same for an event stream, which is nobody's until [`stream`](Self::stream) tells.
    fn open_stream(&self, link: Rc<Link>) -> SocketKey;

    /// An event stream is for the session of this clientId, if the peer may use it.
    fn stream(&self, socket: SocketKey, peer: &Peer, client_id: &str);

    /// The shard of a clientId, if it is another one.
    fn home_of(&self, client_id: &str) -> Option<u16>;

    /// Passes a connection on; there, [`Server::adopt`](super::Server::adopt) continues it.
    fn hand_over(&self, shard: u16, socket: Handover);

    /// Sees a text or binary message before it is read as Bayeux; true if that is all that becomes of it. For what speaks something else
    /// on the same WebSockets, such as an echo.
    fn intercept(&self, _socket: SocketKey, _message: &frame::Message) -> bool {
        false
    }

    /// Passes on the messages of one frame.
    fn receive(&self, socket: SocketKey, peer: &Peer, messages: Vec<Message>);

    /// Shows what is to be written to a socket; does nothing if the socket is closed.
    fn outbox(&self, socket: SocketKey, see: &mut dyn FnMut(&mut Outbox));

    /// A WebSocket is gone: nothing more will be read from it, and what its outbox still holds is not written.
    fn closed(&self, socket: SocketKey);
}
