//! Units of measurement, and which formulas have one.
//!
//! A [`Unit`] is a product of powers of the seven base units of the SI. Only exponents count: a kilometre is a unit of the
//! same kind as a metre, and no number is converted. Angles, percent and counts have the unit 1.
//!
//! ```
//! use sr_expr::units::{ConstantUnits, Quantity, Unit, check};
//! use sr_expr::Expr;
//!
//! let (metre, second): (Unit, Unit) = ("m".parse()?, "s".parse()?);
//! let speed = "km/h".parse::<Unit>()?;
//! let unit_of = |text: &str, constants| check(&text.parse::<Expr>().expect(text), &[metre, second], constants);
//!
//! assert_eq!(unit_of("x0 / x1", ConstantUnits::Dimensionless), Some(Quantity::Of(speed)));
//! assert_eq!(unit_of("2.0 * x0", ConstantUnits::Dimensionless), Some(Quantity::Of(metre)));
//! assert_eq!(unit_of("2.0 * x0", ConstantUnits::Free), Some(Quantity::Any));
//! assert_eq!(unit_of("x0 + x1", ConstantUnits::Free), None);
//! assert_eq!(unit_of("exp(x0)", ConstantUnits::Free), None);
//! # Ok::<(), sr_expr::units::UnitError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use crate::{Node, Op, Semantics, Tree};

/// The base units, in the order of exponents.
const BASE: [&str; 7] = ["m", "kg", "s", "A", "K", "mol", "cd"];
/// Exponents of constants are taken to be fractions with no larger denominator than this.
const MAX_DENOMINATOR: i32 = 12;
/// The largest numerator and denominator of an exponent.
const MAX_EXPONENT: i64 = 10_000;
/// Parentheses within parentheses that are read.
const MAX_LEVELS: usize = 64;

/// A product of powers of base units; the default is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Unit {
    exponents: [Exponent; 7],
}

/// A fraction in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Exponent {
    above: i32,
    below: i32,
}

impl Default for Exponent {
    fn default() -> Self {
        Exponent { above: 0, below: 1 }
    }
}

impl Exponent {
    /// Returns a fraction in lowest terms, if its numbers are not too large.
    fn new(above: i64, below: i64) -> Option<Self> {
        let (mut a, mut b) = (above.unsigned_abs(), below.unsigned_abs());
        while b > 0 {
            (a, b) = (b, a % b);
        }
        let divisor = i64::try_from(a).ok().filter(|&divisor| divisor > 0 && below != 0)? * below.signum();
        let (above, below) = (above / divisor, below / divisor);
        let is_small = below > 0 && above.abs() <= MAX_EXPONENT && below <= MAX_EXPONENT;
        is_small.then_some(Exponent { above: above as i32, below: below as i32 })
    }

    fn plus(self, other: Self) -> Option<Self> {
        let [a, b, c, d] = [self.above, self.below, other.above, other.below].map(i64::from);
        Exponent::new(a * d + c * b, b * d)
    }

    fn times(self, other: Self) -> Option<Self> {
        let [a, b, c, d] = [self.above, self.below, other.above, other.below].map(i64::from);
        Exponent::new(a * c, b * d)
    }

    /// Returns the fraction that a number is, to rounding.
    fn near(value: f64) -> Option<Self> {
        (1..=MAX_DENOMINATOR).find_map(|below| {
            let above = value * f64::from(below);
            let is_whole = (above - above.round()).abs() <= 8.0 * f64::EPSILON * above.abs() && above.abs() < 1e4;
            if is_whole { Exponent::new(above.round() as i64, below.into()) } else { None }
        })
    }
}

impl Unit {
    /// The unit of numbers without one.
    pub const ONE: Unit = Unit { exponents: [Exponent { above: 0, below: 1 }; 7] };

    /// Returns whether it is the unit 1.
    pub fn is_one(&self) -> bool {
        *self == Unit::ONE
    }

    /// Returns the product, or `None` if an exponent is beyond 10,000.
    pub fn times(&self, other: &Unit) -> Option<Unit> {
        self.zip(other, Exponent::plus)
    }

    /// Returns the quotient, or `None` if an exponent is beyond 10,000.
    pub fn per(&self, other: &Unit) -> Option<Unit> {
        self.times(&other.to(-1, 1)?)
    }

    /// Returns the power `above`/`below`, or `None` if an exponent is beyond 10,000 or `below` is 0.
    pub fn to(&self, above: i32, below: i32) -> Option<Unit> {
        let power = Exponent::new(above.into(), below.into())?;
        self.zip(self, |a, _| a.times(power))
    }

    fn zip(&self, other: &Unit, of: impl Fn(Exponent, Exponent) -> Option<Exponent>) -> Option<Unit> {
        let mut exponents = [Exponent::default(); 7];
        for (i, exponent) in exponents.iter_mut().enumerate() {
            *exponent = of(self.exponents[i], other.exponents[i])?;
        }
        Some(Unit { exponents })
    }
}

/// Writes base units, `kg*m^2/s^2`, as [`Unit`] is read.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power = |index: usize, exponent: Exponent| match (exponent.above, exponent.below) {
            (1, 1) => BASE[index].to_owned(),
            (above, 1) => format!("{}^{above}", BASE[index]),
            (above, below) => format!("{}^({above}/{below})", BASE[index]),
        };
        // kg first, as in most texts.
        let order = [1, 0, 2, 3, 4, 5, 6].map(|index| (index, self.exponents[index]));
        let above: Vec<String> =
            order.iter().filter(|(_, e)| e.above > 0).map(|&(index, exponent)| power(index, exponent)).collect();
        f.write_str(if above.is_empty() { "1" } else { "" })?;
        f.write_str(&above.join("*"))?;
        for &(index, exponent) in order.iter().filter(|(_, e)| e.above < 0) {
            write!(f, "/{}", power(index, Exponent { above: -exponent.above, ..exponent }))?;
        }
        Ok(())
    }
}

/// The reason why a text is no unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// A symbol is no unit.
    #[error("{}{symbol:?} is no unit; {}", within(unit, symbol), instead(symbol))]
    Symbol {
        /// The whole text.
        unit: String,
        /// The symbol.
        symbol: String,
    },
    /// The text is not a product of powers.
    #[error("{unit:?} is no product of powers such as kg*m^2/s^2 or m^(1/2)")]
    Syntax {
        /// The text.
        unit: String,
    },
}

/// Reads products (`*`, `·` or a blank) and quotients (`/`, each for what follows it alone) of powers (`^2`, `^-1`, `^(1/2)`,
/// `²`, `m2`, `s-1`) of SI units, with prefixes, and groups in parentheses. `-` is the unit 1. Units that are not of the SI but
/// used with it are read too: `min h d L t ha eV cal Wh Ah bar atm mmHg rpm deg rad % ppm ppb`.
impl FromStr for Unit {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text.trim() == "-" {
            return Ok(Unit::ONE);
        }
        let form = || UnitError::Syntax { unit: text.into() };
        let mut reader = Reader { text, rest: text.trim(), levels: 0 };
        let unit = reader.product()?;
        if reader.rest.is_empty() { Ok(unit) } else { Err(form()) }
    }
}

/// The whole unit, where the symbol is but a part of it.
fn within(unit: &str, symbol: &str) -> String {
    if unit.trim() == symbol { String::new() } else { format!("{unit:?}: ") }
}

/// What to write in the place of a symbol.
fn instead(symbol: &str) -> &'static str {
    match symbol {
        "°C" | "degC" | "celsius" | "Celsius" | "°F" | "degF" => {
            "write K: such degrees do not count from zero, so that no formula has them as a unit"
        }
        _ => "write SI units such as kg*m/s^2, N, km or 1",
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    /// Parentheses that are open.
    levels: usize,
}

impl Reader<'_> {
    fn form(&self) -> UnitError {
        UnitError::Syntax { unit: self.text.into() }
    }

    fn skip(&mut self, sign: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn product(&mut self) -> Result<Unit, UnitError> {
        let mut unit = self.power()?;
        loop {
            let is_power = self.rest.trim_start().starts_with("**");
            let next = if !is_power && (self.skip("*") || self.skip("·") || self.skip("⋅")) {
                unit.times(&self.power()?)
            } else if self.skip("/") {
                unit.per(&self.power()?)
            } else if self.rest.starts_with(char::is_whitespace) && !self.rest.trim_start().is_empty() {
                unit.times(&self.power()?)
            } else {
                return Ok(unit);
            };
            unit = next.ok_or_else(|| self.form())?;
        }
    }

    fn power(&mut self) -> Result<Unit, UnitError> {
        let is_symbol = !self.rest.trim_start().starts_with(['(', '1']);
        let unit = if self.skip("(") {
            self.levels += 1;
            if self.levels > MAX_LEVELS {
                return Err(self.form());
            }
            let inside = self.product()?;
            if !self.skip(")") {
                return Err(self.form());
            }
            self.levels -= 1;
            inside
        } else {
            self.symbol()?
        };
        let raised = if self.skip("^") || self.skip("**") {
            let (above, below) = self.exponent()?;
            unit.to(above, below)
        } else if self.skip("²") {
            unit.to(2, 1)
        } else if self.skip("³") {
            unit.to(3, 1)
        } else if self.skip("⁻¹") {
            unit.to(-1, 1)
        } else if self.skip("⁻²") {
            unit.to(-2, 1)
        } else if is_symbol && self.has_number() {
            let exponent = Exponent::near(self.number()?).ok_or_else(|| self.form())?;
            unit.to(exponent.above, exponent.below)
        } else {
            Some(unit)
        };
        raised.ok_or_else(|| self.form())
    }

    /// Whether a number comes at once, as the exponent in `m2` and `s-1`.
    fn has_number(&self) -> bool {
        self.rest.trim_start_matches(['-', '+']).starts_with(|c: char| c.is_ascii_digit())
    }

    fn exponent(&mut self) -> Result<(i32, i32), UnitError> {
        let in_parentheses = self.skip("(");
        let above = self.number()?;
        let below = if in_parentheses && self.skip("/") { self.number()? } else { 1.0 };
        if in_parentheses && !self.skip(")") {
            return Err(self.form());
        }
        // A quotient of whole numbers is the fraction that it says, whatever its denominator.
        let whole = |value: f64| (value.fract() == 0.0 && value.abs() <= MAX_EXPONENT as f64).then_some(value as i64);
        let exponent = match (whole(above), whole(below)) {
            (Some(above), Some(below)) => Exponent::new(above, below),
            _ => Exponent::near(above / below),
        };
        let exponent = exponent.ok_or_else(|| self.form())?;
        Ok((exponent.above, exponent.below))
    }

    fn number(&mut self) -> Result<f64, UnitError> {
        let text = self.rest.trim_start();
        let is_part =
            |(index, c): (usize, char)| c.is_ascii_digit() || c == '.' || index == 0 && (c == '-' || c == '+');
        let end = text.char_indices().find(|&part| !is_part(part)).map_or(text.len(), |(index, _)| index);
        let number = text[..end].parse().map_err(|_| self.form())?;
        self.rest = &text[end..];
        Ok(number)
    }

    fn symbol(&mut self) -> Result<Unit, UnitError> {
        let text = self.rest.trim_start();
        if text.starts_with('1') && !text[1..].starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            self.rest = &text[1..];
            return Ok(Unit::ONE);
        }
        let is_part = |c: char| c.is_alphabetic() || matches!(c, '%' | '°' | 'Ω');
        let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
        if end == 0 {
            return Err(self.form());
        }
        let symbol = &text[..end];
        self.rest = &text[end..];
        named(symbol).ok_or_else(|| UnitError::Symbol { unit: self.text.into(), symbol: symbol.into() })
    }
}

/// Returns the unit of a symbol, with or without a prefix.
fn named(symbol: &str) -> Option<Unit> {
    const PREFIXES: [&str; 22] =
        ["da", "Y", "Z", "E", "P", "T", "G", "M", "k", "h", "d", "c", "m", "µ", "μ", "u", "n", "p", "f", "a", "z", "y"];
    let with_prefix = || {
        PREFIXES.iter().find_map(|prefix| {
            let unit = symbol.strip_prefix(prefix)?;
            // Minutes, days, percent and the like have no prefixes.
            let has_none = ["min", "h", "d", "ha", "deg", "%", "°", "atm", "mmHg", "rpm", "ppm", "ppb"].contains(&unit);
            if has_none { None } else { plain(unit) }
        })
    };
    plain(symbol).or_else(with_prefix)
}

/// Returns the unit of a symbol without a prefix.
fn plain(symbol: &str) -> Option<Unit> {
    // Exponents of m, kg, s, A, K, mol, cd.
    let exponents: [i32; 7] = match symbol {
        "m" => [1, 0, 0, 0, 0, 0, 0],
        "g" | "t" => [0, 1, 0, 0, 0, 0, 0],
        "s" | "min" | "h" | "d" => [0, 0, 1, 0, 0, 0, 0],
        "A" => [0, 0, 0, 1, 0, 0, 0],
        "K" => [0, 0, 0, 0, 1, 0, 0],
        "mol" => [0, 0, 0, 0, 0, 1, 0],
        "cd" | "lm" => [0, 0, 0, 0, 0, 0, 1],
        "lx" => [-2, 0, 0, 0, 0, 0, 1],
        "L" | "l" => [3, 0, 0, 0, 0, 0, 0],
        "ha" => [2, 0, 0, 0, 0, 0, 0],
        "Hz" | "Bq" | "rpm" => [0, 0, -1, 0, 0, 0, 0],
        "N" => [1, 1, -2, 0, 0, 0, 0],
        "Pa" | "bar" | "atm" | "mmHg" => [-1, 1, -2, 0, 0, 0, 0],
        "J" | "eV" | "cal" | "Wh" => [2, 1, -2, 0, 0, 0, 0],
        "W" => [2, 1, -3, 0, 0, 0, 0],
        "C" | "Ah" => [0, 0, 1, 1, 0, 0, 0],
        "V" => [2, 1, -3, -1, 0, 0, 0],
        "F" => [-2, -1, 4, 2, 0, 0, 0],
        "Ω" | "ohm" | "Ohm" => [2, 1, -3, -2, 0, 0, 0],
        "S" => [-2, -1, 3, 2, 0, 0, 0],
        "Wb" => [2, 1, -2, -1, 0, 0, 0],
        "T" => [0, 1, -2, -1, 0, 0, 0],
        "H" => [2, 1, -2, -2, 0, 0, 0],
        "Gy" | "Sv" => [2, 0, -2, 0, 0, 0, 0],
        "kat" => [0, 0, -1, 0, 0, 1, 0],
        "rad" | "sr" | "deg" | "°" | "%" | "ppm" | "ppb" => [0; 7],
        _ => return None,
    };
    Some(Unit { exponents: exponents.map(|above| Exponent { above, below: 1 }) })
}

/// What units the numbers in a formula may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ConstantUnits {
    /// Numbers have the unit 1.
    #[default]
    Dimensionless,
    /// Every number has the unit that makes the formula right, if there is one. Exponents have the unit 1.
    Free,
}

/// The unit of a formula's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// This unit.
    Of(Unit),
    /// Any unit, since a number that may have one is a factor.
    Any,
}

impl Quantity {
    /// Returns whether the value may have this unit.
    pub fn may_be(self, unit: &Unit) -> bool {
        self == Quantity::Any || self == Quantity::Of(*unit)
    }

    /// Applies a function to a unit; any unit stays any.
    fn map(self, of: impl Fn(Unit) -> Option<Unit>) -> Option<Quantity> {
        match self {
            Quantity::Of(unit) => of(unit).map(Quantity::Of),
            Quantity::Any => Some(Quantity::Any),
        }
    }
}

/// Returns the unit of a formula's value, or `None` if no choice of units for its numbers makes it consistent: terms of a
/// sum have one unit, and arguments of functions and exponents have the unit 1. A variable that `variables` does not have
/// has the unit 1. O(size).
pub fn check(tree: &Tree, variables: &[Unit], constants: ConstantUnits) -> Option<Quantity> {
    let mut stack: Vec<Quantity> = Vec::new();
    for (index, node) in tree.nodes().iter().enumerate() {
        let quantity = match node {
            Node::Var(variable) => Quantity::Of(variables.get(usize::from(*variable)).copied().unwrap_or(Unit::ONE)),
            Node::Const(_) if constants == ConstantUnits::Free => Quantity::Any,
            Node::Const(_) => Quantity::Of(Unit::ONE),
            Node::Op(op) => {
                let b = stack.pop().expect("operators come after their operands");
                let a = if op.arity() == 2 { stack.pop().expect("there are two operands") } else { b };
                match op {
                    Op::Pow => power(a, b, constant_value(tree.subtree(index - 1)))?,
                    _ => apply(*op, a, b)?,
                }
            }
        };
        stack.push(quantity);
    }
    stack.pop()
}

fn apply(op: Op, a: Quantity, b: Quantity) -> Option<Quantity> {
    match op {
        Op::Add | Op::Sub => match (a, b) {
            (Quantity::Any, other) | (other, Quantity::Any) => Some(other),
            _ => (a == b).then_some(a),
        },
        Op::Mul | Op::Div => match (a, b) {
            (Quantity::Of(a), Quantity::Of(b)) => if op == Op::Mul { a.times(&b) } else { a.per(&b) }.map(Quantity::Of),
            _ => Some(Quantity::Any),
        },
        Op::Neg | Op::Abs => Some(a),
        Op::Inv => a.map(|unit| unit.to(-1, 1)),
        Op::Pow2 => a.map(|unit| unit.to(2, 1)),
        Op::Pow3 => a.map(|unit| unit.to(3, 1)),
        Op::Sqrt => a.map(|unit| unit.to(1, 2)),
        Op::Pow => power(a, b, None),
        Op::Exp | Op::Log | Op::Sin | Op::Cos | Op::Tan | Op::Tanh | Op::Asin | Op::Acos | Op::Atan => {
            a.may_be(&Unit::ONE).then_some(Quantity::Of(Unit::ONE))
        }
    }
}

/// Returns the unit of a power whose exponent has a value, if it is a constant.
fn power(base: Quantity, exponent: Quantity, value: Option<f64>) -> Option<Quantity> {
    if !exponent.may_be(&Unit::ONE) {
        return None;
    }
    if base == Quantity::Of(Unit::ONE) {
        return Some(base);
    }
    match value {
        Some(value) => match base {
            Quantity::Any => Some(Quantity::Any),
            Quantity::Of(unit) => {
                let exponent = Exponent::near(value)?;
                unit.to(exponent.above, exponent.below).map(Quantity::Of)
            }
        },
        // An exponent that varies would make the unit vary.
        None => base.may_be(&Unit::ONE).then_some(Quantity::Of(Unit::ONE)),
    }
}

/// Returns the value of a tree without variables.
fn constant_value(tree: &Tree) -> Option<f64> {
    let mut stack: Vec<f64> = Vec::new();
    for node in tree.nodes() {
        let value = match node {
            Node::Var(_) => return None,
            Node::Const(value) => *value,
            Node::Op(op) => {
                let b = stack.pop()?;
                let a = if op.arity() == 2 { stack.pop()? } else { b };
                op.apply(Semantics::Ieee, a, b)
            }
        };
        stack.push(value);
    }
    stack.pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expr;

    fn unit(text: &str) -> Unit {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn units_are_read_and_written() {
        for (text, base) in [
            ("1", "1"),
            ("m/s^2", "m/s^2"),
            ("m s^-2", "m/s^2"),
            ("m·s⁻²", "m/s^2"),
            ("kg*m^2/s^2", "kg*m^2/s^2"),
            ("J", "kg*m^2/s^2"),
            ("N m", "kg*m^2/s^2"),
            ("W/(m^2*K)", "kg/s^3/K"),
            ("W/m^2/K^4", "kg/s^3/K^4"),
            ("km/h", "m/s"),
            ("mmol/L", "mol/m^3"),
            ("m^(1/2)", "m^(1/2)"),
            ("m**0.5", "m^(1/2)"),
            ("1/s", "1/s"),
            ("kHz", "1/s"),
            ("µm", "m"),
            ("deg", "1"),
            ("kΩ*A", "kg*m^2/s^3/A"),
            ("min", "s"),
            ("Pa s", "kg/m/s"),
            ("cd", "cd"),
            ("T", "kg/s^2/A"),
            ("(m/s)^2", "m^2/s^2"),
            // What is written is read, whatever the fraction.
            ("m^(83.4) m^(3/4)", "m^(1683/20)"),
            ("m^(1/16)*s^(-7/10000)", "m^(1/16)/s^(7/10000)"),
            ("(((m)))", "m"),
            ("cm2", "m^2"),
            ("W m-2 K-1", "kg/s^3/K"),
            ("m/s2", "m/s^2"),
            ("-", "1"),
            ("kWh", "kg*m^2/s^2"),
            ("mmHg", "kg/m/s^2"),
            ("rpm", "1/s"),
            ("ppm", "1"),
        ] {
            assert_eq!(unit(text).to_string(), base, "{text}");
            assert_eq!(unit(base), unit(text), "{text}");
        }
        let error = |text: &str| text.parse::<Unit>().expect_err(text).to_string();
        assert_eq!(
            error("parsec/s"),
            "\"parsec/s\": \"parsec\" is no unit; write SI units such as kg*m/s^2, N, km or 1"
        );
        let deep = "(".repeat(1_000_000) + "m";
        assert_eq!(
            error("degC"),
            "\"degC\" is no unit; write K: such degrees do not count from zero, so that no formula has them as a unit"
        );
        for text in [&deep, "", "m/", "m^", "m^(1/2", "2*m", "m)", "m^0.123", "m^99999", "m^(1/0)", "m^(1/99999)", "*m"]
        {
            assert!(error(text).contains("is no product of powers"), "{text}: {}", error(text));
        }
    }

    #[test]
    fn formulas_have_the_unit_of_the_target_or_none() {
        let variables = [unit("m"), unit("s")];
        let of = |text: &str, constants| check(&text.parse::<Expr>().expect(text), &variables, constants);
        let allows = |text: &str, y: &str, constants| of(text, constants).is_some_and(|q| q.may_be(&unit(y)));
        use ConstantUnits::{Dimensionless, Free};
        for (text, y, dimensionless, free) in [
            ("x0 / x1", "m/s", true, true),
            ("x0", "m/s", false, false),
            ("2.0 * x0", "m/s", false, true),
            ("x0 + x1", "m/s", false, false),
            ("exp(x0)", "m/s", false, false),
            ("2.0 * exp(x0)", "m/s", false, false),
            ("exp(2.0 * x0)", "1", false, true),
            ("exp(2.0 * x0)", "m/s", false, false),
            ("2.0 * exp(0.5 * x0)", "m/s", false, true),
            ("x0 + 1.0", "m", false, true),
            ("x0 + 2.0 * x1", "m", false, true),
            ("x0 + 2.0 * x1", "s", false, false),
            ("sqrt(x0 * x0)", "m", true, true),
            ("sqrt(x0)", "m^(1/2)", true, true),
            ("pow(x0, 1.5)", "m^(3/2)", true, true),
            ("pow(x0, 1.2345)", "m", false, false),
            ("pow(x0, x1)", "m", false, false),
            ("pow(x0 / x0, x1 / x1)", "1", true, true),
            ("pow(2.0, x0)", "1", false, false),
            ("pow(2.0, x0 / x0)", "1", true, true),
            ("pow2(x0) / x1", "m^2/s", true, true),
            ("inv(x1)", "Hz", true, true),
            ("x0 - x0 * (x1 / x1)", "m", true, true),
            ("sin(x0 / x0) * x0", "m", true, true),
            ("3.5", "m", false, true),
        ] {
            assert_eq!(allows(text, y, Dimensionless), dimensionless, "{text} [{y}], numbers without units");
            assert_eq!(allows(text, y, Free), free, "{text} [{y}], numbers with units");
        }
    }

    #[test]
    fn exponents_that_are_too_large_are_no_units() {
        let mut tree = Expr::var(0);
        for _ in 0..20 {
            tree = Expr::unary(Op::Pow2, &tree);
        }
        assert_eq!(check(&tree, &[unit("m")], ConstantUnits::Dimensionless), None);
        assert_eq!(check(&tree, &[Unit::ONE], ConstantUnits::Dimensionless), Some(Quantity::Of(Unit::ONE)));
        assert_eq!(unit("m").to(1, 0), None);
    }
}
