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
/// Poisson-binomial distribution, exactly.
pub fn upper_tail(probabilities: &[f64], hits: usize) -> f64 {
    if hits == 0 {
        return 1.0;
    }
    // chance[k]: of k hits so far; the last one collects `hits` and more.
    let mut chance = vec![0.0; hits + 1];
    chance[0] = 1.0;
    for p in probabilities {
        chance[hits] += chance[hits - 1] * p;
        for k in (1..hits).rev() {
            chance[k] += p * (chance[k - 1] - chance[k]);
        }
        chance[0] *= 1.0 - p;
    }
    chance[hits].min(1.0)
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
    // table[h * wide + t]: h agreements and t right answers in the other items; of right
    // answers no more than there are.
    let rest: Vec<&Outcomes> = items.iter().filter(|item| !one(item)).collect();
    let apart = !rest.iter().any(|item| item.same_is_right);
    let most = rest.len().min(right);
    let wide = most + 1;
    let mut table = vec![0.0; (rest.len() + 1) * wide];
    table[0] = 1.0;
    let mut next = vec![0.0; wide];
    for (item, high) in rest.iter().zip(1..) {
        let agreeing = if item.same_is_right { item.same } else { 0.0 };
        let other = (item.right - agreeing).max(0.0);
        let neither = (1.0 - item.same - other).max(0.0);
        // Agreements step down in the table, so a row still finds the one below as it was before
        // this item.
        for h in (0..=high).rev() {
            // An item at which the other is wrong is the same or right, never both.
            let reach = if apart {
                (high + 1 - h).min(wide)
            } else {
                wide
            };
            let (below, row) = table.split_at_mut(h * wide);
            let row = &mut row[..reach];
            let next = &mut next[..reach];
            next.iter_mut()
                .zip(&*row)
                .for_each(|(next, p)| *next = p * neither);
            next[1..]
                .iter_mut()
                .zip(&*row)
                .for_each(|(next, p)| *next += p * other);
            if h > 0 {
                let below = &below[(h - 1) * wide..];
                let from = usize::from(item.same_is_right);
                next[from..]
                    .iter_mut()
                    .zip(below)
                    .for_each(|(next, p)| *next += p * item.same);
            }
            row.copy_from_slice(next);
        }
    }
    let (mut enough, mut all) = (0.0, 0.0);
    for (k, p) in both.iter().enumerate().take(right + 1) {
        let t = right - k;
        if t > most {
            continue;
        }
        for h in 0..=rest.len() {
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
        let p = upper_tail(&[0.5; 10], 8);
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
            let exact = upper_tail(&p, hits);
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
        let mut items = vec![
            item(0.8, 0.8, true),
            item(0.3, 0.6, false),
            item(0.55, 0.55, true),
            item(0.1, 0.2, false),
        ];
        for several_right_options in [false, true] {
            if several_right_options {
                items.insert(2, item(0.2, 0.7, true));
            }
            let mut counted = vec![[0.0; 6]; items.len() + 1];
            for outcome in 0..3usize.pow(items.len() as u32) {
                let (mut p, mut same, mut right, mut rest) = (1.0, 0, 0, outcome);
                for item in &items {
                    let other = item.right - if item.same_is_right { item.same } else { 0.0 };
                    // The same, another right one, another wrong one.
                    p *= [item.same, other, 1.0 - item.same - other][rest % 3];
                    same += usize::from(rest % 3 == 0);
                    right += usize::from(rest % 3 == 1 || rest % 3 == 0 && item.same_is_right);
                    rest /= 3;
                }
                counted[right][same] += p;
            }
            for (right, row) in counted.iter().enumerate() {
                for least in 0..row.len() {
                    let all: f64 = row.iter().sum();
                    let expected = row[least..].iter().sum::<f64>() / all;
                    let exact = tail_given_right(&items, least, right);
                    let what = format!("{least} with {right} right");
                    assert!(
                        (exact - expected).abs() < 1e-12,
                        "{what}: {exact}, {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_tail_far_below_the_resolution_of_one_is_still_right() {
        let p = upper_tail(&[1e-3; 100], 100);
        assert!((p.log10() + 300.0).abs() < 1e-9);
        let z = normal_tail_quantile(1e-30);
        assert!((normal_tail(z).log10() + 30.0).abs() < 1e-6);
    }
}
