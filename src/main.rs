//! The program; everything is in the library.

use std::process::ExitCode;

/// Parked connections cost half of what they do with glibc's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    halley::cli::run()
}
