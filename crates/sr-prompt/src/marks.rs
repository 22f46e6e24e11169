//! Marks, which the model gets with each token of a prompt's individuals, beside the token itself.

use serde::{Deserialize, Serialize};
use sr_expr::Tree;

use crate::{Slots, Token, individual_ranges};

/// A property of an individual, or of one of its subtrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The bucket of the individual's error, as in its own token: 1 to 64 from the least to the greatest, 65 for an
    /// error of 0, 66 for no valid error.
    Error,
    /// The rank of the individual: 1 for the least error (then the smallest size), 2 for the next, at most 32. It
    /// compares the errors themselves, not their buckets.
    Rank,
    /// The bucket of the individual's number of nodes, two an octave: 1 to 15, from 1, 2, 3, 4, 6, 8, 12, 16, 24, 32,
    /// 48, 64, 96, 128, 192 nodes on.
    Size,
    /// The number of individuals with this expression, 1 to 20; 20 is 20 and more.
    Multiplicity,
    /// The class of the correlation with y of the values of the subtree that begins with the token; see
    /// [`Mark::of_correlation`].
    CorrelationY,
    /// The class of the correlation with the residual of the best individual, y minus its prediction.
    CorrelationResidual,
}

/// The bounds of |r| between the classes of a correlation, which are finer where it is nearly perfect.
const CORRELATIONS: [f64; 7] = [0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.999];

impl Mark {
    /// All marks.
    pub const ALL: [Mark; 6] =
        [Mark::Error, Mark::Rank, Mark::Size, Mark::Multiplicity, Mark::CorrelationY, Mark::CorrelationResidual];

    /// Returns the number of values, which are 1 to this; 0 means that the mark does not apply.
    pub fn values(self) -> usize {
        match self {
            Mark::Error => 66,
            Mark::Rank => 32,
            Mark::Size => 15,
            Mark::Multiplicity => 20,
            Mark::CorrelationY | Mark::CorrelationResidual => 2 * (CORRELATIONS.len() + 1) + 1,
        }
    }

    /// Returns whether it is a correlation, which needs the problem's data.
    pub fn is_correlation(self) -> bool {
        matches!(self, Mark::CorrelationY | Mark::CorrelationResidual)
    }

    /// Returns the value for a coefficient of correlation: 1 to 8 for positive ones by size, 9 to 16 for negative ones,
    /// 17 for NaN. It is NaN for values that are constant or not finite.
    pub fn of_correlation(r: f64) -> u8 {
        let classes = CORRELATIONS.len() as u8 + 1;
        if r.is_nan() {
            return 2 * classes + 1;
        }
        let class = CORRELATIONS.iter().filter(|&&bound| r.abs() >= bound).count() as u8;
        1 + class + if r < 0.0 { classes } else { 0 }
    }
}

/// Returns the marks of every token of a prompt, `[tokens, marks]`. An entry is 0 where there is no mark, else the
/// value plus [`Mark::values`] of all marks before it in the list, so that it identifies both mark and value. `slots`
/// have to be those that were made with the prompt.
///
/// - correlation: returns the value of each node of an individual, in post-order, for a mark that is a correlation; it
///   is called once for each such mark and individual
///
/// # Panics
/// Panics if the slots are those of a prompt with fewer individuals, or there are fewer correlations than nodes.
pub fn marks<'a>(
    prompt: &[i32],
    slots: &Slots<'a>,
    marks: &[Mark],
    mut correlation: impl FnMut(Mark, &'a Tree) -> Vec<u8>,
) -> Vec<i32> {
    let mut all = vec![0; prompt.len() * marks.len()];
    for (index, range) in individual_ranges(prompt).enumerate() {
        let (tree, order) = slots.shown(index);
        let mut tokens = prompt[range.clone()].iter().filter_map(|&id| Token::from_id(id));
        let error = tokens.find_map(|token| match token {
            Token::Fitness(bucket) => Some(1 + bucket),
            Token::FitnessZero => Some(65),
            Token::FitnessInvalid => Some(66),
            _ => None,
        });
        let multiplicity = tokens.find_map(|token| match token {
            Token::Count(count) => Some(count),
            _ => None,
        });
        let mut before = 0;
        for (place, &mark) in marks.iter().enumerate() {
            // There is one value for each node in prefix order, or one for all.
            let values: Vec<u8> = match mark {
                Mark::Error => vec![error.expect("an individual has an error token")],
                Mark::Rank => vec![(slots.ranks()[index] + 1).min(mark.values()) as u8],
                Mark::Size => vec![Token::half_octave(tree.size() as u32)],
                Mark::Multiplicity => vec![multiplicity.unwrap_or(1)],
                Mark::CorrelationY | Mark::CorrelationResidual => {
                    let of_nodes = correlation(mark, tree);
                    order.iter().map(|&node| of_nodes[node as usize]).collect()
                }
            };
            let mut node = 0;
            for at in range.clone() {
                let value = values[node.min(values.len() - 1)];
                all[at * marks.len() + place] = before + i32::from(value);
                node += usize::from(ends_node(prompt[at]));
            }
            before += mark.values() as i32;
        }
    }
    all
}

/// Returns whether a token is the last one of a node, which is the exponent for a number.
fn ends_node(id: i32) -> bool {
    matches!(
        Token::from_id(id),
        Some(Token::Op(_) | Token::Variable(_) | Token::Listed(_) | Token::Constant | Token::Exponent(_) | Token::Unk)
    )
}

#[cfg(test)]
mod tests {
    use sr_engine::PrimitiveSet;
    use sr_expr::{Columns, Expr, Op};

    use super::*;
    use crate::{Actions, PopulationOrder, PromptState, PromptWriter, to_text};

    #[test]
    fn marks_are_those_of_the_individual_and_its_nodes() {
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
        let nodes = |mark: Mark, tree: &Tree| {
            assert_eq!(mark, Mark::CorrelationResidual);
            (1..=tree.size() as u8).collect()
        };
        let found = marks(&ids, &slots, &[Mark::Rank, Mark::CorrelationResidual, Mark::Multiplicity], nodes);
        let mut expected = vec![[0; 3]; ids.len() - 18];
        expected.extend([[3, 33, 51]; 4]);
        // Slot and error stand for the root. Post-order: x0, 0.5, +, sin.
        expected.extend([36, 36, 36, 35, 33, 34, 34, 34, 34].map(|node| [2, node, 50]));
        expected.extend([34, 34, 34, 33].map(|node| [1, node, 50]));
        expected.push([0; 3]);
        assert_eq!(found, expected.concat());
        let errors = marks(&ids, &slots, &[Mark::Error], |_, _| vec![]);
        let (before, of_individuals) = errors.split_at(ids.len() - 18);
        assert!(before.iter().all(|&error| error == 0));
        assert!(of_individuals[..17].iter().all(|&error| error == 33) && of_individuals[17] == 0);
        assert!(marks(&ids, &slots, &[], |_, _| vec![]).is_empty());
    }

    #[test]
    fn classes_of_correlations_are_symmetric() {
        let class = Mark::of_correlation;
        assert_eq!([0.0, 0.24, 0.25, 0.8, 0.995, 1.0].map(class), [1, 1, 2, 4, 7, 8]);
        assert_eq!([-0.24, -0.25, -1.0, f64::NAN].map(class), [9, 10, 16, 17]);
        assert_eq!(usize::from(class(f64::NAN)), Mark::CorrelationY.values());
    }
}
