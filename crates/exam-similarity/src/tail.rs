//! Tails of distributions.

use statrs::distribution::{ContinuousCDF, Normal};

/// P(Z ≥ z) of the standard normal distribution.
pub fn normal_tail(z: f64) -> f64 {
    Normal::standard().sf(z)
}

/// The z with P(Z ≥ z) = `p`. Exact to the thinnest tail: it never forms 1 - p.
pub fn normal_tail_quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::INFINITY;
    }
    -Normal::standard().inverse_cdf(p.min(1.0))
}

/// P(at least `hits` of independent trials succeed), each with its own probability: the
/// Poisson-binomial distribution, exactly. `scratch` is working memory, so that a loop over many
/// pairs allocates once.
///
/// All terms are positive and the tail is summed as such, so the relative error stays near that of
/// one f64 addition per trial however small the result is.
pub fn upper_tail(
    probabilities: impl Iterator<Item = f64>,
    hits: usize,
    scratch: &mut Vec<f64>,
) -> f64 {
    if hits == 0 {
        return 1.0;
    }
    // scratch[k]: the probability of k hits so far; the last one collects `hits` and more.
    scratch.clear();
    scratch.resize(hits + 1, 0.0);
    scratch[0] = 1.0;
    for (trial, p) in probabilities.enumerate() {
        let p = p.clamp(0.0, 1.0);
        scratch[hits] += scratch[hits - 1] * p;
        for k in (1..hits.min(trial + 2)).rev() {
            scratch[k] += p * (scratch[k - 1] - scratch[k]);
        }
        scratch[0] *= 1.0 - p;
    }
    scratch[hits].min(1.0)
}

/// What may come of an item for the one student, given what the other answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcomes {
    /// P(the same option as the other).
    pub same: f64,
    /// P(a right option).
    pub right: f64,
    /// Whether the other's option is a right one.
    pub same_is_right: bool,
}

/// P(at least `same` agreements | exactly `right` right answers), of independent items, exactly.
///
/// Items at which agreeing and being right are one and the same need a row of probabilities only;
/// the others need a table of agreements by right answers. All terms are positive, so the relative
/// error stays near that of one f64 addition per item however small the result is.
pub fn tail_given_right(items: &[Outcomes], same: usize, right: usize) -> f64 {
    let one = |item: &&Outcomes| item.same_is_right && item.right - item.same < 1e-9;
    // both[k]: k of these items right, and thereby the same.
    let mut both = vec![1.0];
    for item in items.iter().filter(one) {
        both.push(0.0);
        for k in (0..both.len()).rev() {
            let before = if k == 0 { 0.0 } else { both[k - 1] };
            both[k] = both[k] * (1.0 - item.same) + before * item.same;
        }
    }
    // table[h * wide + t]: h agreements and t right answers in the other items.
    let rest: Vec<&Outcomes> = items.iter().filter(|item| !one(item)).collect();
    let wide = rest.len() + 1;
    let mut table = vec![0.0; wide * wide];
    table[0] = 1.0;
    for (done, item) in rest.iter().enumerate() {
        let (agree, other) = match item.same_is_right {
            true => (item.same, (item.right - item.same).max(0.0)),
            false => (item.same, item.right),
        };
        let neither = (1.0 - agree - other).max(0.0);
        for h in (0..=done + 1).rev() {
            for t in (0..=done + 1).rev() {
                let at = |h: usize, t: usize| table[h * wide + t];
                let mut p = at(h, t) * neither;
                if t > 0 {
                    p += at(h, t - 1) * other;
                }
                if h > 0 && !item.same_is_right {
                    p += at(h - 1, t) * agree;
                }
                if h > 0 && t > 0 && item.same_is_right {
                    p += at(h - 1, t - 1) * agree;
                }
                table[h * wide + t] = p;
            }
        }
    }
    let (mut enough, mut all) = (0.0, 0.0);
    for (k, p) in both.iter().enumerate().take(right + 1) {
        let t = right - k;
        if t >= wide {
            continue;
        }
        for h in 0..wide {
            let joint = p * table[h * wide + t];
            all += joint;
            if h + k >= same {
                enough += joint;
            }
        }
    }
    if all > 0.0 {
        (enough / all).min(1.0)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_probabilities_give_the_binomial_tail() {
        // P(X >= 8), X ~ B(10, 1/2) = (45 + 10 + 1) / 1024
        let p = upper_tail(std::iter::repeat_n(0.5, 10), 8, &mut Vec::new());
        assert!((p - 56.0 / 1024.0).abs() < 1e-15);
    }

    #[test]
    fn unequal_probabilities_agree_with_counting_every_outcome() {
        let p = [0.9, 0.05, 0.3, 0.61, 0.2, 0.77];
        for hits in 0..=p.len() + 1 {
            let counted: f64 = (0..1u32 << p.len())
                .filter(|outcome| outcome.count_ones() as usize >= hits)
                .map(|outcome| {
                    (0..p.len())
                        .map(|i| {
                            if outcome >> i & 1 == 1 {
                                p[i]
                            } else {
                                1.0 - p[i]
                            }
                        })
                        .product::<f64>()
                })
                .sum();
            let exact = upper_tail(p.iter().copied(), hits, &mut Vec::new());
            assert!(
                (exact - counted).abs() < 1e-14,
                "{hits}: {exact} against {counted}"
            );
        }
    }

    #[test]
    fn the_tail_given_the_right_answers_agrees_with_counting_every_outcome() {
        let item = |same, right, same_is_right| Outcomes {
            same,
            right,
            same_is_right,
        };
        let items = [
            item(0.8, 0.8, true),
            item(0.3, 0.6, false),
            item(0.55, 0.55, true),
            item(0.2, 0.7, true),
            item(0.1, 0.2, false),
        ];
        // Per item: the same, another right one, another wrong one.
        let mut counted = [[0.0; 6]; 6];
        for outcome in 0..3usize.pow(5) {
            let (mut p, mut same, mut right, mut rest) = (1.0, 0, 0, outcome);
            for item in &items {
                let other = item.right - if item.same_is_right { item.same } else { 0.0 };
                let of = [item.same, other, 1.0 - item.same - other];
                p *= of[rest % 3];
                same += usize::from(rest % 3 == 0);
                right += usize::from(rest % 3 == 1 || rest % 3 == 0 && item.same_is_right);
                rest /= 3;
            }
            counted[right][same] += p;
        }
        for (right, row) in counted.iter().enumerate() {
            for same in 0..=5 {
                let expected = row[same..].iter().sum::<f64>() / row.iter().sum::<f64>();
                let exact = tail_given_right(&items, same, right);
                assert!(
                    (exact - expected).abs() < 1e-12,
                    "{same} of {right}: {exact}, {expected}"
                );
            }
        }
    }

    #[test]
    fn a_tail_far_below_the_resolution_of_one_is_still_right() {
        let p = upper_tail(std::iter::repeat_n(1e-3, 100), 100, &mut Vec::new());
        assert!((p.log10() + 300.0).abs() < 1e-9);
        let z = normal_tail_quantile(1e-30);
        assert!((normal_tail(z).log10() + 30.0).abs() < 1e-6);
    }
}
