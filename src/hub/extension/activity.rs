//! Activity: sessions of which nothing is heard but their connects end.

use std::time::{Duration, Instant};

use crate::bayeux::{Body, Message};
use crate::hub::session::Session;

/// After how long without activity a session ends (setting `bayeux.activity`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// What counts.
    pub mode: ActivityMode,
    /// How long nothing may happen.
    pub period: Duration,
}

/// What counts as activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivityMode {
    /// What the client sends, connects aside.
    Client,
    /// That, and events for it.
    ClientServer,
}

impl Session {
    /// A message of the session came.
    pub(in crate::hub) fn note(&mut self, activity: Option<Activity>, message: &Message, now: Instant) {
        if activity.is_some() && !matches!(message.body, Body::Connect { .. }) {
            self.extras.get_or_insert_default().active = Some(now);
        }
    }

    /// Whether nothing has happened in the session for too long.
    pub(in crate::hub) fn is_inactive(&self, activity: Option<Activity>, now: Instant) -> bool {
        let active = self.extras.as_ref().and_then(|extras| extras.active);
        activity.zip(active).is_some_and(|(it, active)| now.duration_since(active) >= it.period)
    }
}
