//! The one writer of prompts. Whoever needs a prompt, in training, search or evaluation, gets it here.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sr_engine::{PrimitiveSet, State};
use sr_expr::{Columns, Tree};

use crate::data::{Plot, Statistics};
use crate::expression::push_expression;
use crate::{Error, LISTED_CONSTANTS, Result, Token, VARIABLES};

/// What a prompt tells of the problem, beside the generation and the points that reach a model through its embedder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Context {
    /// Number of variables, operators and constants.
    #[default]
    Basic,
    /// And statistics of y.
    Rich,
    /// And a plot of y, if there is one variable.
    SuperRich,
}

impl Context {
    /// All of them, each telling more than the one before.
    pub const ALL: [Context; 3] = [Context::Basic, Context::Rich, Context::SuperRich];

    /// The name in files and flags: `basic`, `rich` or `superrich`.
    pub fn name(self) -> &'static str {
        match self {
            Context::Basic => "basic",
            Context::Rich => "rich",
            Context::SuperRich => "superrich",
        }
    }

    /// The context of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Context> {
        Context::ALL.into_iter().find(|context| context.name() == name)
    }
}

/// What a prompt says of a search. Errors are f32, as in traces, so that a live state and its record read alike.
#[derive(Debug, Clone)]
pub struct PromptState<'a> {
    generation: u32,
    primitives: &'a PrimitiveSet,
    population: Vec<(&'a Tree, f32)>,
}

impl<'a> PromptState<'a> {
    /// From a record: individuals with their mean squared errors, in any order.
    pub fn new(
        generation: u32,
        primitives: &'a PrimitiveSet,
        population: impl IntoIterator<Item = (&'a Tree, f32)>,
    ) -> Self {
        PromptState { generation, primitives, population: population.into_iter().collect() }
    }

    /// From a search in progress.
    pub fn of(state: &State<'a>) -> Self {
        let population = state.population.iter().map(|i| (i.tree, i.score.mse as f32));
        PromptState::new(state.generation, state.instance.primitives(), population)
    }
}

/// Writes prompts: a pure function of state and data.
///
/// ```text
/// <bos> <context> generation variables operators… (slot number)… statistics <population> (error [count] expression)… <target>
/// ```
///
/// Statistics are what [`Context`] asks for: none, eight numbers, or those and a plot.
///
/// Equal forms are merged with a count; the best comes first, by error, then size, then ids, so that the order of the
/// population does not matter. The error token also separates individuals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptWriter {
    /// Most tokens of a prompt. The worst individuals are left out to keep to it.
    pub max_tokens: usize,
    /// What prompts tell of the problem.
    pub context: Context,
}

impl Default for PromptWriter {
    /// The basic context, and 1,024 tokens: room for 40 individuals of 25 nodes, the size limit of recorded searches.
    fn default() -> Self {
        PromptWriter { max_tokens: 1024, context: Context::Basic }
    }
}

impl PromptWriter {
    /// The ids of a state's prompt, `x` and `y` being the problem's data. The condition token, and then the target,
    /// follow it.
    ///
    /// # Errors
    /// If there are more than 32 variables, or the context alone has more than `max_tokens` tokens.
    pub fn write(&self, state: &PromptState<'_>, x: &Columns, y: &[f64]) -> Result<Vec<i32>> {
        let mut ids = vec![Token::Bos.id(), Token::Context.id(), Token::generation(state.generation).id()];
        push_primitives(state.primitives, &mut ids)?;
        self.push_statistics(x, y, &mut ids);
        ids.push(Token::Population.id());
        let room = self.room_after(&ids)?;
        let mut used = 0;
        for form in ranked_forms(state) {
            used += form.len();
            if used > room {
                break;
            }
            ids.extend(form);
        }
        ids.push(Token::Target.id());
        Ok(ids)
    }

    /// The ids of a prompt without a population, for models that write the formula from the points alone:
    /// `<bos> <context> variables operators… (slot number)… statistics <target>`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_direct(&self, primitives: &PrimitiveSet, x: &Columns, y: &[f64]) -> Result<Vec<i32>> {
        let mut ids = vec![Token::Bos.id(), Token::Context.id()];
        push_primitives(primitives, &mut ids)?;
        self.push_statistics(x, y, &mut ids);
        self.room_after(&ids)?;
        ids.push(Token::Target.id());
        Ok(ids)
    }

    /// What the context tells of y. A number is four tokens, so each has its place.
    fn push_statistics(&self, x: &Columns, y: &[f64], ids: &mut Vec<i32>) {
        if self.context == Context::Basic {
            return;
        }
        let s = Statistics::new(x, y);
        let (monotonic, sign_changes) = (f64::from(u8::from(s.monotonic)), s.sign_changes as f64);
        let numbers = [s.min, s.max, s.mean, s.variance, s.skewness, monotonic, sign_changes, s.complexity];
        ids.extend(numbers.into_iter().flat_map(Token::number).map(Token::id));
        if self.context == Context::Rich {
            return;
        }
        match Plot::new(x, y) {
            Some(plot) => ids.extend(plot.heights().map(|height| Token::Mantissa((99.0 * height).round() as u8).id())),
            // As in the original's text, whose other words on several variables are in the context already.
            None => ids.extend(Token::number(y.len() as f64).map(Token::id)),
        }
    }

    /// Tokens left for individuals, `<target>` taken off.
    fn room_after(&self, ids: &[i32]) -> Result<usize> {
        let needed = ids.len() + 1;
        self.max_tokens.checked_sub(needed).ok_or(Error::PromptTooLong { needed, max: self.max_tokens })
    }
}

/// The number of variables, the operators and the values of the listed constants.
fn push_primitives(primitives: &PrimitiveSet, ids: &mut Vec<i32>) -> Result<()> {
    let n_variables = usize::from(primitives.n_variables());
    if n_variables > VARIABLES {
        return Err(Error::TooManyVariables { found: n_variables });
    }
    ids.push(Token::Variables(n_variables as u8).id());
    ids.extend(primitives.ops().iter().map(|&op| Token::Op(op).id()));
    for (index, &value) in primitives.constants().iter().take(LISTED_CONSTANTS).enumerate() {
        ids.push(Token::Listed(index as u8).id());
        ids.extend(Token::number(value).map(Token::id));
    }
    Ok(())
}

/// Each distinct form of the population as its error, its count if it is not alone, and its expression; best first.
fn ranked_forms(state: &PromptState<'_>) -> Vec<Vec<i32>> {
    let mut counts: HashMap<&Tree, (f32, usize)> = HashMap::with_capacity(state.population.len());
    for &(tree, mse) in &state.population {
        let mse = if mse >= 0.0 { mse } else { f32::INFINITY }; // NaN would have no place in the order
        let (best, count) = counts.entry(tree).or_insert((mse, 0));
        *best = best.min(mse); // the same for one form, but for individuals cut off by a deadline
        *count += 1;
    }
    let mut forms: Vec<(f32, usize, Vec<i32>)> = counts
        .into_iter()
        .map(|(tree, (mse, count))| {
            let mut ids = vec![Token::fitness(mse).id()];
            ids.extend(Token::count(count).map(Token::id));
            push_expression(tree, state.primitives.constants(), &mut ids);
            (mse, tree.size(), ids)
        })
        .collect();
    forms.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then_with(|| (a.1, &a.2).cmp(&(b.1, &b.2))));
    forms.into_iter().map(|(_, _, ids)| ids).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_text;
    use sr_expr::{Expr, Op};

    fn exprs(texts: &[&str]) -> Vec<Expr> {
        texts.iter().map(|text| text.parse().expect("test expression")).collect()
    }

    #[test]
    fn the_language_is_pinned() {
        let primitives =
            PrimitiveSet::new(vec![Op::Sin, Op::Mul, Op::Add, Op::Div], vec![1.0, -3.25], 2).expect("primitives");
        let population = exprs(&["x0 + x1*1.0", "sin(x0) / 0.125", "x1", "x0 + x1*1.0", "x0 * -3.25", "x0 / x0"]);
        let mse = [0.02, f32::INFINITY, 0.5, 0.02, 0.0, 0.5];
        let state = PromptState::new(12, &primitives, population.iter().map(|e| &**e).zip(mse));
        for (context, expected) in [
            (Context::Basic, expect_test::expect_file!["../../../fixtures/prompt/compact.txt"]),
            (Context::Rich, expect_test::expect_file!["../../../fixtures/prompt/compact-rich.txt"]),
            (Context::SuperRich, expect_test::expect_file!["../../../fixtures/prompt/compact-superrich.txt"]),
        ] {
            let writer = PromptWriter { context, ..PromptWriter::default() };
            let mut text = String::new();
            for (x, y) in [crate::data::testing::two_variables(), crate::data::testing::wave()] {
                text += &to_text(&writer.write(&state, &x, &y).expect("a prompt"));
                text += "\n";
                text += &to_text(&writer.write_direct(&primitives, &x, &y).expect("a prompt"));
                text += "\n";
                if context == Context::Basic {
                    break; // it tells nothing of the data
                }
            }
            expected.assert_eq(&text);
        }
    }

    #[test]
    fn contexts_are_found_by_name() {
        for context in Context::ALL {
            assert_eq!(Context::from_name(context.name()), Some(context));
            assert_eq!(serde_json::to_value(context).expect("a name"), context.name());
        }
        assert_eq!(Context::from_name("poor"), None);
    }

    #[test]
    fn the_worst_individuals_are_left_out_to_fit() {
        let primitives = PrimitiveSet::new(vec![Op::Add], vec![], 1).expect("primitives");
        let population = exprs(&["x0", "x0 + x0", "x0 + x0 + x0"]);
        let state = PromptState::new(0, &primitives, population.iter().map(|e| &**e).zip([3.0, 2.0, 1.0]));
        let writer = |max_tokens| PromptWriter { max_tokens, ..PromptWriter::default() };
        let x = Columns::new(0, 1, vec![]);
        let write = |max_tokens| writer(max_tokens).write(&state, &x, &[]).map(|ids| to_text(&ids));
        let whole = "<bos> <context> G0 V1 + <population> F32 + + x0 x0 x0 F32 + x0 x0 F32 x0 <target>";
        assert_eq!(write(19).as_deref(), Ok(whole));
        assert_eq!(write(18).as_deref(), Ok(&*whole.replace(" F32 x0 <", " <")));
        // The best does not fit, and so nothing worse takes its place.
        assert_eq!(write(12).as_deref(), Ok("<bos> <context> G0 V1 + <population> <target>"));
        assert_eq!(write(6), Err(Error::PromptTooLong { needed: 7, max: 6 }));
    }

    #[test]
    fn more_than_32_variables_are_an_error_and_more_than_16_constants_are_numbers() {
        let too_many = PrimitiveSet::new(vec![], vec![], 33).expect("primitives");
        let (writer, x) = (PromptWriter::default(), Columns::new(0, 1, vec![]));
        assert_eq!(writer.write_direct(&too_many, &x, &[]), Err(Error::TooManyVariables { found: 33 }));
        let constants: Vec<f64> = (0..17).map(f64::from).collect();
        let primitives = PrimitiveSet::new(vec![], constants, 1).expect("primitives");
        let population = exprs(&["15.0", "16.0"]);
        let state = PromptState::new(0, &primitives, population.iter().map(|e| &**e).zip([1.0, 2.0]));
        let text = to_text(&writer.write(&state, &x, &[]).expect("a prompt"));
        assert!(text.ends_with("c15 N+ M15 M00 E1 <population> F32 c15 F32 N+ M16 M00 E1 <target>"), "{text}");
    }
}
