//! Records, spans and positions: what flows from Kafka to the sessions. Pure.

mod positions;
mod raw;
mod record;
mod rendering;
mod span;

pub use positions::Positions;
pub use raw::RawRecord;
pub use record::{Body, Record, Render, Source};
pub use rendering::{Rendering, text_frame};
pub use span::{Batch, Span, Topic};
