//! The learner as a policy.

use std::collections::HashSet;
use std::path::Path;

use burn::tensor::Device;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use sr_engine::random::Purpose;
use sr_engine::{Child, Edit, Expert, Origin, Parents, Policy, PolicyError, Request, State, likely_parents};
use sr_expr::Expr;
use sr_model::{Channel, Checkpoint, DecodeRequest, Decoder, Free, ModelConfig, Points, Prompt, Sample};
use sr_prompt::{
    Actions, Condition, Conditions, ConstantStyle, FreeConstants, Grammar, GrammarLimits, GrammarState, Rules, Slots,
    Token,
};
use strum::IntoStaticStr;

use crate::input::room_for_child;
use crate::{CheckpointMeta, Data, Error, InputWriter, Language, shipped};

/// The mode of a learner: what it writes at a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum LearnerMode {
    /// One child per text; all texts of a state have the same prompt.
    OneStep,
    /// The whole next generation as one text.
    Autoregressive {
        /// Whether an error follows each expression.
        errors: bool,
    },
    /// One formula per text, from the data alone: every generation is drawn anew, whatever the population.
    Direct,
}

impl LearnerMode {
    /// Returns the name in files and flags.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the condition with which texts begin by default.
    pub(crate) fn condition(self) -> Condition {
        match self {
            LearnerMode::OneStep | LearnerMode::Autoregressive { .. } => Condition::All,
            LearnerMode::Direct => Condition::Target,
        }
    }
}

/// The settings of sampling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Divisor of the logits; 0 takes the likeliest token. The default is 0.8, as in the original.
    pub temperature: f64,
    /// Number of likeliest tokens to draw from; `None` for all.
    pub top_k: Option<usize>,
    /// Draws from the fewest tokens that hold this much probability; `None` for all.
    pub top_p: Option<f64>,
    /// Whether the texts of a state's children must differ, see [`DecodeRequest::distinct`]. Different texts may still
    /// be the same expression, or edits with the same result; [`SearchConfig::unique`](sr_engine::SearchConfig::unique)
    /// includes this and excludes those too, with all expressions that the search has met. It is an error for a learner
    /// that writes one text per state.
    pub distinct: bool,
    /// The most nodes of a child; it may exceed the expert's limit.
    pub max_child_size: usize,
    /// The most positions in one model call; larger batches are split, with the same results. `None` suits the device.
    pub max_batch_tokens: Option<usize>,
    /// The conditions to ask for, with their shares of a state's children. `None` is the mode's default or, if the
    /// checkpoint has not learned that, the highest that it has learned.
    pub conditions: Option<Conditions>,
    /// The rules of the grammar, which allows only legal texts. `None` lets the model write freely; a text that is not
    /// an expression of the problem's primitives is then replaced by the expert.
    pub grammar: Option<Rules>,
    /// What each state is read with of the state half a batch away. This is a check of what the model makes of its inputs:
    /// one that uses them searches worse then. Children depend on the batch.
    pub swap: Option<Swap>,
}

/// An input that states of a batch exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Swap {
    /// The points of the data.
    Points,
    /// The population: the texts of all individuals with their marks. An edit that is written for another population is
    /// made to the individual that stands in the same place of the state's own one; the grammar keeps it legal there.
    Populations,
}

impl Swap {
    /// Returns the name in files and flags.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            temperature: 0.8,
            top_k: None,
            top_p: None,
            distinct: false,
            max_child_size: 63,
            max_batch_tokens: None,
            conditions: None,
            grammar: Some(Rules::default()),
            swap: None,
        }
    }
}

impl Sampling {
    /// Checks all settings, and the sizes against the model's positions. [`Learner::load`] does this too.
    ///
    /// # Errors
    /// [`Error::Sampling`], naming the first flag that is out of range.
    pub fn validate(&self, config: &ModelConfig, actions: Actions) -> Result<(), Error> {
        let fail = |flag, found: &dyn ToString, expected: String| {
            Err(Error::Sampling { flag, found: found.to_string(), expected })
        };
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return fail("--temperature", &self.temperature, "a finite number of at least 0".to_owned());
        }
        if let Some(k @ 0) = self.top_k {
            return fail("--top-k", &k, "at least 1; leave it out for all tokens".to_owned());
        }
        if let Some(p) = self.top_p.filter(|&p| !(p > 0.0 && p <= 1.0)) {
            return fail("--top-p", &p, "a number in (0, 1]".to_owned());
        }
        if self.temperature == 0.0 {
            let none = || "none with --temperature 0, which takes the likeliest token".to_owned();
            if let Some(k) = self.top_k {
                return fail("--top-k", &k, none());
            }
            if let Some(p) = self.top_p {
                return fail("--top-p", &p, none());
            }
        }
        if let Some(n @ 0) = self.max_batch_tokens {
            return fail("--max-batch-tokens", &n, "at least 1".to_owned());
        }
        // Beside its nodes a text has an end, and an edit has an address.
        let beside = 1 + address(actions);
        let room = room_for_child(config);
        let most = room.saturating_sub(beside);
        if !(1..=most).contains(&self.max_child_size) {
            let expected = format!("1 to {most}, for the model has {} positions", config.n_positions);
            return fail("--max-child-size", &self.max_child_size, expected);
        }
        let steps = (1 << STEP_BITS) / DecodeRequest::MAX_WAVES;
        if self.distinct && self.max_child_size > steps - beside {
            let expected = format!("1 to {} with --distinct", steps - beside);
            return fail("--max-child-size", &self.max_child_size, expected);
        }
        Ok(())
    }
}

/// Returns the number of tokens that say which individual a text edits.
fn address(actions: Actions) -> usize {
    if actions == Actions::Edit { 3 } else { 0 }
}

/// Returns the id of a checkpoint: the first 64 bits of the SHA-256 of its configuration and weights, in hexadecimal.
/// The path is a folder, or the name of a [shipped](crate::shipped) model.
///
/// # Errors
/// If one of the files cannot be read.
pub fn checkpoint_id(dir: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    match shipped::files(dir) {
        Some(files) => [files.config.as_bytes(), files.weights].into_iter().for_each(|bytes| hash.update(bytes)),
        None => {
            for path in [dir.join("config.json"), sr_model::weights_file(dir)] {
                hash.update(std::fs::read(path)?);
            }
        }
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// A transformer that proposes the next generation: all offspring of all states in one batch.
///
/// A text that is not exactly one expression of the problem's primitives with at most `max_child_size` nodes is
/// replaced by the expert's child of the same slot, with [`Origin::Fallback`]. With a grammar this happens only if
/// children must be distinct and there are too few texts. Other children that do not name their parents get those of
/// [`likely_parents`].
#[derive(Debug, Clone)]
pub struct Learner {
    decoder: Decoder,
    inputs: InputWriter,
    actions: Actions,
    constants: ConstantStyle,
    mode: LearnerMode,
    sampling: Sampling,
    written: Written,
}

/// The counts of what a learner has read and written.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Written {
    /// Positions of prompts, including points.
    pub read: u64,
    /// Texts: children, or whole generations.
    pub texts: u64,
    /// Tokens of these texts, including `<eos>`.
    pub tokens: u64,
    log_legal: f64,
}

impl Written {
    /// Returns the probability that the model gave to tokens its grammar allowed: the geometric mean over all tokens,
    /// in (0, 1]; `None` before the first token.
    pub fn legal_mass(&self) -> Option<f64> {
        (self.tokens > 0).then(|| libm::exp(self.log_legal / self.tokens as f64))
    }

    fn add(&mut self, sample: &Sample) {
        if sample.is_missing() {
            return;
        }
        self.texts += 1;
        self.tokens += sample.tokens.len() as u64 + u64::from(sample.finished);
        self.log_legal += f64::from(sample.log_legal);
    }
}

/// The grammars of the states.
struct Grammars(Vec<Grammar>);

impl sr_model::Constraint for Grammars {
    type Child = GrammarState;

    fn start(&self, state: usize) -> GrammarState {
        self.0[state].start()
    }

    fn mask(&self, state: usize, child: &GrammarState, allowed: &mut [bool]) {
        self.0[state].mask(child, allowed);
    }

    fn advance(&self, state: usize, child: &mut GrammarState, token: i32) {
        self.0[state].advance(child, token);
    }
}

impl Learner {
    /// Loads a checkpoint folder, or the [shipped](crate::shipped) model of that name.
    ///
    /// # Errors
    /// If the folder cannot be read, has another vocabulary, or was trained for an unknown mode, context or language,
    /// or the sampling settings do not suit it.
    pub fn load(dir: &Path, device: &Device, sampling: Sampling) -> Result<Self, Error> {
        let checkpoint = match shipped::files(dir) {
            Some(files) => Checkpoint::of_files(files, device)?,
            None => Checkpoint::load(dir, device)?,
        };
        Learner::of_checkpoint(&checkpoint, sampling)
    }

    /// Returns the learner of a checkpoint in memory.
    ///
    /// # Errors
    /// If it has another vocabulary, or was trained for an unknown mode, context or language, or the sampling settings do
    /// not suit it.
    pub fn of_checkpoint(checkpoint: &Checkpoint, sampling: Sampling) -> Result<Self, Error> {
        sr_prompt::check_tokenizer(&checkpoint.tokenizer)?;
        let meta = CheckpointMeta::from_json(&checkpoint.meta)?;
        let (mode, language) = (meta.learner_mode(), &meta.language);
        check_distinct(mode, sampling)?;
        sampling.validate(checkpoint.model.config(), language.actions)?;
        check_swap(mode, checkpoint.model.config(), sampling.swap)?;
        let sampling = Sampling { conditions: Some(meta.conditions(sampling.conditions)?), ..sampling };
        Ok(Learner::new(Decoder::new(&checkpoint.model), mode, language, sampling))
    }

    /// Returns a learner with a model in memory that was trained in this language.
    pub fn new(decoder: Decoder, mode: LearnerMode, language: &Language, sampling: Sampling) -> Self {
        let inputs = InputWriter::new(decoder.model().config(), language);
        let Language { actions, constants, .. } = *language;
        Learner { decoder, inputs, actions, constants, mode, sampling, written: Written::default() }
    }

    /// Returns the sampling settings.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// Returns the conditions of the children that it is asked for.
    pub fn conditions(&self) -> Conditions {
        self.sampling.conditions.unwrap_or(self.mode.condition().into())
    }

    /// Returns the mode that it was trained for.
    pub fn mode(&self) -> LearnerMode {
        self.mode
    }

    /// Returns whether it writes constants whose values a search has to fit.
    pub fn writes_constants(&self) -> bool {
        self.constants == ConstantStyle::Placeholders
    }

    /// Checks that a problem has no more variables than the model reads.
    ///
    /// # Errors
    /// [`Error::TooManyVariables`] with both numbers.
    pub fn check_variables(&self, found: usize) -> Result<(), Error> {
        let points = self.decoder.model().config().points.as_ref();
        let of_points = points.filter(|points| points.channels.contains(&Channel::X)).map(|points| points.n_variables);
        let max = of_points.map_or(sr_prompt::VARIABLES, |max| max.min(sr_prompt::VARIABLES));
        if found > max { Err(Error::TooManyVariables { found, max }) } else { Ok(()) }
    }

    /// Returns the counts of what it has read and written so far.
    pub fn written(&self) -> Written {
        self.written
    }

    /// Returns the texts of each state, `wanted` texts of one child or one text of that many children, and the
    /// individuals that edits can refer to.
    fn texts<'a>(&mut self, states: &[State<'a>], wanted: &[usize]) -> Result<Vec<(Vec<Sample>, Slots<'a>)>, Error> {
        check_distinct(self.mode, self.sampling)?;
        let inputs: Vec<_> = states.par_iter().map(|state| self.input(state)).collect::<Result<_, _>>()?;
        let (mut prompts, slots): (Vec<Prompt>, Vec<Slots<'a>>) = inputs.into_iter().unzip();
        if let Some(swap) = self.sampling.swap {
            exchange(swap, &mut prompts);
        }
        let config = self.decoder.model().config();
        let positions = |prompt: &Prompt| prompt.tokens.len() + prompt.n_prefix(config);
        self.written.read += prompts.iter().map(positions).sum::<usize>() as u64;
        let one_each = vec![1; states.len()];
        let is_unique = states.iter().any(|state| state.config.unique) && self.writes_children();
        let start = |condition| Token::Condition(condition).id();
        let starts: Vec<Vec<i32>> =
            wanted.iter().map(|&n| self.conditions().of_children(n).into_iter().map(start).collect()).collect();
        let is_mixed = self.conditions().iter().count() > 1 && self.writes_children();
        let first = self.conditions().iter().next().map_or(self.mode.condition(), |(condition, _)| condition);
        // Children that the search has met are left out while texts are drawn. To refuse them afterwards is the same
        // distribution, and takes many times as long in a population that has converged.
        let identity = |state: usize, text: &Sample| {
            let child = self.child(&states[state], text, &slots[state])?;
            let identity = states[state].config.identity(&child.expr);
            (!states[state].seen.contains(&identity)).then_some(identity)
        };
        let (siblings, max_new_tokens) = match self.mode {
            LearnerMode::OneStep => {
                // The largest child, written as an edit, also has its address.
                (wanted, self.sampling.max_child_size + 1 + address(self.actions))
            }
            LearnerMode::Direct => (wanted, self.sampling.max_child_size + 1),
            LearnerMode::Autoregressive { .. } => {
                let room = prompts.iter().map(Prompt::next_position).max().unwrap_or(0);
                let room = self.decoder.model().config().n_positions.saturating_sub(room);
                let individuals =
                    states.iter().zip(wanted).map(|(state, n)| n + state.config.elitism).max().unwrap_or(0);
                let most = individuals * (self.sampling.max_child_size + 1) + 1;
                (&one_each[..], most.min(room))
            }
        };
        let request = DecodeRequest {
            max_new_tokens,
            temperature: self.sampling.temperature,
            top_k: self.sampling.top_k,
            top_p: self.sampling.top_p,
            distinct: self.sampling.distinct || is_unique,
            identity: is_unique.then_some(&identity),
            starts: is_mixed.then_some(&starts),
            max_batch_tokens: self.sampling.max_batch_tokens,
            stop: states.iter().find_map(|state| state.stop),
            feature: match self.mode {
                LearnerMode::OneStep => self.actions.feature(),
                LearnerMode::Autoregressive { .. } => sr_prompt::generation_feature,
                LearnerMode::Direct => sr_prompt::target_feature,
            },
            ..DecodeRequest::new(&prompts, siblings, start(first), Token::Eos.id())
        };
        if request.max_steps() > 1 << STEP_BITS {
            let most = (1 << STEP_BITS) / DecodeRequest::MAX_WAVES;
            return Err(Error::Distinct { reason: format!("texts of {max_new_tokens} tokens are longer than {most}") });
        }
        // Each child has its own random stream, and each token a block of it, so no draw depends on the rest of the
        // batch.
        let uniform = |state: usize, sibling: usize, step: usize| {
            let key = states[state].key;
            let key = sr_engine::random::Key { purpose: Purpose::Learner, ..key };
            key.slot(sibling as u32).draw(key.draw << STEP_BITS | step as u32).rng().unit()
        };
        let texts = match self.sampling.grammar {
            Some(rules) => {
                let of_state = |((state, slots), &n)| self.grammar(state, slots, n, max_new_tokens, rules);
                let grammars = states.par_iter().zip(&slots).zip(wanted).map(of_state);
                self.decoder.decode(&request, &uniform, &Grammars(grammars.collect::<Result<_, _>>()?))?
            }
            None => self.decoder.decode(&request, &uniform, &Free)?,
        };
        Ok(texts.into_iter().zip(slots).collect())
    }

    /// Returns the input of a state, and the individuals that edits can refer to.
    fn input<'a>(&self, state: &State<'a>) -> Result<(Prompt, Slots<'a>), Error> {
        if self.mode != LearnerMode::Direct {
            return self.inputs.state(state);
        }
        let instance = state.instance;
        let data = Data { x: instance.x(), y: instance.y(), semantics: state.semantics() };
        Ok((self.inputs.direct(instance.primitives(), data)?, Slots::default()))
    }

    fn grammar(
        &self,
        state: &State<'_>,
        slots: &Slots<'_>,
        wanted: usize,
        max_tokens: usize,
        rules: Rules,
    ) -> Result<Grammar, Error> {
        let limits = GrammarLimits {
            max_size: self.sampling.max_child_size,
            max_tokens,
            free_constants: match self.writes_placeholders(state) {
                true => FreeConstants::Placeholders,
                // The expert of the reference has the listed constants only.
                false => FreeConstants::Forbidden,
            },
            ..GrammarLimits::default()
        };
        let primitives = state.instance.primitives();
        Ok(match self.mode {
            LearnerMode::OneStep if self.actions == Actions::Edit => Grammar::edits(primitives, limits, rules, slots)?,
            LearnerMode::OneStep | LearnerMode::Direct => Grammar::new(primitives, limits, rules)?,
            LearnerMode::Autoregressive { errors } => {
                Grammar::generation(primitives, limits, rules, wanted + state.config.elitism, errors)?
            }
        })
    }

    /// Returns whether the constants of children are placeholders: the model writes them so, and the search fits them.
    fn writes_placeholders(&self, state: &State<'_>) -> bool {
        let is_fitted = state.config.fitting.is_some_and(|fitting| fitting.steps > 0);
        self.constants == ConstantStyle::Placeholders && is_fitted
    }

    /// Returns whether a text is one child.
    fn writes_children(&self) -> bool {
        !matches!(self.mode, LearnerMode::Autoregressive { .. })
    }

    /// Parses a text that is one child; `None` for one that is not.
    fn child(&self, state: &State<'_>, text: &Sample, slots: &Slots<'_>) -> Option<Proposal> {
        let (primitives, max_size) = (state.instance.primitives(), self.sampling.max_child_size);
        if !text.finished {
            return None;
        }
        let log_prob = Some(text.log_prob);
        if self.actions == Actions::Edit && self.mode == LearnerMode::OneStep {
            let read = sr_prompt::decode_edit(&text.tokens, slots, primitives, max_size).ok()?;
            return match read.edit {
                _ if !read.child.placeholders.is_empty() && !self.writes_placeholders(state) => None,
                None => Some(Proposal::whole(read.child.expr, state, log_prob)),
                edit => Some(Proposal { expr: read.child.expr, parents: read.parents, edit, log_prob }),
            };
        }
        let expr = match self.writes_placeholders(state) {
            true => sr_prompt::decode_template(&text.tokens, primitives, max_size).ok()?.expr,
            false => sr_prompt::decode_expression(&text.tokens, primitives, max_size).ok()?,
        };
        Some(match self.mode {
            // A direct learner has seen no individual.
            LearnerMode::Direct => Proposal { expr, parents: Parents::None, edit: None, log_prob },
            _ => Proposal::whole(expr, state, log_prob),
        })
    }

    /// Parses the texts of a state to children, slot by slot; `None` for a text that is not a child.
    fn children(&self, state: &State<'_>, texts: &[Sample], slots: &Slots<'_>) -> Vec<Option<Proposal>> {
        let (primitives, max_size) = (state.instance.primitives(), self.sampling.max_child_size);
        match self.mode {
            LearnerMode::OneStep | LearnerMode::Direct => {
                texts.iter().map(|text| self.child(state, text, slots)).collect()
            }
            LearnerMode::Autoregressive { .. } => {
                let decoded = texts.iter().flat_map(|t| sr_prompt::decode_generation(&t.tokens, primitives, max_size));
                // A generation begins with the elite, which the engine copies itself.
                let children = decoded.skip(state.config.elitism);
                children.map(|child| child.ok().map(|expr| Proposal::whole(expr, state, None))).collect()
            }
        }
    }
}

/// The number of bits of a stream's draw that count tokens; the higher bits are the engine's attempt.
const STEP_BITS: u32 = 16;

/// Fails if children must be distinct in a mode where they are not texts of their own.
fn check_distinct(mode: LearnerMode, sampling: Sampling) -> Result<(), Error> {
    match mode {
        LearnerMode::Autoregressive { .. } if sampling.distinct => {
            let reason = "a learner of mode autoregressive writes all children of a state as one text".into();
            Err(Error::Distinct { reason })
        }
        _ => Ok(()),
    }
}

/// Fails if an input is swapped that the learner does not have.
fn check_swap(mode: LearnerMode, config: &ModelConfig, swap: Option<Swap>) -> Result<(), Error> {
    let reads = match swap {
        Some(Swap::Points) => config.points.is_some(),
        Some(Swap::Populations) => mode != LearnerMode::Direct,
        None => true,
    };
    match swap {
        Some(swap) if !reads => {
            let expected = format!("something that this learner reads, which has no {}", swap.name());
            Err(Error::Sampling { flag: "--swap", found: swap.name().to_owned(), expected })
        }
        _ => Ok(()),
    }
}

/// Gives each prompt one input of the prompt half a batch away.
fn exchange(swap: Swap, prompts: &mut [Prompt]) {
    if prompts.is_empty() {
        return;
    }
    // Searches of one problem stand side by side.
    let distance = prompts.len().div_ceil(2) % prompts.len();
    if swap == Swap::Populations {
        prompts.rotate_left(distance);
    }
    // After the whole prompts the points go back.
    let mut points: Vec<Option<Points>> = prompts.iter_mut().map(|prompt| prompt.points.take()).collect();
    match swap {
        Swap::Points => points.rotate_left(distance),
        Swap::Populations => points.rotate_right(distance),
    }
    prompts.iter_mut().zip(points).for_each(|(prompt, points)| prompt.points = points);
}

/// A child parsed from a text.
#[derive(Clone)]
struct Proposal {
    expr: Expr,
    parents: Parents,
    edit: Option<Edit<'static>>,
    log_prob: Option<f32>,
}

impl Proposal {
    /// Returns a child whose text does not name its parents.
    fn whole(expr: Expr, state: &State<'_>, log_prob: Option<f32>) -> Self {
        Proposal { parents: likely_parents(&expr, state.population), expr, edit: None, log_prob }
    }
}

impl Policy for Learner {
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        // Texts are drawn in one way for a batch, and no search may depend on the others.
        let is_alike = |a: &Request<'_>, b: &Request<'_>| a.state.config.unique == b.state.config.unique;
        requests.chunk_by_mut(is_alike).try_for_each(|alike| self.propose_alike(alike))
    }
}

impl Learner {
    fn propose_alike(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        let (states, wanted): (Vec<State<'_>>, Vec<usize>) =
            requests.iter().map(|request| (request.state, request.wanted)).unzip();
        let texts = match self.texts(&states, &wanted) {
            Ok(texts) => texts,
            Err(Error::Model(sr_model::Error::Stopped)) => return Ok(()), // nobody will look at the offspring
            Err(error) => return Err(PolicyError::new(error)),
        };
        texts.iter().flat_map(|(texts, _)| texts).for_each(|text| self.written.add(text));
        requests.par_iter_mut().zip(&texts).for_each(|(request, (texts, slots))| {
            let Request { state, wanted, offspring } = request;
            let mut children = self.children(state, texts, slots);
            children.resize(*wanted, None);
            let identities = children.iter().flatten().map(|child| state.config.identity(&child.expr));
            let mut met: HashSet<u64> = identities.collect();
            for (slot, child) in children.into_iter().enumerate() {
                match child {
                    Some(Proposal { expr, parents, edit, log_prob }) => {
                        offspring.push(&Child { tree: &expr, origin: Origin::Learner, parents, edit, log_prob });
                    }
                    None => {
                        Expert::new_child(state, slot, offspring, &mut met);
                        offspring.set_last_origin(Origin::Fallback);
                    }
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sr_model::{PointsConfig, Population};

    use super::*;

    fn refused(sampling: Sampling) -> String {
        let config = ModelConfig::micro(sr_prompt::VOCABULARY_SIZE);
        sampling.validate(&config, Actions::Expression).expect_err("out of range").to_string()
    }

    #[test]
    fn what_is_exchanged_is_that_of_half_a_batch_away() {
        let prompt = |at: usize| Prompt {
            tokens: vec![at as i32],
            points: Some(Points { values: vec![at as f32] }),
            ..Prompt::default()
        };
        let exchanged = |swap, n| {
            let mut prompts: Vec<Prompt> = (0..n).map(prompt).collect();
            exchange(swap, &mut prompts);
            let of = |p: &Prompt| (p.tokens[0], p.points.as_ref().expect("points").values[0] as i32);
            prompts.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(exchanged(Swap::Points, 5), [(0, 3), (1, 4), (2, 0), (3, 1), (4, 2)]);
        assert_eq!(exchanged(Swap::Populations, 5), [(3, 0), (4, 1), (0, 2), (1, 3), (2, 4)]);
        assert_eq!(exchanged(Swap::Populations, 1), [(0, 0)]);
        assert_eq!(exchanged(Swap::Points, 0), []);
    }

    #[test]
    fn only_what_is_read_can_be_exchanged() {
        let blind = ModelConfig { points: None, ..ModelConfig::micro(sr_prompt::VOCABULARY_SIZE) };
        let seeing = ModelConfig { points: Some(PointsConfig::learner(2)), ..blind.clone() };
        let refused = |mode, config, swap| check_swap(mode, config, Some(swap)).map_err(|error| error.to_string());
        let expected = "--swap is points, expected something that this learner reads, which has no points";
        assert_eq!(refused(LearnerMode::OneStep, &blind, Swap::Points), Err(expected.to_owned()));
        let expected = "--swap is populations, expected something that this learner reads, which has no populations";
        assert_eq!(refused(LearnerMode::Direct, &seeing, Swap::Populations), Err(expected.to_owned()));
        assert_eq!(refused(LearnerMode::Direct, &seeing, Swap::Points), Ok(()));
        assert_eq!(refused(LearnerMode::OneStep, &blind, Swap::Populations), Ok(()));
    }

    #[test]
    fn settings_out_of_their_range_are_refused_by_their_flag() {
        let plain = Sampling::default();
        let config = ModelConfig::micro(sr_prompt::VOCABULARY_SIZE);
        for temperature in [0.0, 1e-30, 1.0, 1e300] {
            Sampling { temperature, ..plain }.validate(&config, Actions::Expression).expect("a temperature");
        }
        for temperature in [-1.0, f64::NAN, f64::INFINITY] {
            let message = refused(Sampling { temperature, ..plain });
            assert_eq!(message, format!("--temperature is {temperature}, expected a finite number of at least 0"));
        }
        for top_p in [0.0, 1.5, -0.1, f64::NAN] {
            let message = refused(Sampling { top_p: Some(top_p), ..plain });
            assert_eq!(message, format!("--top-p is {top_p}, expected a number in (0, 1]"));
        }
        let message = refused(Sampling { top_k: Some(0), ..plain });
        assert_eq!(message, "--top-k is 0, expected at least 1; leave it out for all tokens");
        let greedy = Sampling { temperature: 0.0, ..plain };
        let expected = "expected none with --temperature 0, which takes the likeliest token";
        assert_eq!(refused(Sampling { top_k: Some(5), ..greedy }), format!("--top-k is 5, {expected}"));
        assert_eq!(refused(Sampling { top_p: Some(0.5), ..greedy }), format!("--top-p is 0.5, {expected}"));
        let message = refused(Sampling { max_batch_tokens: Some(0), ..plain });
        assert_eq!(message, "--max-batch-tokens is 0, expected at least 1");
        for max_child_size in [0, 100_000] {
            let message = refused(Sampling { max_child_size, ..plain });
            let expected = "expected 1 to 1023, for the model has 2048 positions";
            assert_eq!(message, format!("--max-child-size is {max_child_size}, {expected}"));
        }
        Sampling { max_child_size: 1023, ..plain }.validate(&config, Actions::Expression).expect("the largest");
        Sampling { max_child_size: 1023, distinct: true, ..plain }
            .validate(&config, Actions::Expression)
            .expect("the largest");
        assert!(
            Sampling { max_child_size: 1023, ..plain }.validate(&config, Actions::Edit).is_err(),
            "an address more"
        );
        let apart = ModelConfig { population: Population::Separate, ..config };
        Sampling { max_child_size: 1500, ..plain }.validate(&apart, Actions::Expression).expect("prompts are short");
        let message = Sampling { max_child_size: 1500, distinct: true, ..plain }
            .validate(&apart, Actions::Expression)
            .expect_err("too many draws")
            .to_string();
        assert_eq!(message, "--max-child-size is 1500, expected 1 to 1023 with --distinct");
    }

    #[test]
    fn more_variables_than_the_model_reads_are_refused_with_both_numbers() {
        let learner = |points: Option<PointsConfig>| {
            let config =
                ModelConfig { d_model: 8, n_layers: 1, n_heads: 1, d_mlp: 8, points, ..ModelConfig::micro(512) };
            let device = sr_model::DeviceKind::Cpu.open().expect("the CPU");
            let model = sr_model::Model::new(&config, 1, &device).expect("a model");
            Learner::new(Decoder::new(&model), LearnerMode::OneStep, &Language::default(), Sampling::default())
        };
        let small = |points: PointsConfig| Some(PointsConfig { hidden: 4, ..points });
        for (points, max) in [(small(PointsConfig::learner(4)), 10), (small(PointsConfig::set()), 32), (None, 32)] {
            let learner = learner(points);
            learner.check_variables(max).expect("as many as it reads");
            for found in [max + 1, 11.max(max + 1), 33] {
                let message = learner.check_variables(found).expect_err("too many").to_string();
                assert!(
                    message.contains(&format!("{found} variables")) && message.contains(&format!("at most {max};"))
                );
            }
        }
    }
}
