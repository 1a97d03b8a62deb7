//! What is left of a small p after many comparisons.

/// The family-wise bound: of an exam without anything to find, one in 1 / α lists any pair.
pub fn bonferroni(p: f64, comparisons: usize) -> f64 {
    (p * comparisons as f64).min(1.0)
}

/// For each p of `sorted` (ascending, the smallest ones of `comparisons`) the least false
/// discovery rate at which it is listed: Benjamini and Hochberg (1995), then Benjamini and
/// Yekutieli (2001).
///
/// The first holds for independent or positively dependent comparisons. Pairs that share a student
/// are dependent in ways nobody has proved harmless; the second holds for any dependence and asks
/// for a p smaller by the factor 1 + 1/2 + … + 1/comparisons (13 for 300,000 pairs).
pub fn false_discovery_rates(sorted: &[f64], comparisons: usize) -> Vec<(f64, f64)> {
    let m = comparisons as f64;
    let harmonic: f64 = (1..=comparisons).rev().map(|k| 1.0 / k as f64).sum();
    let mut least = (1.0f64, 1.0f64);
    let mut rates: Vec<_> = sorted
        .iter()
        .enumerate()
        .rev()
        .map(|(rank, p)| {
            let rate = p * m / (rank + 1) as f64;
            least = (least.0.min(rate), least.1.min(rate * harmonic));
            least
        })
        .collect();
    rates.reverse();
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Benjamini and Hochberg's own paper (15 comparisons; 4 are rejected at 0.05,
    /// where Bonferroni rejects 3).
    #[test]
    fn the_papers_example_rejects_what_the_paper_rejects() {
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
            0.5719, 0.6528, 0.7590, 1.0,
        ];
        let q = false_discovery_rates(&p, p.len());
        assert_eq!(q.iter().filter(|q| q.0 <= 0.05).count(), 4);
        assert_eq!(p.iter().filter(|p| bonferroni(**p, 15) <= 0.05).count(), 3);
        assert_eq!(q.iter().filter(|q| q.1 <= 0.05).count(), 3);
        assert!(q.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
    }
}
