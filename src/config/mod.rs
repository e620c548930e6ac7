//! Settings: from files, environment and flags to checked values.

mod fields;
mod problem;
mod suggest;
pub mod yaml;
mod yaml_hint;

pub use fields::{Fields, Report};
pub use problem::{Place, Problem, Problems};
pub use suggest::suggest;
