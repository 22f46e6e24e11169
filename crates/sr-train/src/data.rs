//! Converts corpora and problem sets to tokens.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sr_corpus::{Corpus, Example};
use sr_expr::Semantics;
use sr_neural::{Data, InputWriter, Language, fittest_tree};
use sr_prompt::{Actions, Condition, ConstantStyle, Context, EditWriter, Token, encode_target, encode_template};

use crate::examples::Source;
use crate::{Error, Examples, Mode, RunConfig};

/// The purpose of examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Examples to learn from.
    Training,
    /// Examples to measure on. If targets are whole formulas, the problems are kept to measure how well predictions
    /// fit.
    Validation,
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Split::Training => "training",
            Split::Validation => "validation",
        }
    }
}

/// Reads corpora as examples for a run of these settings, and returns them with their language, whose context is that
/// of the corpora. Prompts are written by the same code as in searches.
///
/// The problem set of a corpus is the one of `problems` with the name in the corpus's header. If `problems` is a single
/// file, that one is used whatever its name. Otherwise it is looked for beside the corpus.
///
/// Gives the examples and their language, whose context is the corpora's.
///
/// # Errors
/// If a file is missing, damaged or of another mode, the corpora differ in their context, a problem has too many
/// variables, there are no examples, or none of a condition that has a share of training.
pub fn load_examples(
    corpora: &[PathBuf],
    problems: &[PathBuf],
    config: &RunConfig,
    split: Split,
) -> Result<(Examples, Language), Error> {
    let mut reading = Reading::new(config, split);
    for path in corpora {
        reading.corpus(path, |header| choose(problems, header).map(Path::to_owned), |_| true)?;
    }
    let (mut examples, language) = reading.finish()?;
    if let Some(shares) = config.training.shares {
        let there = examples.set_shares(shares);
        if let (Split::Training, Err(missing)) = (split, there) {
            return Err(Error::NoStates { condition: missing.name() });
        }
    }
    Ok((examples, language))
}

/// Returns the problem sets of `problems` that [`load_examples`] uses for none of the corpora.
///
/// # Errors
/// If a corpus cannot be opened.
pub fn unused_problems<'a>(corpora: &[PathBuf], problems: &'a [PathBuf]) -> Result<Vec<&'a Path>, Error> {
    let names = corpora.iter().map(|path| Ok(Corpus::open(path)?.header().problems.clone()));
    let names = names.collect::<Result<Vec<String>, Error>>()?;
    let used: HashSet<&Path> = names.iter().filter_map(|name| choose(problems, name)).collect();
    Ok(problems.iter().map(PathBuf::as_path).filter(|path| !used.contains(path)).collect())
}

/// Reads the states of corpora that were drawn from a buffer. Each epoch consists of the draws in their order.
///
/// - corpora: each corpus with its problem set
/// - drawn: the number of a corpus and of a state in it, from 0; a state may be drawn several times
///
/// # Errors
/// Those of [`load_examples`]. States whose prompts or targets do not fit the model are skipped, without an error.
pub fn load_drawn_examples(
    corpora: &[(PathBuf, PathBuf)],
    drawn: &[(u32, u32)],
    config: &RunConfig,
) -> Result<(Examples, Language), Error> {
    let wanted: HashSet<(u32, u32)> = drawn.iter().copied().collect();
    let mut reading = Reading::new(config, Split::Training);
    let mut places: HashMap<(u32, u32), u32> = HashMap::with_capacity(wanted.len());
    for (corpus, (path, problems)) in (0..).zip(corpora) {
        let wants = |state: u32| wanted.contains(&(corpus, state));
        for (state, place) in reading.corpus(path, |_| Some(problems.clone()), wants)? {
            places.insert((corpus, state), place);
        }
    }
    let order: Vec<u32> = drawn.iter().filter_map(|row| places.get(row).copied()).collect();
    let (mut examples, language) = reading.finish()?;
    examples.set_order(order);
    Ok((examples, language))
}

/// Corpora that are being read.
struct Reading<'a> {
    config: &'a RunConfig,
    split: Split,
    examples: Examples,
    context: Option<Context>,
}

impl<'a> Reading<'a> {
    fn new(config: &'a RunConfig, split: Split) -> Self {
        let mut examples = Examples::new(&config.model);
        examples.set_actions(config.language.actions);
        Reading { config, split, examples, context: None }
    }

    /// Adds the wanted states of a corpus. Returns their numbers in the corpus and among the examples.
    fn corpus(
        &mut self,
        path: &Path,
        problems: impl FnOnce(&str) -> Option<PathBuf>,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<Vec<(u32, u32)>, Error> {
        let Reading { config, split, examples, context } = self;
        let mode = config.mode;
        let corpus = Corpus::open(path)?;
        let (expected, found) = (mode.name(), corpus.header().mode.name());
        if found != expected {
            return Err(Error::Mode { path: path.to_owned(), expected, found });
        }
        let found = corpus.header().context;
        let expected: Context = *context.get_or_insert(found);
        if found != expected {
            return Err(Error::Context { path: path.to_owned(), expected: expected.name(), found: found.name() });
        }
        let fitness = corpus.header().target_fitness;
        if examples.n_states() > 0 && examples.target_fitness() != fitness {
            return Err(Error::Fitness { path: path.to_owned() });
        }
        examples.set_target_fitness(fitness);
        let inputs = InputWriter::new(&config.model, &config.language.with(found));
        // The best individual's point channels are evaluated as in the searches.
        let searched = if corpus.header().ieee { Semantics::Ieee } else { Semantics::Protected };
        let set = Arc::new(corpus.problems(problems(&corpus.header().problems).as_deref())?);
        let mut places = Vec::new();
        for (number, example) in (0..).zip(corpus) {
            let example = example?;
            if !wanted(number) {
                continue;
            }
            let problem = set.get(example.problem())?;
            let data = Data { x: &problem.x, y: &problem.y, semantics: searched };
            let place = examples.n_states() as u32;
            push(examples, &inputs, &example, data, config.language.constants)?;
            if examples.n_states() as u32 > place {
                places.push((number, place));
            }
            // The fit is only measured if a target is a formula by itself.
            let is_formula = mode == Mode::Direct || mode == Mode::OneStep && examples.actions() == Actions::Expression;
            if *split == Split::Validation && is_formula {
                // In mode direct the data are IEEE values of the problem's own formula; otherwise a child is judged as
                // in its search.
                let semantics = if mode == Mode::Direct { Semantics::Ieee } else { searched };
                examples.set_source(&Source { set: set.clone(), problem: example.problem().clone(), semantics });
            }
        }
        Ok(places)
    }

    fn finish(self) -> Result<(Examples, Language), Error> {
        if self.examples.n_states() == 0 {
            return Err(Error::Empty { split: self.split.name() });
        }
        Ok((self.examples, self.config.language.with(self.context.unwrap_or_default())))
    }
}

fn push(
    examples: &mut Examples,
    inputs: &InputWriter,
    example: &Example,
    data: Data<'_>,
    style: ConstantStyle,
) -> Result<(), Error> {
    let constants = example.problem().primitives.constants();
    match example {
        Example::OneStep(state) => {
            let best = fittest_tree(state.population.iter().map(|i| (&**i.expr, i.fitness)));
            let (prompt, slots) = inputs.one_step(&state.prompt_state(), data, best)?;
            let edits = (examples.actions() == Actions::Edit).then(|| EditWriter::new(&slots, constants, style));
            let encode = |tree| match &edits {
                Some(edits) => edits.encode(tree),
                None if style == ConstantStyle::Placeholders => encode_template(tree, constants),
                None => encode_target(tree, constants),
            };
            let ids = state.targets.iter().map(|target| Ok((encode(&target.expr)?, target.weight)));
            let ids = ids.collect::<Result<Vec<_>, Error>>()?;
            let targets = ids.iter().map(|(ids, weight)| (&ids[..], *weight));
            examples.push(&prompt, Token::Condition(state.condition), targets)
        }
        Example::Direct(direct) => {
            let prompt = inputs.direct(&direct.problem.primitives, data)?;
            let ids = encode_target(&direct.target, constants)?;
            examples.push(&prompt, Token::Condition(Condition::Target), [(&ids[..], 1.0)])
        }
        Example::Autoregressive(state) => {
            let best = fittest_tree(state.population.iter().map(|i| (&**i.expr, i.fitness)));
            let (prompt, _) = inputs.one_step(&state.prompt_state(), data, best)?;
            let ids = state.encode_generation(examples.target_fitness() == Some(true))?;
            examples.push(&prompt, Token::Condition(state.condition), [(&ids[..], 1.0)])
        }
    }
}

fn choose<'a>(problems: &'a [PathBuf], name: &str) -> Option<&'a Path> {
    let named = problems.iter().find(|path| path.file_name().is_some_and(|file| file == name));
    match problems {
        [only] => Some(only),
        _ => named.map(PathBuf::as_path),
    }
}
