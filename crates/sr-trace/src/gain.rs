//! Gains: how much better a child is than the best individual of its state.

/// The classes of gain, in rising order. They compare mean squared errors: parsimony is no measure of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gain {
    /// The child is no better.
    None,
    /// The child is smaller and has no greater error.
    Shorter,
    /// The error falls by 0.02 to 0.1 decades.
    Small,
    /// The error falls by 0.1 to 0.5 decades.
    Medium,
    /// The error falls by more, or to 0.
    Large,
}

/// The decades by which an error has to fall to count as smaller, so that rounding and luck in the last digit do not.
pub const LEAST_GAIN: f64 = 0.02;

impl Gain {
    /// Returns the gain of a child over the best individual. Each is its mean squared error (infinite if it is invalid)
    /// and its size.
    pub fn of(child: (f32, usize), best: (f32, usize)) -> Self {
        let decades = decades(child.0, best.0);
        match decades {
            d if d >= 0.5 => Gain::Large,
            d if d >= 0.1 => Gain::Medium,
            d if d >= LEAST_GAIN => Gain::Small,
            _ if child.0 <= best.0 && child.0.is_finite() && child.1 < best.1 => Gain::Shorter,
            _ => Gain::None,
        }
    }

    /// Returns whether the error falls by [`LEAST_GAIN`] or more.
    pub fn is_improvement(self) -> bool {
        self >= Gain::Small
    }

    /// Returns the number of the class, 0 to 4.
    pub fn class(self) -> u8 {
        self as u8
    }
}

/// Returns by how many decades the mean squared error of a child is below that of the best individual, at least 0. It
/// is infinite for an error of 0, and for the first valid individual. An error that is infinite or NaN is above all
/// others.
///
/// Errors relative to the variance of y give the same number.
pub fn decades(child: f32, best: f32) -> f64 {
    if !child.is_finite() || child >= best {
        return 0.0;
    }
    if child <= 0.0 || !best.is_finite() {
        return f64::INFINITY;
    }
    libm::log10(f64::from(best) / f64::from(child)) // the same bits on every machine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_error() {
        let gain = |child: f32, size: usize| Gain::of((child, size), (1.0, 5));
        let found = [1.1, 1.0, 0.96, 0.95, 0.8, 0.79, 0.4, 0.3, 0.0].map(|mse| gain(mse, 5));
        use Gain::{Large, Medium, Shorter, Small};
        assert_eq!(found, [Gain::None, Gain::None, Gain::None, Small, Small, Medium, Medium, Large, Large]);
        assert_eq!(
            [gain(1.0, 4), gain(0.99, 4), gain(1.01, 4), gain(f32::INFINITY, 1)],
            [Shorter, Shorter, Gain::None, Gain::None]
        );
        assert_eq!(Gain::of((3.0, 9), (f32::INFINITY, 1)), Large);
        assert_eq!(Gain::of((0.0, 3), (0.0, 3)), Gain::None);
        assert_eq!(Gain::of((f32::INFINITY, 1), (f32::INFINITY, 3)), Gain::None);
        // Errors that are no numbers are as bad as infinite ones: nothing is gained by them, and everything over them.
        let none = f32::NAN;
        assert_eq!([(none, 1), (-none, 1)].map(|child| Gain::of(child, (1.0, 5))), [Gain::None; 2]);
        assert_eq!([(none, 5), (-none, 5)].map(|best| Gain::of((1e38, 5), best)), [Large; 2]);
        assert_eq!(Gain::of((none, 1), (none, 3)), Gain::None);
        assert_eq!(
            (Large.class(), Gain::None.class(), Small.is_improvement(), Shorter.is_improvement()),
            (4, 0, true, false)
        );
    }
}
