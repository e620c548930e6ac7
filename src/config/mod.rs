//! Settings: from files, environment and flags to checked values.

mod connection_type;
mod fields;
mod keys;
mod layers;
mod load;
mod origin;
mod problem;
mod schema;
mod settings;
mod suggest;
mod value;
pub mod yaml;
mod yaml_hint;

pub use connection_type::ConnectionType;
pub use fields::{Fields, Report};
pub use keys::{defaults, reference};
pub use load::{LoadOptions, Reading, load, mapping_files, read};
pub use problem::{Place, Problem, Problems};
pub use schema::schema;
pub use settings::{
    Activity, ActivityMode, Bayeux, Cookie, Kafka, Limits, Log, LogFormat, Publish, Queue, Ready, SameSite,
    Settings, Subscribe, Tls,
};
pub use suggest::suggest;
pub use value::{duration, duration_text};
