//! What `halley check --live` says: the routes beside the topics of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::kafka::{self, Catalog, Inspected};
use crate::route::{Reads, Route, RouteTable};

/// For everything; Kafka is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Topics of one template that are looked at and shown.
const SHOWN: usize = 20;

/// The routes compared with the cluster.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// For people.
    pub(super) text: String,
    /// How much does not work.
    pub(super) errors: usize,
    /// What may not be meant.
    pub(super) warnings: usize,
}

/// A line of the report.
struct Row {
    route: String,
    topic: String,
    partitions: String,
    said: String,
}

/// Compares routes with the cluster.
///
/// # Errors
/// If the cluster does not answer.
pub(super) async fn compare(table: &RouteTable, config: &kafka::Config) -> Result<Report, kafka::Error> {
    let catalog = Catalog::start(config)?;
    let comparing = async {
        let sources = table.sources();
        let open = sources.iter().any(|c| matches!(&c.reads, Reads::Topics { template: Some(_), .. }));
        let all = if open { catalog.topics(PATIENCE).await? } else { Arc::default() };
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut wanted = Vec::new();
        for coverage in &sources {
            let Reads::Topics { literal, template, .. } = &coverage.reads else { continue };
            names.extend(literal.iter().cloned());
            let matching = template.as_ref().map(|template| {
                let names = all.iter().map(|(name, _)| name).filter(|name| template.matches(name));
                let mut names: Vec<Arc<str>> = names.map(|name| name.as_str().into()).collect();
                names.sort_unstable();
                names
            });
            names.extend(matching.iter().flatten().take(SHOWN).cloned());
            wanted.push((&coverage.route, literal, matching));
        }
        let inspected = catalog.inspect(&names, PATIENCE).await?;
        let inspected: BTreeMap<&str, &Inspected> =
            inspected.iter().map(|topic| (topic.name.as_str(), topic)).collect();
        let mut report = Report::default();
        let mut rows = Vec::new();
        for (route, literal, matching) in wanted {
            for name in literal {
                rows.push(report.row(route, name, inspected.get(&**name).copied()));
            }
            if let Some(matching) = matching {
                report.matching(route, &matching, &inspected, &mut rows);
            }
        }
        report.print(rows);
        Ok(report)
    };
    match tokio::time::timeout(PATIENCE, comparing).await {
        Ok(report) => report,
        Err(_) => Err(kafka::Error::TimedOut(format!("gave up after {PATIENCE:?}"))),
    }
}

// === impl Report ===

impl Report {
    fn error(&mut self, what: &str) -> String {
        self.errors += 1;
        format!("error: {what}")
    }

    fn warning(&mut self, what: &str) -> String {
        self.warnings += 1;
        format!("warning: {what}")
    }

    fn row(&mut self, route: &Route, name: &str, topic: Option<&Inspected>) -> Row {
        let (partitions, said) = match topic.map(|topic| (&topic.found, topic)) {
            None | Some((Ok(None), _)) => {
                let said = match (route.can_subscribe(), route.can_publish()) {
                    (true, false) => "subscribers wait until it is created",
                    (false, _) => "publishes fail",
                    (true, true) => "subscribers wait until it is created, publishes fail",
                };
                ("-".to_owned(), self.error(&format!("there is no such topic; {said}")))
            }
            Some((Err(why), _)) => ("-".to_owned(), self.error(why)),
            Some((Ok(Some(found)), topic)) => {
                let leaderless = found.leaders.iter().filter(|has_leader| !**has_leader).count();
                let said = if route.can_subscribe() && topic.may_read == Some(false) {
                    self.error("these credentials may not read it (ACL: Read)")
                } else if route.can_publish() && topic.may_write == Some(false) {
                    self.error("these credentials may not write to it (ACL: Write)")
                } else if leaderless > 0 {
                    self.warning(&format!("{leaderless} without a leader"))
                } else {
                    "ok".to_owned()
                };
                (found.leaders.len().to_string(), said)
            }
        };
        Row { route: route.name().to_string(), topic: name.to_owned(), partitions, said }
    }

    /// The topics behind a template.
    fn matching(
        &mut self,
        route: &Route,
        names: &[Arc<str>],
        inspected: &BTreeMap<&str, &Inspected>,
        rows: &mut Vec<Row>,
    ) {
        let templates = route.topics().filter(|topic| topic.contains('{'));
        let template = templates.collect::<Vec<_>>().join(", ");
        let row = |topic: String, said: String| Row {
            route: route.name().to_string(),
            topic,
            partitions: "-".to_owned(),
            said,
        };
        if names.is_empty() {
            let said = "no topic that these credentials see is like this; one that is created later is found";
            rows.push(row(template.clone(), self.warning(said)));
        }
        for name in names.iter().take(SHOWN) {
            rows.push(self.row(route, name, inspected.get(&**name).copied()));
        }
        if names.len() > SHOWN {
            rows.push(row(template, format!("and {} topics more like this", names.len() - SHOWN)));
        }
    }

    fn print(&mut self, rows: Vec<Row>) {
        let head = Row {
            route: "ROUTE".to_owned(),
            topic: "TOPIC".to_owned(),
            partitions: "PARTITIONS".to_owned(),
            said: "CLUSTER".to_owned(),
        };
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
        let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (routes, topics, counts) =
            (width(|row| &row.route), width(|row| &row.topic), width(|row| &row.partitions));
        for Row { route, topic, partitions, said } in &rows {
            let _ = writeln!(self.text, "{route:routes$}  {topic:topics$}  {partitions:counts$}  {said}");
        }
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let _ =
            writeln!(self.text, "\n{}, {}", plural(self.errors, "error"), plural(self.warnings, "warning"));
    }
}
