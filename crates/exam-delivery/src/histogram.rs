//! How long things took: counts in buckets of about 6 %, one addition per line.

use serde::{Deserialize, Serialize};

/// Sub-buckets per power of two.
const SUB: u32 = 8;
/// 8 × 36 buckets reach from 1 µs over 19 hours.
const BUCKETS: usize = 8 * 36;

/// Delays in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram(Vec<u64>);

impl Histogram {
    pub(crate) fn add(&mut self, micros: u64) {
        if self.0.is_empty() {
            self.0 = vec![0; BUCKETS];
        }
        let bucket = bucket(micros);
        if let Some(count) = self.0.get_mut(bucket) {
            *count += 1;
        }
    }

    /// How many delays were added.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The delay in microseconds that a part `q` (0 to 1) of all did not exceed;
    /// `None` if there were none.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let rank = (self.count() as f64 * q).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.0.iter().enumerate().find_map(|(bucket, count)| {
            seen += count;
            (seen >= rank).then(|| upper(bucket))
        })
    }
}

fn bucket(micros: u64) -> usize {
    let value = micros.max(1);
    let octave = value.ilog2();
    let sub = if octave >= 3 {
        (value >> (octave - 3)) & 7
    } else {
        (value << (3 - octave)) & 7
    };
    ((octave * SUB) as usize + sub as usize).min(BUCKETS - 1)
}

fn upper(bucket: usize) -> u64 {
    let (octave, sub) = (bucket as u32 / SUB, bucket as u64 % u64::from(SUB));
    ((u64::from(SUB) + sub + 1) << octave).div_ceil(u64::from(SUB))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_an_eighth_above_the_delay() {
        for exponent in 0..35 {
            for delay in [1u64 << exponent, (1 << exponent) + (1 << exponent) / 3] {
                let mut histogram = Histogram::default();
                histogram.add(delay);
                let said = histogram.quantile(0.5).unwrap();
                assert!(
                    said >= delay && said <= delay + delay / 8 + 1,
                    "{delay}: {said}"
                );
            }
        }
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.99), None);
        (0..99).for_each(|_| histogram.add(100));
        histogram.add(1_000_000);
        assert!(histogram.quantile(0.99).unwrap() < 120);
        assert!(histogram.quantile(1.0).unwrap() >= 1_000_000);
    }
}
