//! Mean differences between two methods over pairs of measurements.

use sr_engine::random::{Key, Purpose, problem_key};

use crate::RESAMPLES;

/// A mean difference and its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanDifference {
    /// The mean.
    pub mean: f64,
    /// Lower end of its 95 % interval.
    pub lo: f64,
    /// Upper end of the interval.
    pub hi: f64,
}

/// Returns the mean of paired differences with the 95 % percentile interval of a bootstrap over the pairs (Efron &
/// Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13); `None` without pairs.
///
/// - differences: `[pairs]`, finite
pub fn paired_bootstrap(differences: &[f64], seed: u64) -> Option<MeanDifference> {
    let n = differences.len();
    if n == 0 {
        return None;
    }
    let mut rng = Key::new(seed, Purpose::Evaluation, problem_key("paired bootstrap")).rng();
    let mean = |sum: f64| sum / n as f64;
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean((0..n).map(|_| differences[rng.below(n)]).sum())).collect();
    means.sort_by(f64::total_cmp);
    let quantile = |share: f64| means[(share * f64::from(RESAMPLES - 1)).round() as usize];
    Some(MeanDifference { mean: mean(differences.iter().sum()), lo: quantile(0.025), hi: quantile(0.975) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn intervals_are_those_of_the_normal_distribution() {
        // 30 ones and 10 minus ones: mean 0.5, standard error sqrt(0.75 / 40) = 0.1369.
        let differences: Vec<f64> = (0..40).map(|i| if i % 4 == 0 { -1.0 } else { 1.0 }).collect();
        let found = paired_bootstrap(&differences, 1).expect("pairs");
        assert_eq!(found.mean, 0.5);
        assert!((found.lo - 0.2316).abs() < 0.04 && (found.hi - 0.7684).abs() < 0.04, "{found:?}");
        assert_eq!(paired_bootstrap(&[], 1), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))] // each resamples 20,000 times

        #[test]
        fn the_interval_mirrors_and_holds_the_mean(differences in prop::collection::vec(-1.0..1.0_f64, 1..30), seed: u64) {
            let found = paired_bootstrap(&differences, seed).expect("pairs");
            prop_assert!(found.lo <= found.mean + 1e-12 && found.mean <= found.hi + 1e-12, "{:?}", found);
            let mirrored = paired_bootstrap(&differences.iter().map(|d| -d).collect::<Vec<_>>(), seed).expect("pairs");
            prop_assert_eq!(mirrored.mean, -found.mean);
            prop_assert!((mirrored.lo + found.hi).abs() < 1e-9 && (mirrored.hi + found.lo).abs() < 1e-9);
            prop_assert_eq!(paired_bootstrap(&differences, seed), Some(found));
        }
    }
}
