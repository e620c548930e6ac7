//! The program; everything is in the library.

use std::process::ExitCode;

/// Parked connections cost half of what they do with glibc's allocator. A thread of its own gives memory back to the system, also where
/// nothing else happens.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    halley::cli::run()
}
