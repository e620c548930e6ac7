//! The sample routes, brought along by the binary for trials outside the source tree.

use std::path::Path;

use crate::config::Problems;
use crate::route::{self, Checked, Source};

const FILES: &[(&str, &str)] = &[
    ("mappings/chat.yaml", include_str!("../../mappings/chat.yaml")),
    ("mappings/inbox.yaml", include_str!("../../mappings/inbox.yaml")),
    ("mappings/logs.yaml", include_str!("../../mappings/logs.yaml")),
    ("mappings/orders.yaml", include_str!("../../mappings/orders.yaml")),
    ("mappings/prices.yaml", include_str!("../../mappings/prices.yaml")),
    ("mappings/quote.yaml", include_str!("../../mappings/quote.yaml")),
];

/// The routes of `mappings/`.
///
/// # Errors
/// None, as long as the tests of the mappings pass.
pub fn sample_routes() -> Result<Checked, Problems> {
    let sources: Vec<Source<'_>> =
        FILES.iter().map(|(file, text)| Source { file: Path::new(file), text }).collect();
    route::parse(&sources)
}
