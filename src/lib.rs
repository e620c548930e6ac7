//! Halley: a gateway between browsers and Kafka.

pub mod admin;
pub mod bayeux;
pub mod cli;
pub mod client;
pub mod codec;
pub mod config;
pub mod feed;
pub mod gateway;
pub mod hub;
pub mod kafka;
pub mod net;
pub mod publish;
pub mod route;
pub mod service;
pub mod stream;
pub mod telemetry;
pub mod transport;
