//! The input of the model: the prompt's tokens and the points before it. Training and search share this code.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sr_engine::{PrimitiveSet, State};
use sr_expr::{Columns, Semantics, Tree};
use sr_model::{Channel, ModelConfig, PointEmbedding, Points, PointsConfig, Population, Prompt};
use sr_prompt::{Actions, ConstantStyle, Context, Mark, PopulationOrder, PromptState, PromptWriter, Slots};

use crate::Error;

/// The data of a problem, and the semantics of its search.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// `[rows, variables]`
    pub x: &'a Columns,
    /// `[rows]`
    pub y: &'a [f64],
    /// Guarded or plain operators, for the best individual's predictions.
    pub semantics: Semantics,
}

/// The language of a model: how its prompts and targets are written. A checkpoint stores it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Language {
    /// The information on the problem in a prompt.
    pub context: Context,
    /// The order of a prompt's individuals.
    pub population_order: PopulationOrder,
    /// Whether children are whole expressions or edits of individuals.
    pub actions: Actions,
    /// How constants are written that are not listed: as numbers, or as placeholders, whose values the search fits.
    #[serde(skip_serializing_if = "is_default")]
    pub constants: ConstantStyle,
    /// The marks that come with each token of an individual.
    pub marks: Vec<Mark>,
}

/// Whether a field has the value that it has where a file lacks it.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Language {
    /// Returns the language with this context, and defaults for everything else.
    pub fn of(context: Context) -> Self {
        Language { context, ..Language::default() }
    }

    /// Returns the [`n_marks`](ModelConfig::n_marks) of a model of this language.
    pub fn n_marks(&self) -> usize {
        self.marks.iter().map(|mark| mark.values()).sum()
    }
}

/// A writer of inputs for one model.
#[derive(Debug, Clone)]
pub struct InputWriter {
    prompts: PromptWriter,
    marks: Vec<Mark>,
    points: Option<PointsConfig>,
    population: Population,
}

/// Positions reserved for a child: the largest one and its end. A model that reads prompts as one text has more.
pub const ROOM_FOR_CHILD: usize = 256;

/// Returns the positions that every prompt of a model leaves for a child.
pub(crate) fn room_for_child(config: &ModelConfig) -> usize {
    let longest = match config.population {
        Population::Text => PromptWriter::default().max_tokens.min(config.n_positions.saturating_sub(ROOM_FOR_CHILD)),
        // The tokens before and behind the individuals are far fewer.
        Population::Separate => ROOM_FOR_CHILD.min(config.n_positions / 2),
    };
    config.n_positions - longest
}

impl InputWriter {
    /// Returns a writer for models of this shape and language.
    pub fn new(config: &ModelConfig, language: &Language) -> Self {
        let default = PromptWriter::default().max_tokens;
        let max_tokens = match config.population {
            Population::Text => default.min(config.n_positions.saturating_sub(ROOM_FOR_CHILD)),
            Population::Separate => default, // positions begin anew in each individual
        };
        let &Language { context, population_order, actions, constants, .. } = language;
        let prompts = PromptWriter { max_tokens, context, population_order, actions, constants };
        let marks = language.marks.clone();
        InputWriter { prompts, marks, points: config.points.clone(), population: config.population }
    }

    /// Returns the input of a state in a search, and the individuals that edits can refer to.
    ///
    /// # Errors
    /// If the problem has more variables than the language or the point embedder allows.
    pub fn state<'a>(&self, state: &State<'a>) -> Result<(Prompt, Slots<'a>), Error> {
        let data = Data { x: state.instance.x(), y: state.instance.y(), semantics: state.semantics() };
        let best = fittest_tree(state.population.iter().map(|i| (i.tree, i.score.fitness as f32)));
        self.one_step(&PromptState::of(state), data, best)
    }

    /// Returns the same for a state that is recorded or live. `best` is the [`fittest_tree`] of the population.
    ///
    /// # Errors
    /// Those of [`state`](Self::state).
    pub fn one_step<'a>(
        &self,
        state: &PromptState<'a>,
        data: Data<'_>,
        best: Option<&Tree>,
    ) -> Result<(Prompt, Slots<'a>), Error> {
        let (tokens, slots) = self.prompts.write_with_slots(state, data.x, data.y)?;
        let individuals = match self.population {
            Population::Text => Vec::new(),
            Population::Separate => bounds(&tokens),
        };
        let marks = self.marks(&tokens, &slots, data, best);
        Ok((Prompt { tokens, individuals, marks, points: self.points(data, best)? }, slots))
    }

    /// Returns the input for writing a formula from the data alone.
    ///
    /// # Errors
    /// Those of [`state`](Self::state).
    pub fn direct(&self, primitives: &PrimitiveSet, data: Data<'_>) -> Result<Prompt, Error> {
        let tokens = self.prompts.write_direct(primitives, data.x, data.y)?;
        Ok(Prompt { tokens, points: self.points(data, None)?, ..Prompt::default() })
    }

    fn marks<'a>(&self, tokens: &[i32], slots: &Slots<'a>, data: Data<'_>, best: Option<&Tree>) -> Vec<i32> {
        // Without points too, all prompts of a model use the same number of rows.
        let n_rows = self.points.as_ref().map_or(ROWS_OF_CORRELATIONS, |points| points.n_points);
        let known = self.marks.iter().any(|mark| mark.is_correlation()).then(|| Known::new(data, best, n_rows));
        let mut classes: HashMap<&'a Tree, [u8; 2]> = HashMap::new();
        sr_prompt::marks(tokens, slots, &self.marks, |mark, tree| {
            let known = known.as_ref().expect("made where a mark is a correlation");
            let of_node = |node| {
                let subtree = tree.subtree(node);
                let [y, residual] = *classes.entry(subtree).or_insert_with(|| known.classes(subtree, data.semantics));
                if mark == Mark::CorrelationY { y } else { residual }
            };
            (0..tree.size()).map(of_node).collect()
        })
    }

    fn points(&self, data: Data<'_>, best: Option<&Tree>) -> Result<Option<Points>, Error> {
        self.points.as_ref().map(|config| embedder_points(config, data, best)).transpose()
    }
}

/// Rows for correlations in models that read no points; with points, their number is used.
const ROWS_OF_CORRELATIONS: usize = 64;

/// Some rows of a problem: at most `n`, all of them or evenly spaced from the first one on.
struct Known {
    x: Columns,
    y: Vec<f64>,
    /// The best individual's predictions; 0 without one.
    predicted: Vec<f64>,
}

impl Known {
    fn new(data: Data<'_>, best: Option<&Tree>, n: usize) -> Self {
        let (n_rows, n_variables) = (data.y.len(), data.x.n_columns());
        let n = n.min(n_rows);
        let rows: Vec<usize> = (0..n).map(|point| point * n_rows / n).collect();
        let chosen = (0..n_variables).flat_map(|column| rows.iter().map(move |&row| data.x.column(column)[row]));
        let x = Columns::new(n, n_variables, chosen.collect());
        let predicted = best.map_or_else(|| vec![0.0; n], |best| sr_expr::predict(best, &x, data.semantics));
        Known { x, y: rows.iter().map(|&row| data.y[row]).collect(), predicted }
    }

    fn residual(&self) -> impl Iterator<Item = f64> + Clone + '_ {
        self.y.iter().zip(&self.predicted).map(|(y, predicted)| y - predicted)
    }

    /// Returns the marks of a tree's correlation with y and with the residual.
    fn classes(&self, tree: &Tree, semantics: Semantics) -> [u8; 2] {
        let values = sr_expr::predict(tree, &self.x, semantics);
        let with_y = correlation(values.iter().copied(), self.y.iter().copied());
        [with_y, correlation(values.iter().copied(), self.residual())].map(Mark::of_correlation)
    }
}

/// Returns Pearson's correlation coefficient; NaN if one side is constant or has a value that is not finite.
fn correlation(a: impl Iterator<Item = f64> + Clone, b: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = a.clone().count() as f64;
    let (mean_a, mean_b) = (a.clone().sum::<f64>() / n, b.clone().sum::<f64>() / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in a.zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        (aa, bb, ab) = (aa + a * a, bb + b * b, ab + a * b);
    }
    ab / (aa * bb).sqrt()
}

/// Returns the start of each individual of a prompt, and the end of the last one; empty if there are none.
fn bounds(tokens: &[i32]) -> Vec<u32> {
    let mut bounds = Vec::new();
    for individual in sr_prompt::individual_ranges(tokens) {
        if bounds.is_empty() {
            bounds.push(individual.start as u32);
        }
        bounds.push(individual.end as u32);
    }
    bounds
}

/// Returns the fittest individual of a population, the first among equals. Fitness is f32 as in traces, so that a live
/// state and its record agree.
pub fn fittest_tree<'a>(population: impl IntoIterator<Item = (&'a Tree, f32)>) -> Option<&'a Tree> {
    let mut best: Option<(&Tree, f32)> = None;
    for (tree, fitness) in population {
        if best.is_none_or(|(_, highest)| fitness > highest) {
            best = Some((tree, fitness));
        }
    }
    best.map(|(tree, _)| tree)
}

/// Returns the point channels of a problem: all rows, or `config.n_points` of them, evenly spaced from the first on.
/// Without `best` its channels are 0, except for the residual, which is then y itself.
///
/// If some x is not a 32-bit number, the problem counts as a user's own table. Then its columns, y with the
/// predictions, and the residual are centred and scaled to a standard deviation of 1 over these rows, in 64 bits,
/// before they become 32-bit numbers. Random problems, suites and tables of 32-bit numbers are used as they are, with
/// the same bits as ever.
///
/// For `e2e`, values become `asinh(v)`: linear near 0 and logarithmic far away (1e18 becomes 42). It is the same for
/// every problem, because normalising each problem on its own hurt the original. NaN becomes 0. For `set`, values stay
/// as they are, in f32: the model itself handles any scale.
///
/// # Errors
/// If the problem has more variables than channel X has columns.
pub fn embedder_points(config: &PointsConfig, data: Data<'_>, best: Option<&Tree>) -> Result<Points, Error> {
    let n_variables = data.x.n_columns();
    if config.channels.contains(&Channel::X) && n_variables > config.n_variables {
        return Err(Error::TooManyVariables { found: n_variables, max: config.n_variables });
    }
    let known = Known::new(data, best, config.n_points);
    let mut residual: Vec<f64> = known.residual().collect();
    let Known { x, mut y, mut predicted } = known;
    let mut columns: Vec<Vec<f64>> = (0..n_variables).map(|column| x.column(column).to_vec()).collect();
    if !is_single(data.x) {
        for column in &mut columns {
            Affine::of(column).apply(column);
        }
        // Without a best individual the residual is y itself, and with one a difference, which has no centre.
        let of_y = Affine::of(&y);
        match best {
            Some(_) => {
                of_y.apply(&mut predicted);
                Affine { first: 0.0, offset: 0.0, ..of_y }.apply(&mut residual);
            }
            None => of_y.apply(&mut residual),
        }
        of_y.apply(&mut y);
    }
    let number = match config.kind {
        PointEmbedding::E2e => squash,
        PointEmbedding::Set => |value| value as f32,
    };
    let width = config.width();
    let mut values = vec![0.0; y.len() * width];
    for (channel, place) in config.columns() {
        for (point, out) in values.chunks_mut(width).enumerate() {
            let out = &mut out[place.clone()];
            match channel {
                Channel::X => columns.iter().zip(out).for_each(|(column, out)| *out = number(column[point])),
                Channel::Y => out[0] = number(y[point]),
                Channel::BestPrediction => out[0] = number(predicted[point]),
                Channel::BestResidual => out[0] = number(residual[point]),
            }
        }
    }
    Ok(Points { values })
}

/// Returns whether all values of a table are 32-bit numbers; NaN counts as one.
fn is_single(x: &Columns) -> bool {
    let is_single = |&value: &f64| f64::from(value as f32) == value || value.is_nan();
    (0..x.n_columns()).all(|column| x.column(column).iter().all(is_single))
}

/// The map `(v / size − first − offset) / scale`. `size` is a power of two, so that the division is exact and no sum or
/// square overflows. `first` is one of the values, so that their small differences are exact too.
#[derive(Debug, Clone, Copy)]
struct Affine {
    size: f64,
    first: f64,
    offset: f64,
    scale: f64,
}

impl Affine {
    /// Returns the map that gives values a mean of 0 and a standard deviation of 1; constant values become 0. Values
    /// that are not finite are ignored.
    fn of(values: &[f64]) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let n = finite().count().max(1) as f64;
        let greatest = finite().fold(0.0, |greatest: f64, value| greatest.max(value.abs()));
        // The sign and exponent, without the fraction.
        let power = f64::from_bits(greatest.to_bits() >> 52 << 52);
        let size = if power > 0.0 { power } else { 1.0 };
        let first = finite().next().unwrap_or(0.0) / size;
        let differences = || finite().map(|value| value / size - first);
        let offset = differences().sum::<f64>() / n;
        let scale = (differences().map(|value| (value - offset) * (value - offset)).sum::<f64>() / n).sqrt();
        Affine { size, first, offset, scale: if scale > 0.0 { scale } else { 1.0 } }
    }

    fn apply(self, values: &mut [f64]) {
        values.iter_mut().for_each(|value| *value = (*value / self.size - self.first - self.offset) / self.scale);
    }
}

/// A bound far beyond the asinh of any number in a search.
const MAX_SQUASHED: f64 = 64.0;

fn squash(value: f64) -> f32 {
    // `libm` gives the same bits on every machine.
    if value.is_nan() { 0.0 } else { libm::asinh(value).clamp(-MAX_SQUASHED, MAX_SQUASHED) as f32 }
}

#[cfg(test)]
mod tests {
    use sr_expr::Expr;

    use super::*;

    fn config(channels: &[Channel], n_points: usize) -> PointsConfig {
        PointsConfig { n_variables: 2, channels: channels.to_vec(), hidden: 4, ..PointsConfig::learner(n_points) }
    }

    #[test]
    fn channels_hold_what_their_names_say() {
        let x = Columns::from_rows(&[[0.0], [1.0], [2.0], [3.0]]);
        let data = Data { x: &x, y: &[0.0, 1.0, 4.0, f64::NAN], semantics: Semantics::Ieee };
        let best = Expr::var(0);
        let channels = [Channel::Y, Channel::X, Channel::BestPrediction, Channel::BestResidual];
        let asinh = |v: f64| v.asinh() as f32;
        let rows = embedder_points(&config(&channels, 8), data, Some(&best)).expect("points").values;
        assert_eq!(rows.len(), 4 * 5);
        assert_eq!(rows[10..15], [asinh(4.0), asinh(2.0), 0.0, asinh(2.0), asinh(2.0)]);
        assert_eq!(rows[15..20], [0.0, asinh(3.0), 0.0, asinh(3.0), 0.0], "NaN is 0");
        let few = embedder_points(&config(&channels, 2), data, None).expect("points").values;
        assert_eq!(few[5..10], [asinh(4.0), asinh(2.0), 0.0, 0.0, asinh(4.0)], "rows 0 and 2, residual without a best");
    }

    #[test]
    fn a_set_reads_numbers_as_they_are() {
        let x = Columns::from_rows(&[[0.5], [1e9]]);
        let data = Data { x: &x, y: &[0.5 + 1e-12, f64::NAN], semantics: Semantics::Ieee };
        let set = PointsConfig { n_variables: 3, ..PointsConfig::set() };
        let rows = embedder_points(&set, data, Some(&Expr::var(0))).expect("points").values;
        assert_eq!(rows[..4], [0.5, 0.0, 0.0, 0.5]);
        assert!((rows[4] - 1e-12).abs() < 1e-15, "the residual is what double precision leaves");
        assert_eq!(rows[5..8], [1e9, 0.0, 0.0]);
        assert!(rows[8].is_nan());
    }

    /// Returns the values of a channel, point by point.
    fn column(values: &[f32], width: usize, column: usize) -> Vec<f32> {
        values.chunks(width).map(|point| point[column]).collect()
    }

    #[test]
    fn own_numbers_stay_apart_whatever_their_size() {
        let table = |x: fn(f64) -> f64| Columns::from_fn(10, 1, move |row, _| x(row as f64));
        let tables: [fn(f64) -> f64; 5] = [
            |row| 1_700_000_001.0 + row,
            |row| (row + 1.0) * 1e-50,
            |row| (row + 1.0) * 1e300,
            |row| 0.1 + row * 1e-9,
            |row| 1e15 + 1.0 + row,
        ];
        for x in tables {
            let x = table(x);
            let y: Vec<f64> = (0..10).map(|row| 3e9 + 0.5 * f64::from(row)).collect();
            let data = Data { x: &x, y: &y, semantics: Semantics::Ieee };
            for config in
                [config(&[Channel::X, Channel::Y], 16), PointsConfig { n_variables: 2, ..PointsConfig::set() }]
            {
                let values = embedder_points(&config, data, None).expect("points").values;
                let width = config.width();
                for channel in [0, 2] {
                    let column = column(&values, width, channel);
                    assert!(column.is_sorted_by(|a, b| a < b), "{channel}: {column:?}");
                    // Ten equal steps around 0: ±4.5 divided by the standard deviation √8.25.
                    let last = f64::from(column[9]);
                    let expected = 4.5 / 8.25f64.sqrt();
                    let expected = if config.kind == PointEmbedding::E2e { expected.asinh() } else { expected };
                    assert!((last - expected).abs() < 1e-4, "{channel}: {last} {expected}");
                }
            }
        }
    }

    #[test]
    fn one_number_that_is_not_single_centres_the_table_and_none_leaves_it() {
        let config = PointsConfig { n_variables: 1, ..PointsConfig::set() }; // x, y, residual
        let with = |first: f64, best: Option<&Tree>| {
            let x = Columns::from_rows(&[[first], [2.0], [3.0]]);
            let data = Data { x: &x, y: &[10.0, 20.0, 60.0], semantics: Semantics::Ieee };
            embedder_points(&config, data, best).expect("points").values
        };
        let best = Expr::var(0);
        assert_eq!(with(0.5, Some(&best)), [0.5, 10.0, 9.5, 2.0, 20.0, 18.0, 3.0, 60.0, 57.0]);
        let found = with(0.1, Some(&best));
        // y has mean 30 and variance 1400 / 3; the residual is scaled like y and not centred.
        let scale = (1400.0f64 / 3.0).sqrt();
        for (found, expected) in [(found[1], -20.0 / scale), (found[7], 30.0 / scale), (found[5], 18.0 / scale)] {
            assert!((f64::from(found) - expected).abs() < 1e-6, "{found} {expected}");
        }
        let alone = with(0.1, None);
        assert_eq!(alone[1], alone[2], "without a best the residual is y");
        // A constant column becomes 0.
        let x = Columns::from_rows(&[[0.1, 7.0], [0.2, 7.0]]);
        let data = Data { x: &x, y: &[1.0, 2.0], semantics: Semantics::Ieee };
        let set = PointsConfig { n_variables: 2, ..PointsConfig::set() };
        assert_eq!(column(&embedder_points(&set, data, None).expect("points").values, 4, 1), [0.0, 0.0]);
    }

    #[test]
    fn marks_tell_what_a_subtree_has_to_do_with_the_target() {
        let x = Columns::from_rows(&[[0.0, 1.0], [1.0, -1.0], [2.0, -1.0], [3.0, 1.0]]);
        let y: Vec<f64> = (0..4).map(|row| 2.0 * x.column(0)[row] + x.column(1)[row]).collect();
        let data = Data { x: &x, y: &y, semantics: Semantics::Ieee };
        let population = ["x0 + x0", "x1 * 0.0", "neg(x1)"].map(|text| text.parse::<Expr>().expect(text));
        let primitives = PrimitiveSet::new(vec![sr_expr::Op::Add], vec![0.0], 2).expect("primitives");
        let state = PromptState::new(0, &primitives, population.iter().map(|e| &**e).zip([1.0, 2.0, 3.0]));
        let marks = vec![Mark::CorrelationY, Mark::CorrelationResidual];
        let language = Language { marks, ..Language::default() };
        assert_eq!(language.n_marks(), 34);
        let writer = InputWriter::new(&ModelConfig::micro(512), &language);
        let (prompt, _) = writer.one_step(&state, data, Some(&population[0])).expect("an input");
        assert_eq!(prompt.marks.len(), 2 * prompt.tokens.len());
        let tokens = sr_prompt::individual_ranges(&prompt.tokens).map(|at| &prompt.marks[2 * at.start..2 * at.end]);
        let found: Vec<Vec<(i32, i32)>> =
            tokens.map(|marks| marks.chunks(2).map(|pair| (pair[0], pair[1] - 17)).collect()).collect();
        // r(x0, y) is 0.91, r(x1, y) 0.41; the residual of x0 + x0 is x1, which is not correlated with x0.
        assert_eq!(found[0], [(5, 1); 4], "error, +, x0, x0");
        assert_eq!(found[1], [(17, 17), (17, 17), (2, 8), (17, 17)], "a constant goes with nothing");
        assert_eq!(found[2], [(10, 16), (10, 16), (2, 8)]);
    }

    #[test]
    fn too_many_variables_are_an_error() {
        let x = Columns::new(1, 3, vec![0.0; 3]);
        let data = Data { x: &x, y: &[0.0], semantics: Semantics::Ieee };
        let error = embedder_points(&config(&[Channel::X], 4), data, None).expect_err("three variables");
        assert!(error.to_string().contains("3 variables") && error.to_string().contains("`set`"), "{error}");
        assert!(embedder_points(&config(&[Channel::Y], 4), data, None).is_ok());
    }

    #[test]
    fn the_fittest_is_the_first_among_equals() {
        let forms: Vec<Expr> = (0..3).map(Expr::var).collect();
        assert_eq!(fittest_tree(forms.iter().map(|e| &**e).zip([1.0, 2.0, 2.0])), Some(&*forms[1]));
        assert_eq!(fittest_tree([]), None);
    }
}
