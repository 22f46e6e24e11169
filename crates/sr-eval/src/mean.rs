//! Means of measurements.

/// Returns the mean and, if there are several values, its 95 % interval by Student's t distribution; `None` without
/// values.
///
/// - values: `[n]`, finite
pub fn mean_interval(values: &[f64]) -> Option<(f64, Option<(f64, f64)>)> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0);
    let half = student_t(values.len().saturating_sub(1)) * (variance / n).sqrt();
    let interval = (values.len() > 1).then_some((mean - half, mean + half));
    (!values.is_empty()).then_some((mean, interval))
}

/// Returns the 97.5 % quantile of Student's t by degrees of freedom: from a table, and beyond it by an expansion with
/// an error below 0.001.
fn student_t(freedom: usize) -> f64 {
    const TABLE: [f64; 10] = [f64::INFINITY, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
    let z = 1.959_964_f64;
    let n = freedom as f64;
    // Abramowitz & Stegun, 26.7.5.
    let terms = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
    ];
    let expanded = z + terms[0] / n + terms[1] / (n * n) + terms[2] / n.powi(3);
    TABLE.get(freedom).copied().unwrap_or(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_have_intervals() {
        let (mean, interval) = mean_interval(&[1.0, 2.0, 3.0, 4.0]).expect("values");
        assert_eq!(mean, 2.5);
        // 3.182 · sqrt(5/3) / 2
        assert!((interval.expect("several").1 - 2.5 - 2.054).abs() < 1e-3, "{interval:?}");
        assert_eq!(mean_interval(&[]), None);
        assert_eq!(mean_interval(&[7.0]), Some((7.0, None)));
        for (freedom, expected) in [(10, 2.228), (20, 2.086), (60, 2.000), (10_000, 1.960)] {
            assert!((student_t(freedom) - expected).abs() < 1e-3, "{freedom}: {}", student_t(freedom));
        }
    }
}
