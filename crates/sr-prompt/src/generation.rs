//! Whole populations as targets, which an autoregressive model writes.

use sr_engine::PrimitiveSet;
use sr_expr::{Expr, Tree};

use crate::expression::{check, feature_of, opened_by, push_expression};
use crate::{ConstantStyle, DecodeError, Result, Token, decode_expression};

/// Encodes a whole population as a target: its expressions in slot order, each followed by its error if `errors` is
/// set, and `<eos>`.
///
/// Unlike in a prompt, nothing is merged or sorted, so the decoded population has a slot for each individual.
///
/// # Errors
/// Returns an error where [`encode_target`](crate::encode_target) does.
pub fn encode_generation<'a>(
    population: impl IntoIterator<Item = (&'a Tree, f32)>,
    constants: &[f64],
    errors: bool,
) -> Result<Vec<i32>> {
    let mut ids = Vec::new();
    for (tree, mse) in population {
        check(tree)?;
        push_expression(tree, constants, ConstantStyle::Numbers, &mut ids);
        if errors {
            ids.push(Token::fitness(mse).id());
        }
    }
    ids.push(Token::Eos.id());
    Ok(ids)
}

/// Returns the feature of a target that is a population, like [`target_feature`](crate::target_feature): 1 plus the
/// number of operands that the current expression leaves open. It is 1 where an expression is complete, so that an
/// error, another expression or the end follows, and 2 before the first one.
pub fn generation_feature(so_far: &[i32]) -> i32 {
    feature_of(so_far.iter().fold(1, open_after))
}

/// Returns the number of open operands after a token. A token after a complete expression begins a new one.
fn open_after(open: i32, &id: &i32) -> i32 {
    let starts = matches!(
        Token::from_id(id),
        Some(
            Token::Op(_) | Token::Variable(_) | Token::Listed(_) | Token::Constant | Token::Positive | Token::Negative
        )
    );
    let open = if open == 0 && starts { 1 } else { open };
    (open + opened_by(id)).max(0)
}

/// Decodes the ids that a model wrote, without the condition token and `<eos>`. Errors are ignored, because a search
/// computes them.
///
/// An expression ends where it is complete, or at an error token if it is not; then only that one is not well-formed.
/// An expression that cannot be continued, and that no error token ends, also spoils the tokens after it.
pub fn decode_generation(
    ids: &[i32],
    primitives: &PrimitiveSet,
    max_size: usize,
) -> Vec<std::result::Result<Expr, DecodeError>> {
    let is_error =
        |id: &i32| matches!(Token::from_id(*id), Some(Token::Fitness(_) | Token::FitnessZero | Token::FitnessInvalid));
    let mut expressions = Vec::new();
    // Between two errors, or in the whole text without errors, complete expressions follow each other.
    for part in ids.split(is_error) {
        let mut rest = part;
        while !rest.is_empty() {
            let mut open = 1;
            let end = rest.iter().position(|id| {
                open = open_after(open, id);
                open == 0
            });
            let (expression, others) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            expressions.push(decode_expression(expression, primitives, max_size));
            rest = others;
        }
    }
    expressions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_text;
    use sr_expr::Op;

    fn primitives() -> PrimitiveSet {
        PrimitiveSet::new(vec![Op::Add, Op::Sin], vec![2.5], 2).expect("primitives")
    }

    fn ids(text: &str) -> Vec<i32> {
        let id = |word| Token::all().find(|token| token.to_string() == word).map_or(-1, Token::id);
        text.split_whitespace().map(id).collect()
    }

    fn read(text: &str) -> Vec<String> {
        let read = decode_generation(&ids(text), &primitives(), 9).into_iter();
        read.map(|expr| expr.map_or_else(|error| format!("({error})"), |expr| expr.to_string())).collect()
    }

    #[test]
    fn individuals_stand_in_slot_order_with_or_without_errors() {
        let population: Vec<Expr> =
            ["x0 + 0.25", "x1", "x1", "sin(2.5)"].map(|text| text.parse().expect("test expression")).into();
        let scored = || population.iter().map(|e| &**e).zip([2.0, 0.0, 0.0, f32::INFINITY]);
        let write = |errors| encode_generation(scored(), primitives().constants(), errors).expect("a target");
        let (with, without) = (write(true), write(false));
        assert_eq!(to_text(&with), "+ x0 N+ M25 M00 E-1 F32 x1 FZERO x1 FZERO sin c0 FINVALID <eos>");
        assert_eq!(to_text(&without), "+ x0 N+ M25 M00 E-1 x1 x1 sin c0 <eos>");
        for target in [with, without] {
            let read = decode_generation(&target[..target.len() - 1], &primitives(), 9);
            assert_eq!(read.into_iter().collect::<std::result::Result<Vec<_>, _>>().as_ref(), Ok(&population));
        }
    }

    #[test]
    fn an_error_ends_what_is_not_well_formed() {
        let missing = "(the expression is incomplete: 1 operands are missing)";
        assert_eq!(read("x0 F3 + x0 F4 x1 F5"), ["x0", missing, "x1"]);
        assert_eq!(read("x0 F3 F4 x1"), ["x0", "x1"]);
        assert_eq!(read("x0 + x0 sin"), ["x0", missing]);
        assert_eq!(read("sin <eos> x0 x1"), ["(token <eos> at position 1 has no place there)", "x1"]);
        assert!(read("").is_empty());
    }

    #[test]
    fn the_feature_counts_the_operands_of_the_current_expression() {
        let ids = ids("+ x0 N+ M25 M00 E-1 F32 x1 sin c0");
        let features: Vec<i32> = (0..=ids.len()).map(|n| generation_feature(&ids[..n])).collect();
        assert_eq!(features, [2, 3, 2, 2, 2, 2, 1, 1, 1, 2, 1]);
    }
}
