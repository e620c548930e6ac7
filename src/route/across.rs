//! Routes checked against each other.

use std::sync::Arc;

use super::channel::{ChannelTemplate, Rank};
use super::cover::is_unreachable;
use super::definition::Route;
use crate::config::yaml::Node;
use crate::config::{Problem, Report};

/// What could be read of a route; enough to compare it although something else in it is wrong.
pub(super) struct Draft<'a> {
    report: &'a Report,
    node: &'a Node,
    pub(super) name: Option<(&'a str, &'a Node)>,
    pub(super) channel: Option<(ChannelTemplate, Vec<Rank>, &'a Node)>,
    /// Where it is opened for publishing.
    pub(super) publish: Option<&'a Node>,
    /// The route, if nothing is wrong with it.
    pub(super) route: Option<Arc<Route>>,
}

// === impl Draft ===

impl<'a> Draft<'a> {
    pub(super) fn new(report: &'a Report, node: &'a Node) -> Self {
        Self { report, node, name: None, channel: None, publish: None, route: None }
    }

    /// How messages name it.
    fn title(&self) -> String {
        self.name.map_or_else(|| "a route".to_owned(), |(name, _)| format!("route {name}"))
    }

    /// Where it is, for messages about another one.
    fn place(&self) -> String {
        self.report.place(self.node.line, self.node.column).to_string()
    }
}

/// Reports names that occur twice, equal precedence, and what no record can reach.
pub(super) fn check(drafts: &[Draft<'_>]) {
    for (n, draft) in drafts.iter().enumerate() {
        let earlier = drafts.get(..n).unwrap_or_default();
        if let Some((name, node)) = draft.name
            && let Some(other) =
                earlier.iter().find(|other| other.name.is_some_and(|(known, _)| known == name))
        {
            let what = format!("the name is taken by the route at {}", other.place());
            draft.report.at(node, &format!("{}.name", draft.title()), what);
        }
        if let Some((channel, rank, node)) = &draft.channel {
            let equal = earlier.iter().find(|other| {
                other.channel.as_ref().is_some_and(|(c, r, _)| r == rank && c.overlaps(channel))
            });
            if let Some(other) = equal {
                draft.report.at_with_hint(
                    node,
                    &format!("{}.channel", draft.title()),
                    format!(
                        "{channel} has the same precedence as {} of {} at {}, and they have channels in common",
                        other.channel.as_ref().map_or("", |(channel, _, _)| channel.as_str()),
                        other.title(),
                        other.place(),
                    ),
                    "a channel belongs to one route: make one of the two more specific",
                );
            }
        }
    }
    let routes: Vec<_> = drafts.iter().filter_map(|draft| draft.route.clone()).collect();
    for draft in drafts {
        if let (Some(route), Some((_, _, node))) = (&draft.route, &draft.channel)
            && is_unreachable(route, &routes)
        {
            let what = "unreachable: every channel that its records can have is excluded by match or belongs to \
                        a more specific route";
            draft.report.at(node, &format!("{}.channel", draft.title()), what);
        }
    }
}

/// What is allowed, but worth a thought: whoever can connect may publish.
pub(super) fn warnings(drafts: &[Draft<'_>]) -> Vec<Problem> {
    let warn = |draft: &Draft<'_>| {
        let node = draft.publish?;
        let place = draft.report.place(node.line, node.column);
        let what = format!("{}.publish: anyone who can connect may publish here", draft.title());
        Some(
            Problem::at(place, what)
                .hint("the gateway is anonymous: leave publish out where that is not meant"),
        )
    };
    drafts.iter().filter_map(warn).collect()
}
