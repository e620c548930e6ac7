//! Latencies in buckets: 64 for every doubling, so that a quantile is right to 1.6 %.

const BITS: u32 = 6;
const STEPS: u64 = 1 << BITS;
const BUCKETS: usize = (64 - BITS as usize + 1) << BITS;

/// Counts of values.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

// === impl Histogram ===

impl Histogram {
    pub fn add(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// The value that the share `quantile` of all values do not exceed; 0 of nothing.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn quantile(&self, quantile: f64) -> u64 {
        let rank = (self.total as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                return highest(index as u64);
            }
        }
        0
    }
}

fn bucket(value: u64) -> usize {
    let shift = (64 - value.leading_zeros()).saturating_sub(BITS + 1);
    // Below 128 every value has a bucket of its own; above, the upper seven bits and the shift tell the bucket.
    usize::try_from(u64::from(shift) * STEPS + (value >> shift)).unwrap_or(BUCKETS)
}

/// The highest value of a bucket.
fn highest(index: u64) -> u64 {
    let shift = (index / STEPS).saturating_sub(1);
    ((index - shift * STEPS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_cover_everything() {
        for value in (0..2_000).chain([1 << 20, (1 << 20) + 1, 123_456_789_012, u64::MAX >> 1]) {
            let high = highest(bucket(value) as u64);
            assert!(high >= value, "{value} in a bucket that ends at {high}");
            assert!(high - value <= value / 64, "{value} in a bucket that ends at {high}");
        }
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|value| histogram.add(value));
        let near = |quantile, value: u64| {
            let found = histogram.quantile(quantile);
            assert!(found >= value && found <= value + value / 64, "{quantile}: {found}");
        };
        near(0.5, 500);
        near(0.99, 990);
        near(1.0, 1000);
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}
