//! Records, spans and positions: what flows from Kafka to the sessions. Pure.

mod deflate;
mod positions;
mod raw;
mod record;
mod rendering;
mod seam;
mod span;

pub use positions::Positions;
pub use raw::RawRecord;
pub use record::{Body, Record, Render, Source};
pub use rendering::{Rendering, compressed_text_frame, event_block, text_frame};
pub use seam::{Admit, Seam};
pub use span::{Batch, Span, Topic};
