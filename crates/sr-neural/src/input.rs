//! What the model reads: the prompt's tokens and the points before it. Training and search share this code.

use sr_engine::{PrimitiveSet, State};
use sr_expr::{Columns, Semantics, Tree};
use sr_model::{Channel, ModelConfig, PointEmbedding, Points, PointsConfig, Population, Prompt};
use sr_prompt::{Context, PromptState, PromptWriter};

use crate::Error;

/// The data of a problem, and how its search evaluates.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// `[rows, variables]`
    pub x: &'a Columns,
    /// `[rows]`
    pub y: &'a [f64],
    /// Guarded or plain operators, for the predictions of the best individual.
    pub semantics: Semantics,
}

/// Writes the inputs of one model.
#[derive(Debug, Clone)]
pub struct InputWriter {
    prompts: PromptWriter,
    points: Option<PointsConfig>,
    population: Population,
}

/// Positions kept free for a child: the largest one and its end.
const ROOM_FOR_CHILD: usize = 256;

impl InputWriter {
    /// The writer for models of this shape whose prompts tell `context`.
    pub fn new(config: &ModelConfig, context: Context) -> Self {
        let default = PromptWriter::default().max_tokens;
        let max_tokens = match config.population {
            Population::Text => default.min(config.n_positions.saturating_sub(ROOM_FOR_CHILD)),
            Population::Apart => default, // positions begin anew in each individual
        };
        let prompts = PromptWriter { max_tokens, context, ..PromptWriter::default() };
        InputWriter { prompts, points: config.points.clone(), population: config.population }
    }

    /// The input of a state in a search.
    ///
    /// # Errors
    /// If the problem has more variables than the language or the embedder has room for.
    pub fn state(&self, state: &State<'_>) -> Result<Prompt, Error> {
        let data = Data { x: state.instance.x(), y: state.instance.y(), semantics: state.semantics() };
        let best = fittest(state.population.iter().map(|i| (i.tree, i.score.fitness as f32)));
        self.one_step(&PromptState::of(state), data, best)
    }

    /// The input of a state, recorded or live. `best` is the [`fittest`] of the population.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn one_step(&self, state: &PromptState<'_>, data: Data<'_>, best: Option<&Tree>) -> Result<Prompt, Error> {
        let tokens = self.prompts.write(state, data.x, data.y)?;
        let individuals = match self.population {
            Population::Text => Vec::new(),
            Population::Apart => bounds(&tokens),
        };
        Ok(Prompt { tokens, individuals, points: self.points(data, best)? })
    }

    /// The input for writing a formula from the data alone.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn direct(&self, primitives: &PrimitiveSet, data: Data<'_>) -> Result<Prompt, Error> {
        let tokens = self.prompts.write_direct(primitives, data.x, data.y)?;
        Ok(Prompt { tokens, individuals: Vec::new(), points: self.points(data, None)? })
    }

    fn points(&self, data: Data<'_>, best: Option<&Tree>) -> Result<Option<Points>, Error> {
        self.points.as_ref().map(|config| points(config, data, best)).transpose()
    }
}

/// Where the individuals of a prompt begin, and where the last one ends; empty if there are none.
fn bounds(tokens: &[i32]) -> Vec<u32> {
    let mut bounds = Vec::new();
    for individual in sr_prompt::individuals(tokens) {
        if bounds.is_empty() {
            bounds.push(individual.start as u32);
        }
        bounds.push(individual.end as u32);
    }
    bounds
}

/// The fittest of a population, the first among equals. Fitness is f32 as in traces, so that a live state and its
/// record agree.
pub fn fittest<'a>(population: impl IntoIterator<Item = (&'a Tree, f32)>) -> Option<&'a Tree> {
    let mut best: Option<(&Tree, f32)> = None;
    for (tree, fitness) in population {
        if best.is_none_or(|(_, highest)| fitness > highest) {
            best = Some((tree, fitness));
        }
    }
    best.map(|(tree, _)| tree)
}

/// The point channels of a problem, at most `config.n_points` rows of it: all of them or that many, evenly spaced from
/// the first on. Without `best` its channels are 0, but for the residual, which is then y itself.
///
/// For `e2e` values enter as `asinh(v)`: linear near 0 and logarithmic far away (1e18 becomes 42), the same for every
/// problem, as normalising each problem apart hurt the original. NaN becomes 0. For `set` they enter as they are, in f32:
/// the model takes them apart itself, whatever their scale.
///
/// # Errors
/// If the problem has more variables than channel X has columns.
pub fn points(config: &PointsConfig, data: Data<'_>, best: Option<&Tree>) -> Result<Points, Error> {
    let n_variables = data.x.n_columns();
    if config.channels.contains(&Channel::X) && n_variables > config.n_variables {
        return Err(Error::TooManyVariables { found: n_variables, max: config.n_variables });
    }
    let n_rows = data.y.len();
    let n_points = config.n_points.min(n_rows);
    let rows: Vec<usize> = (0..n_points).map(|point| point * n_rows / n_points).collect();
    let chosen = (0..n_variables).flat_map(|column| rows.iter().map(move |&row| data.x.column(column)[row]));
    let x = Columns::new(n_points, n_variables, chosen.collect());
    let predicted = match best {
        Some(best) => sr_expr::predict(best, &x, data.semantics),
        None => vec![0.0; n_points],
    };
    let number = match config.kind {
        PointEmbedding::E2e => squash,
        PointEmbedding::Set => |value| value as f32,
    };
    let width = config.width();
    let mut values = vec![0.0; n_points * width];
    for (channel, columns) in config.columns() {
        for (point, out) in values.chunks_mut(width).enumerate() {
            let out = &mut out[columns.clone()];
            let y = data.y[rows[point]];
            match channel {
                Channel::X => (0..n_variables).for_each(|column| out[column] = number(x.column(column)[point])),
                Channel::Y => out[0] = number(y),
                Channel::BestPrediction => out[0] = number(predicted[point]),
                Channel::BestResidual => out[0] = number(y - predicted[point]),
            }
        }
    }
    Ok(Points { values })
}

/// Far beyond the asinh of any number that a search works with.
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
        let rows = points(&config(&channels, 8), data, Some(&best)).expect("points").values;
        assert_eq!(rows.len(), 4 * 5);
        assert_eq!(rows[10..15], [asinh(4.0), asinh(2.0), 0.0, asinh(2.0), asinh(2.0)]);
        assert_eq!(rows[15..20], [0.0, asinh(3.0), 0.0, asinh(3.0), 0.0], "NaN is 0");
        let few = points(&config(&channels, 2), data, None).expect("points").values;
        assert_eq!(few[5..10], [asinh(4.0), asinh(2.0), 0.0, 0.0, asinh(4.0)], "rows 0 and 2, residual without a best");
    }

    #[test]
    fn a_set_reads_numbers_as_they_are() {
        let x = Columns::from_rows(&[[0.5], [1e9]]);
        let data = Data { x: &x, y: &[0.5 + 1e-12, f64::NAN], semantics: Semantics::Ieee };
        let set = PointsConfig { n_variables: 3, ..PointsConfig::set() };
        let rows = points(&set, data, Some(&Expr::var(0))).expect("points").values;
        assert_eq!(rows[..4], [0.5, 0.0, 0.0, 0.5]);
        assert!((rows[4] - 1e-12).abs() < 1e-15, "the residual is what double precision leaves");
        assert_eq!(rows[5..8], [1e9, 0.0, 0.0]);
        assert!(rows[8].is_nan());
    }

    #[test]
    fn too_many_variables_are_an_error() {
        let x = Columns::new(1, 3, vec![0.0; 3]);
        let data = Data { x: &x, y: &[0.0], semantics: Semantics::Ieee };
        let error = points(&config(&[Channel::X], 4), data, None).expect_err("three variables");
        assert!(error.to_string().contains("3 variables") && error.to_string().contains("`set`"), "{error}");
        assert!(points(&config(&[Channel::Y], 4), data, None).is_ok());
    }

    #[test]
    fn the_fittest_is_the_first_among_equals() {
        let forms: Vec<Expr> = (0..3).map(Expr::var).collect();
        assert_eq!(fittest(forms.iter().map(|e| &**e).zip([1.0, 2.0, 2.0])), Some(&*forms[1]));
        assert_eq!(fittest([]), None);
    }
}
