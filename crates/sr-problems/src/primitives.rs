//! The text form of operators and constants, on the command line and in files.

use sr_expr::Op;

use crate::Error;

/// The operators that the name `arith` stands for: `+ - *`.
pub const ARITH: [Op; 3] = [Op::Add, Op::Sub, Op::Mul];

/// Reads `arith` (`+ - *`), `full` (all operators) or a list such as `+,-,sin`. Returns the operators in table order
/// without repeats.
///
/// # Errors
/// Returns an error for a name that is no operator, and for an empty list.
pub fn parse_operators(text: &str) -> Result<Vec<Op>, Error> {
    match text.trim() {
        "" => Err(Error::NoOperators),
        "arith" => Ok(ARITH.to_vec()),
        "full" => Ok(Op::ALL.to_vec()),
        list => {
            let parse = |name: &str| Op::from_name(name).ok_or_else(|| Error::UnknownOperator { name: name.into() });
            let operators = list.split(',').map(|name| parse(name.trim())).collect::<Result<_, _>>()?;
            Ok(in_table_order(operators))
        }
    }
}

/// Sorts the operators and drops repeats, so that equal sets are equal.
pub(crate) fn in_table_order(mut operators: Vec<Op>) -> Vec<Op> {
    operators.sort_unstable();
    operators.dedup();
    operators
}

/// Reads a list such as `1.0,2.5,3.14`; an empty text gives none. Order and repeats stay as written.
///
/// # Errors
/// Returns an error for an element that is no finite number, or is too small for a 64-bit float.
pub fn parse_constants(text: &str) -> Result<Vec<f64>, Error> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let parse = |text: &str| match text.parse::<f64>() {
        Ok(value) if value.is_finite() && !(value == 0.0 && is_below_smallest(text)) => Ok(value),
        _ => Err(Error::BadConstant { text: text.into() }),
    };
    text.split(',').map(|element| parse(element.trim())).collect()
}

/// Returns whether a number that reads as 0 was written with another digit, so that it is too small for a 64-bit float.
pub(crate) fn is_below_smallest(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    mantissa.contains(|c: char| matches!(c, '1'..='9'))
}

/// Operators in files, as a list of names.
pub(crate) mod names {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use sr_expr::Op;

    pub(crate) fn serialize<S: Serializer>(operators: &[Op], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(operators.iter().map(|op| op.name()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Op>, D::Error> {
        let parse = |name: &String| Op::from_name(name).ok_or_else(|| D::Error::custom(format!("operator \"{name}\"")));
        Vec::<String>::deserialize(deserializer)?.iter().map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_numbers_that_there_are() {
        assert_eq!(parse_constants("-0.0, 1,1").unwrap(), [-0.0, 1.0, 1.0]);
        assert_eq!(parse_constants(" ").unwrap(), [0.0; 0]);
        for bad in ["nan", "inf", "1e400", "1e-400", "-2e-999", "one", "1,,2"] {
            let message = parse_constants(bad).unwrap_err().to_string();
            assert!(message.contains("is not a finite number that 64-bit floats have"), "{bad}: {message}");
        }
        assert_eq!(parse_constants("5e-324,0e-999").unwrap(), [5e-324, 0.0]);
    }

    #[test]
    fn operators_are_named_listed_or_refused() {
        assert_eq!(parse_operators("arith").unwrap(), ARITH);
        assert_eq!(parse_operators("full").unwrap(), Op::ALL);
        assert_eq!(parse_operators(" sin, + ,sin").unwrap(), [Op::Add, Op::Sin]);
        let message = parse_operators("+,sinh").unwrap_err().to_string();
        assert!(message.contains("\"sinh\"") && message.contains("+,-,*,/,pow,neg"), "{message}");
        assert!(matches!(parse_operators(""), Err(Error::NoOperators)));
        assert!(matches!(parse_operators("+,"), Err(Error::UnknownOperator { .. })));
    }

    #[test]
    fn constants_are_finite_numbers() {
        assert_eq!(parse_constants("1.0, -2.5,3e2").unwrap(), [1.0, -2.5, 300.0]);
        assert_eq!(parse_constants(" ").unwrap(), [0.0; 0]);
        for text in ["1.0,two", "1,,2", "nan", "inf"] {
            assert!(matches!(parse_constants(text), Err(Error::BadConstant { .. })), "{text}");
        }
        assert!(parse_constants("1.0,two").unwrap_err().to_string().contains("\"two\""));
    }
}
