//! The sessions of each address, over all shards.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// Counts the sessions of each address. Shared by all shards, and touched only when a session begins or ends.
#[derive(Debug)]
pub struct Addresses {
    most: usize,
    sessions: Mutex<HashMap<IpAddr, usize>>,
}

/// The place that one session takes, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    address: IpAddr,
    addresses: Arc<Addresses>,
}

// === impl Addresses ===

impl Addresses {
    /// At most `most` sessions of an address.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, sessions: Mutex::default() })
    }

    /// A place for one more session; `None` if its address has as many as it may.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = counted(address);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sessions.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { address, addresses: Arc::clone(self) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut sessions = self.addresses.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = sessions.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What is counted as one: an IPv4 address, or an IPv6 network of 64 bits, of which a single host has all addresses.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_host_and_given_back() {
        let addresses = Addresses::new(2);
        let of = |text: &str| addresses.admit(text.parse().unwrap());
        let (one, mapped) = (of("10.0.0.1"), of("::ffff:10.0.0.1"));
        assert!(one.is_some() && mapped.is_some() && of("10.0.0.1").is_none());
        assert!(of("10.0.0.2").is_some(), "another host");
        drop(one);
        assert!(of("10.0.0.1").is_some());
        let (_a, _b) = (of("2001:db8::1"), of("2001:db8::2"));
        assert!(of("2001:db8::3").is_none(), "one host has them all");
        assert!(of("2001:db8:0:1::1").is_some());
        drop(mapped);
        assert_eq!(addresses.sessions.lock().unwrap().len(), 1, "nothing is kept of who is gone");
    }
}
