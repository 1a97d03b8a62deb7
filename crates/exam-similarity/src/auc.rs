//! How well a figure separates people who were flagged from those who were not.

use statrs::distribution::{ContinuousCDF, Normal};

/// The area under the ROC curve: the probability that a flagged one's figure is greater than
/// another's. 0.5 is a coin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auc {
    pub area: f64,
    /// Standard error after DeLong, DeLong and Clarke-Pearson (1988).
    pub error: f64,
    pub flagged: usize,
    pub others: usize,
}

impl Auc {
    /// The two-sided confidence interval at `level`, 0.95 for instance.
    pub fn interval(&self, level: f64) -> (f64, f64) {
        let half = Normal::standard().inverse_cdf(0.5 + level / 2.0) * self.error;
        ((self.area - half).max(0.0), (self.area + half).min(1.0))
    }
}

/// None with fewer than two of either kind, for which there is no error to state. A figure that is
/// not a number counts as the least.
pub fn auc(figures: &[f64], flagged: &[bool]) -> Option<Auc> {
    let mut of = [Vec::new(), Vec::new()];
    for (figure, flag) in figures.iter().zip(flagged) {
        of[usize::from(*flag)].push(if figure.is_nan() {
            f64::NEG_INFINITY
        } else {
            *figure
        });
    }
    if of.iter().any(|figures| figures.len() < 2) {
        return None;
    }
    of.iter_mut()
        .for_each(|figures| figures.sort_by(f64::total_cmp));
    // The share of `sorted` below `x`, ties counted half.
    let below = |sorted: &[f64], x: f64| {
        let less = sorted.partition_point(|other| *other < x);
        let not_more = sorted.partition_point(|other| *other <= x);
        (less + not_more) as f64 / 2.0 / sorted.len() as f64
    };
    let placements = |of: &[f64], among: &[f64]| -> (f64, f64) {
        let places: Vec<f64> = of.iter().map(|x| below(among, *x)).collect();
        let mean = places.iter().sum::<f64>() / places.len() as f64;
        let squares: f64 = places.iter().map(|place| (place - mean).powi(2)).sum();
        (mean, squares / (places.len() - 1) as f64)
    };
    let (area, of_flagged) = placements(&of[1], &of[0]);
    let (_, of_others) = placements(&of[0], &of[1]);
    let variance = of_flagged / of[1].len() as f64 + of_others / of[0].len() as f64;
    Some(Auc {
        area,
        error: variance.sqrt(),
        flagged: of[1].len(),
        others: of[0].len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_pairs_in_the_right_order_and_ties_half() {
        let flagged = [true, true, false, false, false];
        // 3 beats 1, 2, and ties with 3; 2 beats 1, ties with 2, loses to 3: 2.5 + 1.5 of 6.
        let found = auc(&[3.0, 2.0, 1.0, 2.0, 3.0], &flagged).unwrap();
        assert!((found.area - 4.0 / 6.0).abs() < 1e-12);
        assert!(auc(&[1.0; 5], &flagged).unwrap().area == 0.5);
        assert!(auc(&[1.0, 2.0], &[true, false]).is_none());
    }

    /// Of two normal distributions one standard deviation apart the area is Φ(1/√2); its interval
    /// must hold it about as often as it says.
    #[test]
    fn the_interval_covers_the_truth_as_often_as_it_says() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut normal = move || {
            let (u, v) = (1.0 - rng.f64(), rng.f64());
            (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        };
        let truth = Normal::standard().cdf(1.0 / 2f64.sqrt());
        let flagged: Vec<bool> = (0..200).map(|i| i < 40).collect();
        let covered = (0..400)
            .filter(|_| {
                let figures: Vec<f64> = flagged
                    .iter()
                    .map(|flag| normal() + f64::from(u8::from(*flag)))
                    .collect();
                let (low, high) = auc(&figures, &flagged).unwrap().interval(0.95);
                (low..=high).contains(&truth)
            })
            .count();
        assert!((368..=392).contains(&covered), "{covered} of 400");
    }
}
