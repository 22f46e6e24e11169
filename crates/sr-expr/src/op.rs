//! The table of operators, one operator a row.

/// The value of an operator outside of its mathematical domain.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Semantics {
    /// IEEE 754: `1/0` is infinite, `log(-1)` is NaN.
    #[default]
    Ieee,
    /// The guarded operators of the reference engine, kept so that its searches can be compared:
    /// division by `|b| < 1e-10` divides by `+1e-10` (the sign is lost), `exp` clips its argument to ±14,
    /// `log` takes `max(|x|, 1e-12)`, `sqrt` takes `|x|`, `tan` is clipped to ±1e6, `inv` of `|x| < 1e-6` is `1e6`.
    Protected,
}

impl Semantics {
    /// Returns the name that JSON and flags use.
    pub fn name(self) -> &'static str {
        match self {
            Semantics::Ieee => "ieee",
            Semantics::Protected => "protected",
        }
    }
}

/// The smallest divisor that [`Semantics::Protected`] divides by.
pub(crate) const MIN_DIVISOR: f64 = 1e-10;
/// The largest argument of a protected `exp`.
pub(crate) const MAX_EXPONENT: f64 = 14.0;
/// The smallest argument of a protected `log`.
pub(crate) const MIN_LOG: f64 = 1e-12;
/// The largest value of a protected `tan`.
pub(crate) const MAX_TAN: f64 = 1e6;
/// The smallest argument of a protected `inv`.
pub(crate) const MIN_INVERSE: f64 = 1e-6;

macro_rules! operators {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $arity:literal;)*) => {
        /// A primitive operator. The discriminant is part of the file formats: append, never reorder.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Op { $($(#[$doc])* $variant,)* }

        impl Op {
            /// All operators, in table order.
            pub const ALL: &'static [Op] = &[$(Op::$variant,)*];

            /// Returns the name used in text, files and on the command line: `+`, `sin`, `pow2`.
            pub const fn name(self) -> &'static str {
                match self { $(Op::$variant => $name,)* }
            }

            /// Returns the number of operands, 1 or 2.
            pub const fn arity(self) -> usize {
                match self { $(Op::$variant => $arity,)* }
            }
        }
    };
}

operators! {
    /// `a + b`
    Add, "+", 2;
    /// `a - b`
    Sub, "-", 2;
    /// `a * b`
    Mul, "*", 2;
    /// `a / b`
    Div, "/", 2;
    /// `a` to the power of `b`
    Pow, "pow", 2;
    /// `-a`
    Neg, "neg", 1;
    /// `|a|`
    Abs, "abs", 1;
    /// `e` to the power of `a`
    Exp, "exp", 1;
    /// Natural logarithm
    Log, "log", 1;
    /// Square root
    Sqrt, "sqrt", 1;
    /// Sine of radians
    Sin, "sin", 1;
    /// Cosine of radians
    Cos, "cos", 1;
    /// Tangent of radians
    Tan, "tan", 1;
    /// `1 / a`
    Inv, "inv", 1;
    /// `a * a`
    Pow2, "pow2", 1;
    /// `a * a * a`
    Pow3, "pow3", 1;
    /// Hyperbolic tangent
    Tanh, "tanh", 1;
    /// Arc sine in radians
    Asin, "asin", 1;
    /// Arc cosine in radians
    Acos, "acos", 1;
    /// Arc tangent in radians
    Atan, "atan", 1;
}

impl Op {
    /// Returns the operator with a table index (its discriminant), if there is one.
    pub fn from_index(index: u8) -> Option<Op> {
        Op::ALL.get(usize::from(index)).copied()
    }

    /// Returns the operator with this name or usual alias (`add`, `**`, `ln`, `square`, `arctan`, …).
    pub fn from_name(name: &str) -> Option<Op> {
        let alias = match name {
            "add" => Op::Add,
            "sub" => Op::Sub,
            "mul" => Op::Mul,
            "div" => Op::Div,
            "**" | "^" => Op::Pow,
            "ln" => Op::Log,
            "square" => Op::Pow2,
            "cube" => Op::Pow3,
            "arcsin" => Op::Asin,
            "arccos" => Op::Acos,
            "arctan" => Op::Atan,
            _ => return Op::ALL.iter().copied().find(|op| op.name() == name),
        };
        Some(alias)
    }

    /// Returns whether [`Semantics::Protected`] gives other values than [`Semantics::Ieee`]: `/ exp log sqrt tan inv`.
    pub const fn is_guarded(self) -> bool {
        matches!(self, Op::Div | Op::Exp | Op::Log | Op::Sqrt | Op::Tan | Op::Inv)
    }

    /// Returns the name that also tells the semantics: the guarded operators of [`Semantics::Protected`] are `pdiv pexp
    /// plog psqrt ptan pinv`; every other name is [`Op::name`].
    pub const fn name_in(self, semantics: Semantics) -> &'static str {
        match (semantics, self) {
            (Semantics::Protected, Op::Div) => "pdiv",
            (Semantics::Protected, Op::Exp) => "pexp",
            (Semantics::Protected, Op::Log) => "plog",
            (Semantics::Protected, Op::Sqrt) => "psqrt",
            (Semantics::Protected, Op::Tan) => "ptan",
            (Semantics::Protected, Op::Inv) => "pinv",
            _ => self.name(),
        }
    }

    /// Returns the guarded operator whose name is this in [`Op::name_in`] under [`Semantics::Protected`]; it knows no
    /// other names.
    pub(crate) fn from_guarded_name(name: &str) -> Option<Op> {
        Op::ALL.iter().copied().find(|op| op.is_guarded() && op.name_in(Semantics::Protected) == name)
    }

    /// Computes the operator's value. Unary operators ignore `b`.
    ///
    /// Transcendental functions come from the `libm` crate, not from the system's library, so that every machine
    /// computes the same bits.
    #[inline(always)]
    pub fn apply(self, semantics: Semantics, a: f64, b: f64) -> f64 {
        let protected = semantics == Semantics::Protected;
        match self {
            Op::Add => a + b,
            Op::Sub => a - b,
            Op::Mul => a * b,
            Op::Div if protected && b.abs() < MIN_DIVISOR => a / MIN_DIVISOR,
            Op::Div => a / b,
            Op::Pow => libm::pow(a, b),
            Op::Neg => -a,
            Op::Abs => a.abs(),
            Op::Exp if protected => libm::exp(a.clamp(-MAX_EXPONENT, MAX_EXPONENT)),
            Op::Exp => libm::exp(a),
            // `f64::max` would turn NaN into the bound.
            Op::Log if protected => libm::log(if a.abs() < MIN_LOG { MIN_LOG } else { a.abs() }),
            Op::Log => libm::log(a),
            Op::Sqrt if protected => a.abs().sqrt(),
            Op::Sqrt => a.sqrt(),
            Op::Sin => libm::sin(a),
            Op::Cos => libm::cos(a),
            Op::Tan if protected => libm::tan(a).clamp(-MAX_TAN, MAX_TAN),
            Op::Tan => libm::tan(a),
            Op::Inv if protected && a.abs() < MIN_INVERSE => 1.0 / MIN_INVERSE,
            Op::Inv => 1.0 / a,
            Op::Pow2 => a * a,
            Op::Pow3 => a * a * a,
            Op::Tanh => libm::tanh(a),
            Op::Asin => libm::asin(a),
            Op::Acos => libm::acos(a),
            Op::Atan => libm::atan(a),
        }
    }
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_indices_and_arities_are_consistent() {
        for (index, &op) in Op::ALL.iter().enumerate() {
            assert_eq!(op as usize, index);
            assert_eq!(Op::from_index(index as u8), Some(op));
            assert_eq!(Op::from_name(op.name()), Some(op));
            assert!(matches!(op.arity(), 1 | 2));
        }
        assert_eq!(Op::from_index(Op::ALL.len() as u8), None);
        assert_eq!(Op::from_name("sinh"), None);
    }

    #[test]
    fn exactly_the_operators_that_differ_have_guarded_names() {
        let values = [-4.0, -1e-12, 0.0, 1e-12, 0.5, 20.0, std::f64::consts::FRAC_PI_2];
        for &op in Op::ALL {
            let bits = |semantics, a, b| op.apply(semantics, a, b).to_bits();
            let differs = values
                .iter()
                .any(|&a| values.iter().any(|&b| bits(Semantics::Ieee, a, b) != bits(Semantics::Protected, a, b)));
            assert_eq!(op.is_guarded(), differs, "{op}");
            assert_eq!(op.name_in(Semantics::Ieee), op.name());
            assert_eq!(op.name_in(Semantics::Protected) != op.name(), differs, "{op}");
            assert_eq!(Op::from_guarded_name(op.name_in(Semantics::Protected)), Some(op).filter(|_| differs));
            assert!(!differs || Op::from_name(op.name_in(Semantics::Protected)).is_none(), "{op} is read as plain");
        }
    }

    #[test]
    fn protected_operators_follow_the_reference_engine() {
        let p = |op: Op, a: f64, b: f64| op.apply(Semantics::Protected, a, b);
        assert_eq!(p(Op::Div, 1.0, 0.0), 1e10);
        assert_eq!(p(Op::Div, 1.0, -1e-11), 1e10, "the sign of a tiny divisor is lost");
        assert_eq!(p(Op::Div, 1.0, -0.25), -4.0);
        assert_eq!(p(Op::Exp, 100.0, 0.0), libm::exp(14.0));
        assert_eq!(p(Op::Log, 0.0, 0.0), libm::log(1e-12));
        assert_eq!(p(Op::Log, -1.0, 0.0), 0.0);
        assert_eq!(p(Op::Sqrt, -4.0, 0.0), 2.0);
        assert_eq!(p(Op::Inv, 0.0, 0.0), 1e6);
        assert!(p(Op::Tan, std::f64::consts::FRAC_PI_2, 0.0) <= 1e6);
        for op in [Op::Div, Op::Exp, Op::Log, Op::Sqrt, Op::Inv, Op::Tan] {
            assert!(p(op, f64::NAN, f64::NAN).is_nan(), "{op} hides NaN");
        }
    }

    #[test]
    fn plain_operators_are_ieee() {
        let p = |op: Op, a: f64, b: f64| op.apply(Semantics::Ieee, a, b);
        assert_eq!(p(Op::Div, 1.0, 0.0), f64::INFINITY);
        assert!(p(Op::Log, -1.0, 0.0).is_nan());
        assert!(p(Op::Sqrt, -1.0, 0.0).is_nan());
        assert_eq!(p(Op::Inv, -0.0, 0.0), f64::NEG_INFINITY);
        assert_eq!(p(Op::Pow, 2.0, 10.0), 1024.0);
    }
}
