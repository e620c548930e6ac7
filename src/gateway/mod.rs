//! Gateway.

#[cfg(feature = "dev")]
pub mod demo;
#[cfg(feature = "dev")]
pub mod sample;
