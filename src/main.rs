//! halley
fn main() {}
