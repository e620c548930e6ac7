//! One request's replies, in the order of its messages.

use bytes::Bytes;

/// The reply slots of one body or frame. A response leaves when all of them are settled.
#[derive(Debug, Default)]
pub struct Exchange {
    slots: Vec<Option<Bytes>>,
    open: usize,
}

impl Exchange {
    /// Opens the next slot.
    pub fn open(&mut self) -> usize {
        self.slots.push(None);
        self.open += 1;
        self.slots.len() - 1
    }

    /// Fills a slot with its reply, one JSON object. A slot that is settled already keeps its first reply.
    pub fn settle(&mut self, slot: usize, reply: Bytes) {
        if let Some(empty @ None) = self.slots.get_mut(slot) {
            *empty = Some(reply);
            self.open -= 1;
        }
    }

    /// How many slots are not settled.
    pub fn open_slots(&self) -> usize {
        self.open
    }

    /// Bytes of the replies that are there, with what stands between them.
    pub fn size(&self) -> usize {
        self.slots.iter().flatten().map(|reply| reply.len() + 1).sum()
    }

    /// The replies in order, once, when every slot is settled.
    pub fn poll_ready(&mut self) -> Option<Vec<Bytes>> {
        (self.open == 0).then(|| self.slots.drain(..).flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_leave_together_in_the_order_of_their_messages() {
        let mut exchange = Exchange::default();
        let (first, second) = (exchange.open(), exchange.open());
        exchange.settle(second, Bytes::from_static(b"2"));
        assert_eq!(exchange.poll_ready(), None);
        exchange.settle(first, Bytes::from_static(b"1"));
        exchange.settle(first, Bytes::from_static(b"again"));
        assert_eq!(exchange.poll_ready().unwrap(), ["1", "2"]);
    }
}
