//! Routes: mapping files, and what ties channels to records in both directions. Pure.

mod across;
mod channel;
mod cover;
mod definition;
mod escape;
pub mod explain;
mod file;
mod open;
mod partition;
mod plan;
mod project;
mod reply;
mod schema;
mod selector;
mod table;
mod target;
mod template;

pub use cover::{Coverage, Reads, TopicMatcher};
pub use definition::Route;
pub use file::{Checked, Source, parse};
pub use partition::{FixedKey, Partitioner};
pub use plan::{Routed, TopicPlan, Unroutable};
pub use reply::Reply;
pub use schema::schema;
pub use table::RouteTable;
pub use target::{Target, TargetError, ValueError};

#[cfg(test)]
mod tests;
