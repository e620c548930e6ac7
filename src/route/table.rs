//! All routes of a node.

use std::sync::Arc;

use super::cover::{Coverage, cover, reads_of};
use super::definition::Route;
use super::plan::TopicPlan;
use super::target::{Target, TargetError};
use crate::bayeux::{Channel, Pattern};

/// The routes of all mapping files, checked against each other. Immutable: a reload makes another one.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// Most specific first: the first that has a channel owns it.
    routes: Vec<Arc<Route>>,
}

// === impl RouteTable ===

impl RouteTable {
    pub(super) fn new(mut routes: Vec<Arc<Route>>) -> Self {
        routes.sort_by(|a, b| a.rank.cmp(&b.rank));
        Self { routes }
    }

    /// Every route, most specific first.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route that owns a channel, for both directions.
    pub fn owner(&self, channel: &Channel) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.read(channel.as_str()).is_some())
    }

    /// Every route open for subscribing that has a channel of the pattern; none is an unknown channel.
    pub fn covering(&self, pattern: &Pattern) -> Vec<Coverage> {
        if pattern.is_meta() || pattern.is_service() {
            return Vec::new();
        }
        let covered = |route| {
            let reads = cover(route, &self.routes, pattern)?;
            Some(Coverage { route: Arc::clone(route), reads })
        };
        self.routes.iter().filter_map(covered).collect()
    }

    /// The routes that records of a topic may take; `None` if no route reads it. Worth keeping per topic.
    pub fn topic(&self, name: &str) -> Option<TopicPlan> {
        TopicPlan::new(&self.routes, name)
    }

    /// The record that a publish on `channel` becomes, all but its value.
    pub fn target<'a>(&'a self, channel: &'a Channel) -> Result<Target, TargetError> {
        if channel.is_meta() {
            return Err(TargetError::UnknownChannel);
        }
        let owned = |route: &'a Arc<Route>| Some((route, route.read(channel.as_str())?));
        let (route, values) = self.routes.iter().find_map(owned).ok_or(TargetError::UnknownChannel)?;
        Target::new(route, &values)
    }

    /// Every route with all that can be read for it, most specific first. One whose topics no record can have is left out.
    pub fn sources(&self) -> Vec<Coverage> {
        let of = |route: &Arc<Route>| Some(Coverage { route: Arc::clone(route), reads: reads_of(route)? });
        self.routes.iter().filter_map(of).collect()
    }

    /// What is read even when nobody listens.
    pub fn warm(&self) -> Vec<Coverage> {
        let warm = |route: &Arc<Route>| {
            let reads = reads_of(route).filter(|_| route.is_warm())?;
            Some(Coverage { route: Arc::clone(route), reads })
        };
        self.routes.iter().filter_map(warm).collect()
    }
}
