//! Settings: from files, environment and flags to checked values.

mod problem;

pub use problem::{Place, Problem, Problems};
