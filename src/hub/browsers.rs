//! How many sessions of one browser hold a poll (R70).
//!
//! Over HTTP/1.1 a browser opens few connections to a server. The held polls of several pages would take them all, so only so many
//! are held, and the others ask again and again. Who comes when a place is free holds it.

use super::request::Exchange;
use super::session::{Answer, Held};
use super::{Shard, Via};

impl Shard {
    /// Whether a poll of this request may not be held because others of its browser are.
    pub(super) fn is_surplus(&self, exchange: &Exchange) -> bool {
        let Some(most) = self.settings.clients_per_browser else { return false };
        if exchange.multiplexed || matches!(exchange.via, Via::Socket(_)) {
            return false;
        }
        let holding = exchange.browser.as_ref().and_then(|browser| self.holding.get(browser));
        holding.copied().unwrap_or_default() >= most
    }

    /// A poll is held from now on. Those of clients without a cookie are nobody's.
    pub(super) fn count_held(&mut self, held: &Held) {
        if let Some(browser) = self.browser_of(held).map(Box::from) {
            *self.holding.entry(browser).or_default() += 1;
        }
    }

    /// A poll is held no longer. The request must still be there.
    pub(super) fn uncount_held(&mut self, held: &Held) {
        let Some(browser) = self.browser_of(held).map(Box::<str>::from) else { return };
        if let Some(count) = self.holding.get_mut(&browser) {
            *count -= 1;
            if *count == 0 {
                self.holding.remove(&browser);
            }
        }
    }

    /// The browser that a held poll counts for, if it counts.
    fn browser_of(&self, held: &Held) -> Option<&str> {
        self.settings.clients_per_browser?;
        let exchange = self.exchanges.get(held.exchange)?;
        let counts = held.answer == Answer::Poll && held.http.is_some() && !exchange.multiplexed;
        exchange.browser.as_deref().filter(|_| counts)
    }
}
