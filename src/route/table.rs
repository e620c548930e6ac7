//! All routes of a node.

use std::sync::Arc;

use super::cover::{Coverage, cover, reads_of};
use super::definition::Route;
use super::plan::TopicPlan;
use super::reply::Reply;
use super::target::{Target, TargetError};
use super::template::Values;
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
        self.owning(channel).map(|(route, _)| route)
    }

    /// The route that owns a channel, and the channel's variables. `/service` channels belong only to routes that say so.
    fn owning<'a>(&self, channel: &'a Channel) -> Option<(&Arc<Route>, Values<'a>)> {
        let service = channel.is_service();
        let mut routes = self.routes.iter().filter(|route| !service || route.channel.is_service());
        routes.find_map(|route| Some((route, route.read(channel.as_str())?)))
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
    pub fn target(&self, channel: &Channel) -> Result<Target, TargetError> {
        if channel.is_meta() {
            return Err(TargetError::UnknownChannel);
        }
        let (route, values) = self.owning(channel).ok_or(TargetError::UnknownChannel)?;
        Target::new(route, &values)
    }

    /// The route of `channel` and where its replies are, if a publish there is a request.
    pub fn request(&self, channel: &Channel) -> Option<(&Arc<Route>, &Arc<Reply>)> {
        let route = self.owner(channel).filter(|_| channel.is_service())?;
        Some((route, route.reply.as_ref()?))
    }

    /// The headers by which replies in `topic` tell what they answer; none if it is not a topic of replies.
    pub fn correlation_headers(&self, topic: &str) -> Vec<Arc<str>> {
        let replies = self.routes.iter().filter_map(|route| route.reply.as_ref());
        let mut headers: Vec<_> = replies
            .filter(|reply| *reply.topic == *topic)
            .map(|reply| Arc::clone(&reply.correlation_header))
            .collect();
        headers.sort();
        headers.dedup();
        headers
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
