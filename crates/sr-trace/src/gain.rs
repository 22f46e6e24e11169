//! By how much a child is better than the best individual of its state.

/// Classes of gain, the higher the better. They compare mean squared errors: parsimony says nothing about progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gain {
    /// No better.
    None,
    /// Smaller at an error that is no greater.
    Shorter,
    /// The error falls by 0.02 to 0.1 decades.
    Small,
    /// By 0.1 to 0.5 decades.
    Medium,
    /// By more, or to 0.
    Large,
}

/// Decades from which on an error is smaller, so that rounding and luck in the last digit are no progress.
pub const LEAST_GAIN: f64 = 0.02;

impl Gain {
    /// Of a child over the best individual, each as its mean squared error (infinite if it is invalid) and its size.
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

    /// Whether the error falls.
    pub fn is_improvement(self) -> bool {
        self >= Gain::Small
    }

    /// 0 to 4.
    pub fn class(self) -> u8 {
        self as u8
    }
}

/// By how many decades the mean squared error of a child is below that of the best individual, at least 0; infinite for an
/// error of 0, and for the first valid individual. An error that is infinite or no number is above all others.
///
/// Errors relative to the variance of y fall by the same.
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
