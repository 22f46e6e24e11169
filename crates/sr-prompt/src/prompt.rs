//! The writer of prompts, the only one for training, search and evaluation.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sr_engine::random::{Key, Purpose, problem_key};
use sr_engine::{PrimitiveSet, State};
use sr_expr::{Columns, Tree};
use strum::IntoStaticStr;

use crate::data::{Plot, Statistics};
use crate::expression::push_expression;
use crate::{ConstantStyle, Error, LISTED_CONSTANTS, Result, SLOTS, Slots, Token, VARIABLES};

/// The information on the problem in a prompt, beside the generation and the points, which reach a model through its
/// embedder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Context {
    /// The number of variables, operators and constants.
    #[default]
    Basic,
    /// The basic context and statistics of y.
    Rich,
    /// The rich context and, if there is one variable, a plot of y.
    SuperRich,
}

impl Context {
    /// All contexts. Each includes the one before.
    pub const ALL: [Context; 3] = [Context::Basic, Context::Rich, Context::SuperRich];

    /// Returns the name that files and flags use: `basic`, `rich` or `superrich`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the context with a name, if there is one.
    pub fn from_name(name: &str) -> Option<Context> {
        Context::ALL.into_iter().find(|context| context.name() == name)
    }
}

/// The order of a prompt's individuals. It does not affect which of them are left out for lack of room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PopulationOrder {
    /// The best is first: by error, then size, then ids.
    #[default]
    Sorted,
    /// The order is random. Equal [keys](PromptState::shuffled_by) give equal orders.
    Shuffled,
    /// The order is the population's, with each expression at its first occurrence.
    AsIs,
}

/// The language that a model writes, and so what its prompts have to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actions {
    /// The model writes whole expressions.
    #[default]
    Expression,
    /// The model writes edits of individuals ([`encode_edit`](crate::encode_edit)). In its prompts the first 32
    /// individuals have their slot, `S0` to `S31`, before their error.
    Edit,
}

impl Actions {
    /// Returns the function that computes the feature of each token of a target from the tokens so far.
    pub fn feature(self) -> fn(&[i32]) -> i32 {
        match self {
            Actions::Expression => crate::target_feature,
            Actions::Edit => crate::edit_feature,
        }
    }
}

/// The information on a search in a prompt. Errors are f32, as in traces, so that a live state and its record give the
/// same prompt.
#[derive(Debug, Clone)]
pub struct PromptState<'a> {
    generation: u32,
    primitives: &'a PrimitiveSet,
    population: Vec<(&'a Tree, f32)>,
    /// The key of [`PopulationOrder::Shuffled`].
    key: u64,
}

impl<'a> PromptState<'a> {
    /// Makes the state of a record: individuals with their mean squared errors, in any order.
    pub fn new(
        generation: u32,
        primitives: &'a PrimitiveSet,
        population: impl IntoIterator<Item = (&'a Tree, f32)>,
    ) -> Self {
        PromptState { generation, primitives, population: population.into_iter().collect(), key: 0 }
    }

    /// Makes the state of a search in progress.
    pub fn of(state: &State<'a>) -> Self {
        let population = state.population.iter().map(|i| (i.tree, i.score.mse as f32));
        PromptState::new(state.generation, state.instance.primitives(), population)
            .shuffled_by(state.key.problem ^ state.key.seed)
    }

    /// Sets the key by which individuals are shuffled. States with the same key and generation and equal populations
    /// have the same order.
    #[must_use]
    pub fn shuffled_by(self, key: u64) -> Self {
        PromptState { key, ..self }
    }
}

/// A writer of prompts, which depend on state and data alone.
///
/// ```text
/// <bos> <context> generation variables operators… (slot number)… statistics <population> (error [count] expression)… <target>
/// ```
///
/// The [`Context`] decides on the statistics: none, eight numbers, or those and a plot.
///
/// Equal expressions are merged with a count. By default the best comes first, by error, then size, then ids, so that
/// the order of the population does not matter. The error token also separates individuals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptWriter {
    /// The largest number of tokens of a prompt. The worst individuals are left out to keep to it.
    pub max_tokens: usize,
    /// The information on the problem.
    pub context: Context,
    /// The order of individuals.
    pub population_order: PopulationOrder,
    /// The language that the model writes, which decides whether individuals have slots.
    pub actions: Actions,
    /// The style of individuals' constants that are not listed.
    pub constants: ConstantStyle,
}

impl Default for PromptWriter {
    /// Writes the basic context, the best individual first and without slots, constants as numbers, and at most 1,024
    /// tokens, which is room for 40 individuals of 25 nodes, the size limit of recorded searches.
    fn default() -> Self {
        PromptWriter {
            max_tokens: 1024,
            context: Context::Basic,
            population_order: PopulationOrder::Sorted,
            actions: Actions::Expression,
            constants: ConstantStyle::Numbers,
        }
    }
}

impl PromptWriter {
    /// Returns the ids of a state's prompt; `x` and `y` are the problem's data. The condition token, and then the
    /// target, follow it.
    ///
    /// # Errors
    /// Returns an error if there are more than 32 variables, or the context alone has more than `max_tokens` tokens.
    pub fn write(&self, state: &PromptState<'_>, x: &Columns, y: &[f64]) -> Result<Vec<i32>> {
        self.write_with_slots(state, x, y).map(|(ids, _)| ids)
    }

    /// Returns the prompt of [`write`](Self::write) and the individuals that edits can refer to, whether their slots
    /// are written or not.
    ///
    /// # Errors
    /// Returns an error where [`write`](Self::write) does.
    pub fn write_with_slots<'a>(
        &self,
        state: &PromptState<'a>,
        x: &Columns,
        y: &[f64],
    ) -> Result<(Vec<i32>, Slots<'a>)> {
        let mut ids = vec![Token::Bos.id(), Token::Context.id(), Token::generation(state.generation).id()];
        push_primitives(state.primitives, &mut ids)?;
        self.push_statistics(x, y, &mut ids);
        ids.push(Token::Population.id());
        let room = self.room_after(&ids)?;
        let forms = self.ordered(ranked_forms(state, self.constants), room, state);
        for (index, form) in forms.iter().enumerate() {
            ids.extend(self.slot(index).map(Token::id));
            ids.extend(&form.ids);
        }
        ids.push(Token::Target.id());
        let trees = state.population.iter().map(|&(tree, _)| tree).collect();
        Ok((ids, Slots::new(trees, forms.iter().map(|form| (form.individual, form.rank)))))
    }

    /// Returns the slot token of an individual, by its place in the prompt, if it has one.
    fn slot(&self, index: usize) -> Option<Token> {
        (self.actions == Actions::Edit && index < SLOTS).then_some(Token::Slot(index as u8))
    }

    /// Returns the best expressions for which there is room, in the prompt's order.
    fn ordered<'a>(&self, mut forms: Vec<Form<'a>>, room: usize, state: &PromptState<'_>) -> Vec<Form<'a>> {
        let mut used = 0;
        let fitting = forms.iter().enumerate().take_while(|(index, form)| {
            used += form.ids.len() + usize::from(self.slot(*index).is_some());
            used <= room
        });
        forms.truncate(fitting.count());
        match self.population_order {
            PopulationOrder::Sorted => {}
            PopulationOrder::Shuffled => {
                let key = Key::new(state.key, Purpose::Training, problem_key("population order"));
                key.generation(state.generation).rng().shuffle(&mut forms);
            }
            PopulationOrder::AsIs => forms.sort_unstable_by_key(|form| form.individual),
        }
        forms
    }

    /// Returns the ids of a prompt without a population, for models that write the formula from the points alone:
    /// `<bos> <context> variables operators… (slot number)… statistics <target>`.
    ///
    /// # Errors
    /// Returns an error where [`write`](Self::write) does.
    pub fn write_direct(&self, primitives: &PrimitiveSet, x: &Columns, y: &[f64]) -> Result<Vec<i32>> {
        let mut ids = vec![Token::Bos.id(), Token::Context.id()];
        push_primitives(primitives, &mut ids)?;
        self.push_statistics(x, y, &mut ids);
        self.room_after(&ids)?;
        ids.push(Token::Target.id());
        Ok(ids)
    }

    /// Writes the statistics of y that the context has. Every number is four tokens, so each has a fixed place.
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
            // The original's text has more on several variables, but that is in the context already.
            None => ids.extend(Token::number(y.len() as f64).map(Token::id)),
        }
    }

    /// Returns the number of tokens left for individuals, without `<target>`.
    fn room_after(&self, ids: &[i32]) -> Result<usize> {
        let needed = ids.len() + 1;
        self.max_tokens.checked_sub(needed).ok_or(Error::PromptTooLong { needed, max: self.max_tokens })
    }
}

/// Writes the number of variables, the operators and the values of the listed constants.
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

/// A distinct expression of the population.
struct Form<'a> {
    tree: &'a Tree,
    mse: f32,
    count: usize,
    /// The index of the first individual that has it.
    individual: u32,
    /// The rank among all, 0 for the best.
    rank: usize,
    /// The ids of its error, of its count if there are several, and of its expression.
    ids: Vec<i32>,
}

/// Returns the distinct expressions of the population, best first.
fn ranked_forms<'a>(state: &PromptState<'a>, style: ConstantStyle) -> Vec<Form<'a>> {
    let mut places: HashMap<&Tree, usize> = HashMap::with_capacity(state.population.len());
    let mut forms: Vec<Form<'a>> = Vec::with_capacity(state.population.len());
    for (individual, &(tree, mse)) in state.population.iter().enumerate() {
        let mse = if mse >= 0.0 { mse } else { f32::INFINITY }; // NaN would have no place in the order
        let place = *places.entry(tree).or_insert(forms.len());
        if place == forms.len() {
            forms.push(Form { tree, mse, count: 0, individual: individual as u32, rank: 0, ids: Vec::new() });
        }
        let form = &mut forms[place];
        form.mse = form.mse.min(mse); // the same for one form, but for individuals cut off by a deadline
        form.count += 1;
    }
    for form in &mut forms {
        form.ids.push(Token::fitness(form.mse).id());
        form.ids.extend(Token::count(form.count).map(Token::id));
        push_expression(form.tree, state.primitives.constants(), style, &mut form.ids);
    }
    // Expressions that read the same, up to rounded constants, stay in the order of the population.
    forms.sort_by(|a, b| a.mse.total_cmp(&b.mse).then_with(|| (a.tree.size(), &a.ids).cmp(&(b.tree.size(), &b.ids))));
    forms.iter_mut().enumerate().for_each(|(rank, form)| form.rank = rank);
    forms
}

/// Returns the range of each individual of a prompt: from its slot, or its error if it has none, to the next
/// individual.
///
/// It returns nothing for a prompt without a population. O(prompt), without allocation.
pub fn individual_ranges(prompt: &[i32]) -> impl Iterator<Item = Range<usize>> {
    let position = |token: Token| prompt.iter().position(|&id| id == token.id());
    let start = position(Token::Population).map_or(prompt.len(), |population| population + 1);
    let end = prompt[start..].iter().position(|&id| id == Token::Target.id()).map_or(prompt.len(), |at| start + at);
    let token = |at: usize| Token::from_id(prompt[at]);
    let begins = move |at: usize| match token(at) {
        Some(Token::Slot(_)) => true,
        Some(Token::Fitness(_) | Token::FitnessZero | Token::FitnessInvalid) => {
            !matches!(token(at - 1), Some(Token::Slot(_)))
        }
        _ => false,
    };
    let mut next = (start..end).find(|&at| begins(at));
    std::iter::from_fn(move || {
        let first = next?;
        next = (first + 1..end).find(|&at| begins(at));
        Some(first..next.unwrap_or(end))
    })
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
    fn the_order_is_a_choice() {
        let primitives = PrimitiveSet::new(vec![Op::Add], vec![], 9).expect("primitives");
        let population = exprs(&["x3", "x1", "x3", "x0", "x2", "x5", "x6", "x7"]);
        let mse = [2.0, 0.5, 2.0, 0.0, 1.0, 3.0, 4.0, 5.0];
        let state = PromptState::new(0, &primitives, population.iter().map(|e| &**e).zip(mse));
        // Room for all but the worst, x7.
        let keyed = |population_order, key| {
            let state = state.clone().shuffled_by(key);
            let writer = PromptWriter { max_tokens: 20, population_order, ..PromptWriter::default() };
            let ids = writer.write(&state, &Columns::new(0, 9, vec![]), &[]).expect("a prompt");
            individual_ranges(&ids).map(|at| to_text(&ids[at])).collect::<Vec<_>>()
        };
        let write = |order| keyed(order, 0);
        let sorted = ["FZERO x0", "F31 x1", "F32 x2", "F32 n2 x3", "F32 x5", "F33 x6"];
        assert_eq!(write(PopulationOrder::Sorted), sorted);
        let as_is = ["F32 n2 x3", "F31 x1", "FZERO x0", "F32 x2", "F32 x5", "F33 x6"];
        assert_eq!(write(PopulationOrder::AsIs), as_is);
        let mut orders: Vec<Vec<String>> = (0..9).map(|key| keyed(PopulationOrder::Shuffled, key)).collect();
        assert_eq!(orders[0], write(PopulationOrder::Shuffled));
        orders.sort_unstable();
        orders.dedup();
        assert!(orders.len() > 6, "{} orders of 9 keys", orders.len());
        for mut order in orders {
            order.sort_unstable();
            assert!(sorted.iter().all(|form| order.contains(&(*form).to_owned())));
        }
    }

    #[test]
    fn slots_and_placeholders_are_choices() {
        let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 2).expect("primitives");
        let population = exprs(&["x0 + 0.25", "x1 * 1.0", "x0 + 0.5"]);
        let state = PromptState::new(0, &primitives, population.iter().map(|e| &**e).zip([1.0, 0.0, 4.0]));
        let x = Columns::new(0, 2, vec![]);
        let writer =
            PromptWriter { actions: Actions::Edit, constants: ConstantStyle::Placeholders, ..PromptWriter::default() };
        let (ids, slots) = writer.write_with_slots(&state, &x, &[]).expect("a prompt");
        let text = to_text(&ids);
        let expected = "<population> S0 FZERO * x1 c0 S1 F32 + x0 <constant> S2 F33 + x0 <constant> <target>";
        assert!(text.ends_with(expected), "{text}");
        let parts: Vec<String> = individual_ranges(&ids).map(|at| to_text(&ids[at])).collect();
        assert_eq!(parts, ["S0 FZERO * x1 c0", "S1 F32 + x0 <constant>", "S2 F33 + x0 <constant>"]);
        let trees: Vec<&Tree> = slots.trees().collect();
        assert_eq!(trees, [&*population[1], &population[0], &population[2]]);
        let short = PromptWriter { max_tokens: ids.len() - 1, ..writer };
        assert_eq!(short.write_with_slots(&state, &x, &[]).expect("a prompt").1.trees().count(), 2);
        assert_eq!(individual_ranges(&writer.write_direct(&primitives, &x, &[]).expect("a prompt")).count(), 0);
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
