//! Settings: from files, environment and flags to checked values.

mod fields;
mod problem;
mod settings;
mod suggest;
pub mod yaml;
mod yaml_hint;

pub use fields::{Fields, Report};
pub use problem::{Place, Problem, Problems};
pub use settings::{
    Bayeux, Cookie, Kafka, Limits, Log, LogFormat, Publish, Queue, Ready, SameSite, Settings, Subscribe,
    Transports,
};
pub use suggest::suggest;
