//! Random interleavings against a naive model.
