//! Constants that are meant: the whole number, fraction or multiple of π that a fitted constant stands for.

use std::f64::consts::PI;

/// The largest denominator of a plain fraction (that of AI Feynman, Udrescu & Tegmark, 2020).
const MAX_DENOMINATOR: u32 = 10;
/// The largest numerator and denominator of the factor r in r · πᵏ · √n.
const MAX_FACTOR: u32 = 100;
/// The square-free n of r · πᵏ · √n; other n only change r.
const ROOTS: [f64; 6] = [1.0, 2.0, 3.0, 5.0, 6.0, 7.0];
/// The k of r · πᵏ · √n, from the most to the least usual.
const PI_POWERS: [i32; 12] = [0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6];

/// Returns numbers that `value` may stand for, the simplest first: whole numbers, fractions with a denominator up to 10,
/// and, where the tolerance allows no coincidence (≤ 1e-8), r · πᵏ · √n.
///
/// `tolerance` is relative to `value`. A zero, NaN or infinity stands for nothing.
pub fn snapped(value: f64, tolerance: f64) -> Vec<f64> {
    let mut found: Vec<f64> = Vec::new();
    if value == 0.0 || !value.is_finite() {
        return found;
    }
    let mut offer = |candidate: f64| {
        if (candidate - value).abs() <= tolerance * value.abs() && candidate != 0.0 && !found.contains(&candidate) {
            found.push(candidate);
        }
    };
    for q in 1..=MAX_DENOMINATOR {
        let p = (value * f64::from(q)).round();
        // At a loose tolerance every large number is near a whole one.
        if p.abs() < 1e15 && p.abs() * tolerance < 0.01 {
            offer(p / f64::from(q));
        }
    }
    if tolerance <= 1e-8 {
        for k in PI_POWERS {
            for root in ROOTS {
                let unit = PI.powi(k) * root.sqrt();
                if k == 0 && root == 1.0 {
                    continue;
                }
                if let Some((p, q)) = fraction(value / unit, 1e-9_f64.min(tolerance)) {
                    offer(p / q * unit);
                }
            }
        }
    }
    found
}

/// Returns the exponent, a fraction with a denominator up to 6, that `value` stands for.
pub(crate) fn exponent(value: f64, tolerance: f64) -> Option<f64> {
    let near = |q: u32| (value * f64::from(q)).round() / f64::from(q);
    // Halves come before thirds, so that noise turns no square root into a cube root.
    (1..=6).map(near).find(|snapped| (snapped - value).abs() <= tolerance)
}

/// Finds p/q with |p| and q up to [`MAX_FACTOR`] by continued fractions.
fn fraction(value: f64, tolerance: f64) -> Option<(f64, f64)> {
    let (mut p0, mut q0, mut p1, mut q1) = (0.0, 1.0, 1.0, 0.0);
    let mut rest = value.abs();
    for _ in 0..8 {
        let whole = rest.floor();
        (p0, q0, p1, q1) = (p1, q1, whole * p1 + p0, whole * q1 + q0);
        if q1 > f64::from(MAX_FACTOR) || p1 > f64::from(MAX_FACTOR) {
            return None;
        }
        if p1 > 0.0 && (p1 / q1 - value.abs()).abs() <= tolerance * value.abs() {
            return Some((p1.copysign(value), q1));
        }
        rest = 1.0 / (rest - whole);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_constants_are_recognised() {
        let first = |value: f64| snapped(value * (1.0 + 3e-11), 1e-9).first().copied();
        for meant in
            [1.0, -3.0, 0.5, 2.0 / 3.0, -0.7, 120.0, PI, 0.25 / PI, 2.0_f64.sqrt() * 1.5, 1.0 / (2.0 * PI).powi(3)]
        {
            assert_eq!(first(meant).map(|got| (got - meant).abs() < 1e-15 * meant.abs()), Some(true), "{meant}");
        }
        for other in [0.123_456_789, 2.345_678, 17.77777, 0.0, f64::NAN] {
            assert!(snapped(other, 1e-9).iter().all(|got| (got - other).abs() < 1e-12), "{other}");
        }
    }

    #[test]
    fn loose_tolerances_snap_small_numbers_only() {
        assert_eq!(snapped(2.9, 0.1).first(), None, "thirds, quarters, … would be a coincidence");
        assert_eq!(snapped(3.001, 1e-3).first(), Some(&3.0));
        assert_eq!(snapped(4321.4, 1e-3).first(), None);
    }

    #[test]
    fn exponents_prefer_halves() {
        assert_eq!(exponent(-1.99, 0.05), Some(-2.0));
        assert_eq!(exponent(0.49, 0.05), Some(0.5));
        assert_eq!(exponent(1.0 / 3.0, 1e-9), Some(1.0 / 3.0));
        assert_eq!(exponent(0.4, 1e-9), Some(0.4));
        assert_eq!(exponent(0.123, 1e-3), None);
    }
}
