//! The data that every side generates for itself: a linear congruential stream, three lines in any language.

use sr_expr::Columns;

/// The number of variables.
pub const N_COLUMNS: usize = 3;

const SEED: u64 = 0x1234_5678_9abc_def1;

/// Returns numbers in [0, 1): 53 bits of a stream with the multiplier of Knuth's MMIX.
fn stream(seed: u64) -> impl Iterator<Item = f64> {
    let step = |s: &u64| Some(s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(seed), step).skip(1).map(|s| (s >> 11) as f64 / (1u64 << 53) as f64)
}

/// Returns data for the evaluation of trees, `[rows, 3]`, and targets, `[rows]`, all uniform in (0.1, 3).
pub fn evaluation(rows: usize) -> (Columns, Vec<f64>) {
    let mut values = stream(SEED).map(|u| 0.1 + 2.9 * u);
    let x = values.by_ref().take(N_COLUMNS * rows).collect();
    (Columns::new(rows, N_COLUMNS, x), values.take(rows).collect())
}

/// Returns data for searches, `[rows, 3]`, uniform in (−3, 3), and the target sin(x0 x1) + 0.5 x2² + 1.3 x0, `[rows]`.
pub fn search(rows: usize) -> (Columns, Vec<f64>) {
    let x: Vec<f64> = stream(SEED ^ 7).map(|u| -3.0 + 6.0 * u).take(N_COLUMNS * rows).collect();
    let target = |row| {
        let [x0, x1, x2]: [f64; N_COLUMNS] = [x[row], x[rows + row], x[2 * rows + row]];
        (x0 * x1).sin() + 0.5 * x2 * x2 + 1.3 * x0
    };
    let y = (0..rows).map(target).collect();
    (Columns::new(rows, N_COLUMNS, x), y)
}
