//! Small numbers that a model can be told with each token of a prompt's individuals, beside the token itself.

use crate::{Slots, Token, individuals};

/// What is known of the individual that a token belongs to. All are 0 for tokens of no individual.
///
/// They need the prompt alone. What needs evaluation, such as the correlation of an individual's values with y or with
/// the best one's residual, is not here: this crate has no predictions. Its place is a further field, filled where the
/// points are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TokenFeatures {
    /// 1 for the individual with the least error (then the smallest), 2 for the next, at most 255. Errors are compared
    /// as they are, not by their bucket.
    pub rank: u8,
    /// Bucket of its number of nodes, two an octave: 1 to 15, from 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192
    /// nodes on.
    pub size: u8,
    /// Individuals of this form, 1 to 20; 20 is 20 and more.
    pub multiplicity: u8,
}

/// Those of every token of a prompt, `[tokens]`. `slots` are what was made beside it.
///
/// # Panics
/// If the slots are those of a prompt with fewer individuals.
pub fn token_features(prompt: &[i32], slots: &Slots<'_>) -> Vec<TokenFeatures> {
    let mut features = vec![TokenFeatures::default(); prompt.len()];
    for (index, range) in individuals(prompt).enumerate() {
        let (mut nodes, mut multiplicity) = (0, 1);
        for token in prompt[range.clone()].iter().filter_map(|&id| Token::from_id(id)) {
            match token {
                Token::Count(count) => multiplicity = count,
                // A number is one node, which its exponent ends.
                Token::Op(_)
                | Token::Variable(_)
                | Token::Listed(_)
                | Token::Constant
                | Token::Exponent(_)
                | Token::Unk => nodes += 1,
                _ => {}
            }
        }
        let rank = (slots.ranks()[index] + 1).min(usize::from(u8::MAX)) as u8;
        features[range].fill(TokenFeatures { rank, size: Token::half_octave(nodes), multiplicity });
    }
    features
}

#[cfg(test)]
mod tests {
    use sr_engine::PrimitiveSet;
    use sr_expr::{Columns, Expr, Op};

    use super::*;
    use crate::{Actions, PopulationOrder, PromptState, PromptWriter, to_text};

    #[test]
    fn features_are_those_of_the_individual() {
        let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sin], vec![], 1).expect("primitives");
        let population: Vec<Expr> =
            ["x0", "sin(x0 + 0.5)", "x0", "sin(x0)"].map(|text| text.parse().expect(text)).into();
        // Ranks within a bucket of errors are seen too.
        let state = PromptState::new(0, &primitives, population.iter().map(|e| &**e).zip([1.2, 1.1, 1.2, 1.0]));
        let writer =
            PromptWriter { population_order: PopulationOrder::AsIs, actions: Actions::Edit, ..PromptWriter::default() };
        let (ids, slots) = writer.write_with_slots(&state, &Columns::new(0, 1, vec![]), &[]).expect("a prompt");
        let text = "S0 F32 n2 x0 S1 F32 sin + x0 N+ M50 M00 E-1 S2 F32 sin x0 <target>";
        assert!(to_text(&ids).ends_with(text));
        let feature = |rank, size, multiplicity| TokenFeatures { rank, size, multiplicity };
        let mut expected = vec![TokenFeatures::default(); ids.len() - 18];
        expected.extend([feature(3, 1, 2); 4]);
        expected.extend([feature(2, 4, 1); 9]);
        expected.extend([feature(1, 2, 1); 4]);
        expected.push(TokenFeatures::default());
        assert_eq!(token_features(&ids, &slots), expected);
    }
}
