//! The requests of a node that wait for their reply, and whose they are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use super::correlation::{Correlation, TAG};

/// Bytes of a node's requests: what is kept of each until its reply, and the data of those that wait to be sent.
const BYTES: usize = 32 * 1024 * 1024;

/// Shared by the shards, which ask, and the reader of the reply topics. Locked once for a request and once for a reply.
#[derive(Debug)]
pub struct Outstanding {
    tag: [u8; TAG],
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: HashMap<Correlation, Open>,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    shard: u16,
    bytes: usize,
    /// Whether its reply was read.
    replied: bool,
}

/// What a record of a reply topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The reply to a request of this shard; said once for a request.
    Reply(u16, Correlation),
    /// Of this node, but nobody waits for it: too late, or the second one.
    Unexpected,
    /// Another node's, or one from before a restart.
    Foreign,
    /// It does not tell what it is the reply to.
    Uncorrelated,
}

// === impl Outstanding ===

impl Outstanding {
    /// At most `limit` requests. `tag` has to be another for every process.
    pub fn new(tag: [u8; TAG], limit: usize) -> Arc<Self> {
        Arc::new(Self { tag, limit, state: Mutex::default() })
    }

    pub(super) fn tag(&self) -> [u8; TAG] {
        self.tag
    }

    /// Adds a request of `shard`; `false` if there are too many.
    pub(super) fn open(&self, id: Correlation, shard: u16, bytes: usize) -> bool {
        let mut state = self.lock();
        let full = state.requests.len() >= self.limit || state.bytes.saturating_add(bytes) > BYTES;
        // One that is larger than all may be has to be alone.
        if full && !state.requests.is_empty() {
            return false;
        }
        state.bytes += bytes;
        state.requests.insert(id, Open { shard, bytes, replied: false });
        true
    }

    /// A request keeps `bytes` less from now on.
    pub(super) fn shrink(&self, id: Correlation, bytes: usize) {
        let mut state = self.lock();
        if let Some(open) = state.requests.get_mut(&id) {
            let less = bytes.min(open.bytes);
            open.bytes -= less;
            state.bytes -= less;
        }
    }

    pub(super) fn close(&self, id: Correlation) {
        let mut state = self.lock();
        if let Some(open) = state.requests.remove(&id) {
            state.bytes -= open.bytes;
        }
    }

    /// Takes in a record of a reply topic: `header` is its correlation header.
    pub fn replied(&self, header: Option<&[u8]>) -> Verdict {
        let Some(header) = header else { return Verdict::Uncorrelated };
        let Some(id) = Correlation::of_header(self.tag, header) else { return Verdict::Foreign };
        match self.lock().requests.get_mut(&id) {
            Some(open) if !open.replied => {
                open.replied = true;
                Verdict::Reply(open.shard, id)
            }
            _ => Verdict::Unexpected,
        }
    }

    /// Requests and their bytes.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let state = self.lock();
        (state.requests.len(), state.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ENTROPY;

    fn id(n: u8) -> Correlation {
        Correlation::new([n; ENTROPY])
    }

    #[test]
    fn a_reply_is_for_one_request_and_once() {
        let ours = Outstanding::new([1; TAG], 9);
        assert!(ours.open(id(1), 5, 10));
        let header = id(1).header([1; TAG]);
        let see = |header: &str| ours.replied(Some(header.as_bytes()));
        assert_eq!(see(&header), Verdict::Reply(5, id(1)));
        assert_eq!(see(&header), Verdict::Unexpected);
        ours.close(id(1));
        assert_eq!(see(&header), Verdict::Unexpected);
        assert_eq!(see(&id(1).header([2; TAG])), Verdict::Foreign);
        assert_eq!(see("mine"), Verdict::Foreign);
        assert_eq!(ours.replied(None), Verdict::Uncorrelated);
    }

    #[test]
    fn there_is_room_for_so_many_and_so_much() {
        let few = Outstanding::new([1; TAG], 2);
        assert!(few.open(id(1), 0, 1) && few.open(id(2), 0, 1) && !few.open(id(3), 0, 1));
        few.close(id(1));
        assert!(few.open(id(3), 0, 1));

        let large = Outstanding::new([1; TAG], 9);
        assert!(large.open(id(1), 0, BYTES + 1), "it is alone");
        assert!(!large.open(id(2), 0, 1));
        large.shrink(id(1), BYTES);
        assert!(large.open(id(2), 0, 1));
        large.close(id(1));
        large.close(id(2));
        assert_eq!(large.size(), (0, 0));
    }
}
