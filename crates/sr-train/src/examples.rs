//! Examples in memory, as tokens, and batches of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use sr_corpus::{ProblemRef, Problems};
use sr_engine::random::{Key, Purpose, Rng, problem_key};
use sr_expr::Semantics;
use sr_expr::hash::GOLDEN;
use sr_model::{IGNORE, ModelConfig, PointBatch, Points, Prompt, TrainBatch};
use sr_prompt::{Actions, Condition, Conditions, Token};

use crate::Error;

/// Batches whose states are sorted by length together, so that there is little padding and the order stays random.
const WINDOW: usize = 32;

/// Rows are padded to a multiple of this many tokens, so that GPU kernels see few shapes.
const LENGTH_MULTIPLE: usize = 8;

/// States with their targets, as token ids.
///
/// Tokens and points of all states are in two long vectors: a corpus takes two bytes a token.
#[derive(Debug, Clone)]
pub struct Examples {
    config: ModelConfig,
    tokens: Vec<u16>,
    /// Bounds of individuals, see [`Prompt`].
    individuals: Vec<u32>,
    points: Vec<f32>,
    marks: Vec<u8>,
    targets: Vec<Target>,
    states: Vec<State>,
    /// The problems of the states, one each, if they are known.
    sources: Vec<Source>,
    /// For targets that are whole generations, whether errors follow their expressions; `None` for other targets.
    target_fitness: Option<bool>,
    /// How other targets are written.
    actions: Actions,
    /// The number of targets left out because they exceed the model's positions.
    too_long: usize,
    /// The states of an epoch in order, see [`Examples::set_order`].
    order: Option<Vec<u32>>,
    /// The states of each condition that has a share of an epoch, with that share, see [`Examples::set_shares`].
    shares: Vec<(Vec<u32>, f64)>,
}

/// The source of a state's problem.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) set: Arc<Problems>,
    pub(crate) problem: Arc<ProblemRef>,
    /// The semantics of its formulas.
    pub(crate) semantics: Semantics,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.problem.id, self.set.path().display())
    }
}

#[derive(Debug, Clone)]
struct State {
    /// The prompt's tokens.
    prompt: Span,
    /// Its range in `individuals`.
    individuals: Span,
    /// Its range in `points`.
    points: Span,
    /// Its range in `marks`; each token has the same number of marks.
    marks: Span,
    /// Its range in `targets`.
    targets: Span,
    /// The token that begins each target.
    start: u16,
}

#[derive(Debug, Clone)]
struct Target {
    tokens: Span,
    weight: f32,
}

/// A range of a vector.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    len: u32,
}

impl Span {
    fn of<T>(self, values: &[T]) -> &[T] {
        &values[self.start..][..self.len as usize]
    }

    fn len(self) -> usize {
        self.len as usize
    }
}

/// A row of a batch: a state and some of its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    state: u32,
    /// Indices among the state's targets, ascending.
    targets: Vec<u32>,
}

impl Selection {
    /// Returns the state's number.
    pub(crate) fn state(&self) -> u32 {
        self.state
    }

    /// Returns the number of targets that take part.
    pub(crate) fn n_targets(&self) -> usize {
        self.targets.len()
    }
}

/// The order of training. It is a pure function of seed and batch number, so that a resumed run needs no iterator
/// state.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    key: Key,
    rows_per_batch: usize,
    max_targets: usize,
    /// The epoch of `batches`.
    epoch: u32,
    batches: Vec<Vec<Selection>>,
}

impl Examples {
    /// Returns no examples yet, for models of this shape.
    pub fn new(config: &ModelConfig) -> Self {
        Examples {
            config: config.clone(),
            tokens: Vec::new(),
            individuals: Vec::new(),
            points: Vec::new(),
            marks: Vec::new(),
            targets: Vec::new(),
            states: Vec::new(),
            sources: Vec::new(),
            target_fitness: None,
            actions: Actions::Expression,
            too_long: 0,
            order: None,
            shares: Vec::new(),
        }
    }

    /// Sets the states of an epoch, in this order; a state may occur several times or not at all. Without a call, an
    /// epoch has every state once, in a new random order each time.
    ///
    /// # Panics
    /// If a state does not exist, or `states` is empty.
    pub(crate) fn set_order(&mut self, states: Vec<u32>) {
        assert!(!states.is_empty() && states.iter().all(|&state| (state as usize) < self.states.len()));
        self.order = Some(states);
    }

    /// Sets the share of each condition in an epoch; the number of states of an epoch stays. States of other conditions
    /// are left out. If a condition has no states, it has no share, and is returned.
    pub(crate) fn set_shares(&mut self, shares: Conditions) -> Result<(), Condition> {
        let total: f64 = shares.iter().map(|(_, share)| f64::from(share)).sum();
        let mut missing = None;
        self.shares.clear();
        for (condition, share) in shares.iter() {
            let start = Token::Condition(condition).id() as u16;
            let states: Vec<u32> =
                (0..).zip(&self.states).filter(|(_, s)| s.start == start).map(|(at, _)| at).collect();
            match states.is_empty() {
                true => missing = missing.or(Some(condition)),
                false => self.shares.push((states, f64::from(share) / total)),
            }
        }
        missing.map_or(Ok(()), Err)
    }

    /// Returns the states of an epoch in random order, by the shares of their conditions. Of a condition they are random
    /// permutations one after the other.
    fn shared_out(&self, rng: &mut Rng) -> Vec<u32> {
        let mut epoch = Vec::with_capacity(self.states.len());
        let present: f64 = self.shares.iter().map(|(_, share)| share).sum();
        let mut so_far = 0.0;
        for (states, share) in &self.shares {
            so_far += share / present;
            let end = (self.states.len() as f64 * so_far).round() as usize;
            while epoch.len() < end {
                let mut states = states.clone();
                rng.shuffle(&mut states);
                epoch.extend(states.into_iter().take(end - epoch.len()));
            }
        }
        rng.shuffle(&mut epoch);
        epoch
    }

    /// Returns the number of states in an epoch.
    fn epoch_len(&self) -> usize {
        self.order.as_ref().map_or(self.states.len(), Vec::len)
    }

    /// Adds a state and its targets. A target is the ids that follow the `start` token, including `<eos>`, with the
    /// weight of its loss. Targets that do not fit after the prompt are left out, and so is the state if none is left.
    ///
    /// # Errors
    /// [`Error::Model`] if the prompt does not fit the model.
    pub fn push<'t>(
        &mut self,
        prompt: &Prompt,
        start: Token,
        targets: impl IntoIterator<Item = (&'t [i32], f32)>,
    ) -> Result<(), Error> {
        let points = prompt.points.as_ref().map_or(&[][..], |points| &points.values);
        if let Some(points) = &prompt.points {
            PointBatch::pack(&self.config, &[points])?; // refuses what does not fit
        }
        let before = self.targets.len();
        let positions = self.config.n_positions;
        let room = match prompt.n_positions() > positions {
            true => 0,
            false => positions.saturating_sub(prompt.next_position()),
        };
        for (ids, weight) in targets {
            if ids.is_empty() || ids.len() > room || weight <= 0.0 {
                self.too_long += usize::from(ids.len() > room);
                continue;
            }
            let tokens = self.push_tokens(ids)?;
            self.targets.push(Target { tokens, weight });
        }
        if self.targets.len() > before {
            let targets = Span { start: before, len: (self.targets.len() - before) as u32 };
            let span = Span { start: self.points.len(), len: points.len() as u32 };
            self.points.extend_from_slice(points);
            let individuals = Span { start: self.individuals.len(), len: prompt.individuals.len() as u32 };
            self.individuals.extend_from_slice(&prompt.individuals);
            let marks = self.push_marks(&prompt.marks)?;
            let prompt = self.push_tokens(&prompt.tokens)?;
            self.states.push(State { prompt, individuals, points: span, marks, targets, start: start.id() as u16 });
        }
        Ok(())
    }

    /// Sets the problem of every state added since the last call.
    pub(crate) fn set_source(&mut self, source: &Source) {
        self.sources.resize(self.states.len(), source.clone());
    }

    /// Returns the source of a state's problem, if it was set.
    pub(crate) fn source(&self, state: u32) -> Option<&Source> {
        self.sources.get(state as usize)
    }

    fn push_tokens(&mut self, ids: &[i32]) -> Result<Span, Error> {
        let vocabulary = self.config.vocab_size.min(1 << 16) as i32;
        if let Some(id) = ids.iter().find(|&&id| !(0..vocabulary).contains(&id)) {
            return Err(sr_model::Error::Input(format!("token {id}, expected 0 to {}", vocabulary - 1)).into());
        }
        let span = Span { start: self.tokens.len(), len: ids.len() as u32 };
        self.tokens.extend(ids.iter().map(|&id| id as u16));
        Ok(span)
    }

    fn push_marks(&mut self, marks: &[i32]) -> Result<Span, Error> {
        let most = self.config.n_marks.min(usize::from(u8::MAX)) as i32;
        if let Some(mark) = marks.iter().find(|&&mark| !(0..=most).contains(&mark)) {
            return Err(sr_model::Error::Input(format!("mark {mark}, expected 0 to {most}")).into());
        }
        let span = Span { start: self.marks.len(), len: marks.len() as u32 };
        self.marks.extend(marks.iter().map(|&mark| mark as u8));
        Ok(span)
    }

    /// Sets whether children are written as expressions or edits.
    pub fn set_actions(&mut self, actions: Actions) {
        self.actions = actions;
    }

    /// Returns whether children are written as expressions or edits.
    pub fn actions(&self) -> Actions {
        self.actions
    }

    /// Sets whether targets are whole generations, with or without the errors of their individuals; `None` for single
    /// children.
    pub fn set_target_fitness(&mut self, fitness: Option<bool>) {
        self.target_fitness = fitness;
    }

    /// Returns whether the errors of individuals are in targets that are whole generations; `None` for single children.
    pub fn target_fitness(&self) -> Option<bool> {
        self.target_fitness
    }

    /// Returns the function that computes the feature of each token of a target.
    pub(crate) fn feature(&self) -> fn(&[i32]) -> i32 {
        match self.target_fitness {
            None => self.actions.feature(),
            Some(_) => sr_prompt::generation_feature,
        }
    }

    /// Returns the conditions of the states that are learned, by their start tokens, in the order of ids.
    pub fn conditions(&self) -> Vec<Condition> {
        let of_shares =
            self.shares.iter().filter_map(|(states, _)| states.first()).map(|&at| &self.states[at as usize]);
        let starts: BTreeSet<u16> = match self.shares.is_empty() {
            true => self.states.iter().map(|state| state.start).collect(),
            false => of_shares.map(|state| state.start).collect(),
        };
        let condition = |start: u16| match Token::from_id(start.into()) {
            Some(Token::Condition(condition)) => Some(condition),
            _ => None,
        };
        starts.into_iter().filter_map(condition).collect()
    }

    /// Returns the number of states.
    pub fn n_states(&self) -> usize {
        self.states.len()
    }

    /// Returns the number of targets, which spec and logs call examples.
    pub fn n_targets(&self) -> usize {
        self.targets.len()
    }

    /// Returns the number of targets that were left out because they exceed the model's positions.
    pub fn n_too_long(&self) -> usize {
        self.too_long
    }

    /// Returns the bytes of memory that the examples take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.tokens)
            + size_of_val(&*self.individuals)
            + size_of_val(&*self.points)
            + size_of_val(&*self.marks)
            + size_of_val(&*self.targets)
            + size_of_val(&*self.states)
    }

    /// Returns a hash of the examples, by which a resumed run recognises them.
    pub fn fingerprint(&self) -> u64 {
        fn mix(hash: u64, word: u64) -> u64 {
            (hash ^ word).wrapping_mul(GOLDEN).rotate_left(29)
        }
        let tokens = self.tokens.iter().map(|&id| u64::from(id));
        let points = self.points.iter().map(|value| u64::from(value.to_bits()));
        let targets = self.targets.iter().map(|t| u64::from(t.weight.to_bits()) << 32 | u64::from(t.tokens.len));
        let states = self
            .states
            .iter()
            .map(|s| u64::from(s.prompt.len) << 32 | u64::from(s.targets.len) << 16 | u64::from(s.start));
        let individuals = self.individuals.iter().map(|&bound| u64::from(bound));
        let marks = self.marks.iter().map(|&mark| u64::from(mark));
        let order = self.order.iter().flatten().map(|&state| u64::from(state));
        let words = tokens.chain(points).chain(targets).chain(states).chain(individuals).chain(marks).chain(order);
        words.fold(self.states.len() as u64, mix)
    }

    /// Returns the number of tokens of a row, without padding.
    fn length(&self, selection: &Selection) -> usize {
        let state = &self.states[selection.state as usize];
        let targets = state.targets.of(&self.targets);
        state.prompt.len() + selection.targets.iter().map(|&t| targets[t as usize].tokens.len()).sum::<usize>()
    }

    /// Returns the sum of the weights of a row's labels.
    pub(crate) fn weight(&self, selection: &Selection) -> f64 {
        let targets = self.states[selection.state as usize].targets.of(&self.targets);
        let weight = |&t: &u32| f64::from(targets[t as usize].weight) * f64::from(targets[t as usize].tokens.len);
        selection.targets.iter().map(weight).sum()
    }

    /// Splits a batch into parts of at most `positions` rows × positions, including prefix and padding, and at least
    /// one row.
    pub(crate) fn cut(&self, batch: &[Selection], positions: usize) -> Vec<Vec<Selection>> {
        let prefix = self.config.points.as_ref().map_or(0, |points| points.n_prefix());
        let mut parts: Vec<Vec<Selection>> = Vec::new();
        let mut longest = 0;
        for selection in batch {
            longest = longest.max(prefix + self.length(selection).next_multiple_of(LENGTH_MULTIPLE));
            match parts.last_mut() {
                Some(part) if (part.len() + 1) * longest <= positions => part.push(selection.clone()),
                _ => {
                    longest = prefix + self.length(selection).next_multiple_of(LENGTH_MULTIPLE);
                    parts.push(vec![selection.clone()]);
                }
            }
        }
        parts
    }

    /// Returns a batch with one row per selection, padded to the longest.
    pub(crate) fn pack(&self, selections: &[Selection]) -> Result<TrainBatch, Error> {
        let longest = selections.iter().map(|selection| self.length(selection)).max().unwrap_or(0);
        let length = longest.next_multiple_of(LENGTH_MULTIPLE);
        let mut batch = TrainBatch { rows: selections.len(), length, ..TrainBatch::default() };
        let mut points = Vec::with_capacity(selections.len());
        for (row, Selection { state: index, targets }) in selections.iter().enumerate() {
            let state = &self.states[*index as usize];
            let prompt = self.prompt(*index).0;
            for (&token, position) in prompt.tokens.iter().zip(prompt.positions()) {
                push(&mut batch, token, 0, position as usize, 0, IGNORE, 0.0);
            }
            batch.individuals.extend(prompt.individual_numbers());
            for (k, &target) in targets.iter().enumerate() {
                let Target { tokens, weight } = &state.targets.of(&self.targets)[target as usize];
                let mut token = state.start;
                let mut so_far = Vec::new();
                for (position, &label) in (prompt.next_position()..).zip(tokens.of(&self.tokens)) {
                    let feature = self.feature()(&so_far);
                    push(&mut batch, token.into(), feature, position, k as i32 + 1, label.into(), *weight);
                    token = label;
                    so_far.push(label.into());
                }
            }
            while batch.tokens.len() < (row + 1) * length {
                push(&mut batch, Token::Pad.id(), 0, 0, -1, IGNORE, 0.0);
            }
            batch.individuals.resize(batch.tokens.len(), 0);
            let each = prompt.marks.len() / prompt.tokens.len().max(1);
            batch.marks.extend(prompt.marks);
            batch.marks.resize((row + 1) * length * each, 0);
            points.push(Points { values: state.points.of(&self.points).to_vec() });
        }
        if self.config.n_features == 0 {
            batch.features.clear(); // a model without features refuses them
        }
        if self.config.points.is_some() {
            batch.points = Some(PointBatch::pack(&self.config, &points.iter().collect::<Vec<_>>())?);
        }
        Ok(batch)
    }

    /// Returns a batch of the first `n` states with all of their targets, to compare models or devices on it.
    ///
    /// # Errors
    /// [`Error::Model`] if points do not fit the model.
    pub fn first(&self, n: usize) -> Result<TrainBatch, Error> {
        let all = |(state, of): (u32, &State)| Selection { state, targets: (0..of.targets.len).collect() };
        self.pack(&(0..).zip(self.states.iter().take(n)).map(all).collect::<Vec<_>>())
    }

    /// Returns the batches of an epoch in the order of `key`'s stream; each state has at most `max_targets` of its
    /// targets.
    fn batches(&self, key: Key, rows_per_batch: usize, max_targets: usize) -> Vec<Vec<Selection>> {
        let mut rng = key.rng();
        let states = self.order.clone().unwrap_or_else(|| {
            if !self.shares.is_empty() {
                return self.shared_out(&mut rng);
            }
            let mut states: Vec<u32> = (0..self.states.len() as u32).collect();
            rng.shuffle(&mut states);
            states
        });
        let mut batches = Vec::with_capacity(states.len().div_ceil(rows_per_batch));
        for window in states.chunks(rows_per_batch * WINDOW) {
            let select = |&state: &u32| {
                let n_targets = self.states[state as usize].targets.len;
                let mut targets: Vec<u32> = (0..n_targets).collect();
                if targets.len() > max_targets {
                    key.slot(state + 1).rng().shuffle(&mut targets);
                    targets.truncate(max_targets);
                    targets.sort_unstable();
                }
                Selection { state, targets }
            };
            let mut window: Vec<Selection> = window.iter().map(select).collect();
            window.sort_by_key(|selection| self.length(selection));
            let mut sorted: Vec<Vec<Selection>> = window.chunks(rows_per_batch).map(<[_]>::to_vec).collect();
            rng.shuffle(&mut sorted);
            batches.extend(sorted);
        }
        batches
    }

    /// Returns at most `n` batches of a fixed random choice of states, for validation.
    pub(crate) fn sample(&self, seed: u64, n: usize, rows_per_batch: usize, max_targets: usize) -> Vec<Vec<Selection>> {
        let key = Key::new(seed, Purpose::Training, problem_key("validation"));
        let mut batches = self.batches(key, rows_per_batch, max_targets);
        batches.truncate(n);
        batches
    }
}

impl Examples {
    /// Returns at most `n` states of a fixed random choice whose prompts leave room for `room` tokens, with at most
    /// `max_targets` targets each.
    pub(crate) fn choose(&self, seed: u64, n: usize, room: usize, max_targets: usize) -> Vec<Selection> {
        let mut states: Vec<u32> = (0..self.states.len() as u32).collect();
        Key::new(seed, Purpose::Training, problem_key("greedy")).rng().shuffle(&mut states);
        let has_room = |&state: &u32| self.prompt(state).0.next_position() + room <= self.config.n_positions;
        let states: Vec<u32> = states.into_iter().filter(has_room).take(n).collect();
        let n_targets = |state: u32| self.states[state as usize].targets.len.min(max_targets as u32);
        states.into_iter().map(|state| Selection { state, targets: (0..n_targets(state)).collect() }).collect()
    }

    /// Returns the prompt of a state, and the id of the token that begins its children.
    pub(crate) fn prompt(&self, state: u32) -> (Prompt, i32) {
        let State { prompt, individuals, points, marks, start, .. } = &self.states[state as usize];
        let tokens = prompt.of(&self.tokens).iter().map(|&id| id.into()).collect();
        let individuals = individuals.of(&self.individuals).to_vec();
        let values = points.of(&self.points).to_vec();
        let marks = marks.of(&self.marks).iter().map(|&mark| mark.into()).collect();
        let points = (!values.is_empty()).then_some(Points { values });
        (Prompt { tokens, individuals, marks, points }, (*start).into())
    }

    /// Returns whether `ids`, followed by `<eos>`, is one of the state's targets.
    pub(crate) fn is_target(&self, state: u32, ids: &[i32]) -> bool {
        let ids = || ids.iter().copied().chain([Token::Eos.id()]);
        let targets = self.states[state as usize].targets.of(&self.targets);
        targets.iter().any(|target| target.tokens.of(&self.tokens).iter().map(|&id| i32::from(id)).eq(ids()))
    }

    /// Describes a row of a batch for people: the input and the targets.
    pub(crate) fn describe(&self, selection: &Selection) -> Value {
        let (prompt, start) = self.prompt(selection.state);
        let targets = self.states[selection.state as usize].targets.of(&self.targets);
        let targets = selection.targets.iter().map(|&target| {
            let Target { tokens, weight } = &targets[target as usize];
            let labels: Vec<i32> = tokens.of(&self.tokens).iter().map(|&id| id.into()).collect();
            json!({"text": sr_prompt::to_text(&labels), "labels": labels, "weight": number(*weight)})
        });
        json!({
            "state": selection.state,
            "text": sr_prompt::to_text(&prompt.tokens),
            "tokens": prompt.tokens,
            "start": start,
            "targets": targets.collect::<Vec<_>>(),
            "points": prompt.points.map(|points| points.values.into_iter().map(number).collect::<Vec<_>>()),
        })
    }
}

/// Converts a number to JSON, with NaN and infinities as text, because JSON has none and they matter here.
fn number(value: f32) -> Value {
    if value.is_finite() { value.into() } else { value.to_string().into() }
}

impl Order {
    /// Returns the order for `seed`.
    pub(crate) fn new(seed: u64, rows_per_batch: usize, max_targets: usize) -> Self {
        let key = Key::new(seed, Purpose::Training, problem_key("order"));
        Order { key, rows_per_batch, max_targets, epoch: 0, batches: Vec::new() }
    }

    /// Returns batch number `index`, counted over all epochs.
    pub(crate) fn batch<'a>(&'a mut self, examples: &Examples, index: u64) -> &'a [Selection] {
        let per_epoch = examples.epoch_len().div_ceil(self.rows_per_batch) as u64;
        let epoch = (index / per_epoch) as u32;
        if self.batches.is_empty() || epoch != self.epoch {
            self.batches = examples.batches(self.key.generation(epoch), self.rows_per_batch, self.max_targets);
            self.epoch = epoch;
        }
        &self.batches[(index % per_epoch) as usize]
    }
}

/// Appends one position to a batch.
fn push(batch: &mut TrainBatch, token: i32, feature: i32, position: usize, segment: i32, label: i32, weight: f32) {
    batch.tokens.push(token);
    batch.features.push(feature);
    batch.positions.push(position as i32);
    batch.segments.push(segment);
    batch.labels.push(label);
    batch.weights.push(weight);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sr_model::PointsConfig;
    use sr_prompt::Condition;

    const ALL: Token = Token::Condition(Condition::All);

    fn config(n_positions: usize) -> ModelConfig {
        let points = PointsConfig { n_variables: 1, hidden: 4, ..PointsConfig::learner(2) };
        ModelConfig { n_positions, n_features: sr_prompt::FEATURES, points: Some(points), ..ModelConfig::micro(32) }
    }

    /// Returns states with these prompt lengths; the number of targets is the state's index modulo 4, plus one.
    fn states(lengths: &[usize]) -> Examples {
        let mut examples = Examples::new(&config(512));
        for (index, &length) in lengths.iter().enumerate() {
            let prompt = Prompt { tokens: vec![9; length], ..Prompt::default() };
            let targets: Vec<[i32; 2]> = (0..=index % 4).map(|target| [target as i32, 2]).collect();
            examples.push(&prompt, ALL, targets.iter().map(|ids| (&ids[..], 1.0))).expect("it fits");
        }
        examples
    }

    #[test]
    fn a_row_is_a_prompt_and_its_targets() {
        let mut examples = Examples::new(&config(64));
        let prompt =
            Prompt { points: Some(Points { values: vec![0.5, 1.0, 2.0] }), tokens: vec![4, 5], ..Prompt::default() };
        examples.push(&prompt, ALL, [(&[10, 2][..], 1.0), (&[11, 12, 2], 0.5)]).expect("it fits");
        let batch = examples.pack(&[Selection { state: 0, targets: vec![0, 1] }]).expect("a batch");
        let start = ALL.id();
        assert_eq!((batch.rows, batch.length), (1, 8));
        assert_eq!(batch.tokens, [4, 5, start, 10, start, 11, 12, 0]);
        assert_eq!(batch.positions, [0, 1, 2, 3, 2, 3, 4, 0]);
        assert_eq!(batch.features, [0, 0, 2, 2, 2, 2, 2, 0], "the ids here are no expressions");
        assert_eq!(batch.segments, [0, 0, 1, 1, 2, 2, 2, -1]);
        assert_eq!(batch.labels, [-1, -1, 10, 2, 11, 12, 2, -1]);
        assert_eq!(batch.weights, [0.0, 0.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.0]);
        let points = batch.points.expect("points");
        assert_eq!((points.values, points.mask), (vec![0.5, 1.0, 2.0, 0.0, 0.0, 0.0], vec![true, false]));
    }

    #[test]
    fn what_does_not_fit_is_left_out_or_refused() {
        let mut examples = Examples::new(&config(4));
        let mut push = |prompt: &[i32], targets: &[&[i32]]| {
            let prompt = Prompt { tokens: prompt.to_vec(), ..Prompt::default() };
            examples.push(&prompt, ALL, targets.iter().map(|&ids| (ids, 1.0))).map_err(|e| e.to_string())?;
            Ok::<_, String>((examples.n_states(), examples.n_targets(), examples.n_too_long()))
        };
        assert_eq!(push(&[1, 2], &[&[1, 2], &[1, 2, 3]]), Ok((1, 1, 1)));
        assert_eq!(push(&[1, 2, 3], &[&[1, 2]]), Ok((1, 1, 2)));
        assert_eq!(push(&[1, 40], &[&[1, 2]]), Err("model input: token 40, expected 0 to 31".to_owned()));
    }

    #[test]
    fn an_epoch_has_conditions_by_their_shares() {
        let mut examples = Examples::new(&config(512));
        for (condition, n) in [(Condition::Path, 30), (Condition::Target, 2), (Condition::Gain(4), 8)] {
            for state in 0..n {
                let prompt = Prompt { tokens: vec![9; 3 + state % 5], ..Prompt::default() };
                examples.push(&prompt, Token::Condition(condition), [(&[1, 2][..], 1.0)]).expect("it fits");
            }
        }
        let shares = |text: &str| text.parse::<Conditions>().expect("shares");
        examples.set_shares(shares("PATH:5,TARGET:3")).expect("states of both");
        assert_eq!(examples.conditions(), [Condition::Path, Condition::Target]);
        let mut order = Order::new(1, 8, 9);
        let epoch = |order: &mut Order, epoch: u64| -> Vec<u32> {
            (5 * epoch..5 * epoch + 5)
                .flat_map(|index| order.batch(&examples, index).to_vec())
                .map(|s| s.state)
                .collect()
        };
        let (first, second) = (epoch(&mut order, 0), epoch(&mut order, 1));
        assert_ne!(first, second);
        for epoch in [&first, &second] {
            let count = |states: std::ops::Range<u32>| epoch.iter().filter(|state| states.contains(state)).count();
            assert_eq!((epoch.len(), count(0..30), count(30..32), count(32..40)), (40, 25, 15, 0));
            let paths: BTreeSet<&u32> = epoch.iter().filter(|&&state| state < 30).collect();
            assert_eq!(paths.len(), 25, "each at most once while there are enough");
        }
        assert_eq!(examples.set_shares(shares("PATH,ALL")), Err(Condition::All));
    }

    #[test]
    fn a_given_order_is_kept_but_for_lengths() {
        let mut examples = states(&[3, 9, 4, 5]);
        let plain = examples.fingerprint();
        let drawn = vec![2, 0, 2, 1, 2];
        examples.set_order(drawn.clone());
        assert_ne!(examples.fingerprint(), plain, "a resumed run sees another order");
        let mut order = Order::new(1, 2, 9);
        let mut met: Vec<u32> =
            (0..3).flat_map(|index| order.batch(&examples, index).to_vec()).map(|selection| selection.state).collect();
        met.sort_unstable();
        let mut sorted = drawn;
        sorted.sort_unstable();
        assert_eq!(met, sorted, "an epoch has each state as often as it was drawn");
    }

    #[test]
    fn the_fingerprint_sees_tokens_weights_and_the_start() {
        let with = |start, id, weight| {
            let mut examples = Examples::new(&config(64));
            let prompt = Prompt { tokens: vec![4, 5], ..Prompt::default() };
            examples.push(&prompt, start, [(&[id, 2][..], weight)]).expect("it fits");
            examples.fingerprint()
        };
        let base = with(ALL, 10, 1.0);
        assert_eq!(with(ALL, 10, 1.0), base);
        let others = [with(ALL, 11, 1.0), with(ALL, 10, 0.5), with(Token::Condition(Condition::Target), 10, 1.0)];
        assert!(others.iter().all(|&other| other != base), "{base} {others:?}");
    }

    #[test]
    fn padding_is_small_where_lengths_differ_much() {
        let lengths: Vec<usize> = (0..1024).map(|i| 20 + i * 7919 % 400).collect();
        let examples = states(&lengths);
        let (mut tokens, mut cells) = (0, 0);
        for batch in examples.sample(1, usize::MAX, 16, 4) {
            let batch = examples.pack(&batch).expect("a batch");
            tokens += batch.segments.iter().filter(|&&segment| segment >= 0).count();
            cells += batch.segments.len();
        }
        assert!((tokens as f64) > 0.93 * cells as f64, "{tokens} of {cells}");
    }

    proptest! {
        #[test]
        fn each_epoch_has_every_state_once_and_batches_depend_on_their_number_alone(
            n in 1..90usize, rows in 1..9usize, max_targets in 1..5usize, seed: u64,
        ) {
            let examples = states(&(0..n).map(|i| 3 + i * 31 % 40).collect::<Vec<_>>());
            let per_epoch = n.div_ceil(rows) as u64;
            let mut order = Order::new(seed, rows, max_targets);
            let mut batches = Vec::new();
            for index in 0..2 * per_epoch {
                let batch = order.batch(&examples, index).to_vec();
                let mut fresh = Order::new(seed, rows, max_targets);
                prop_assert_eq!(fresh.batch(&examples, index), &batch);
                for Selection { state, targets } in &batch {
                    prop_assert_eq!(targets.len(), max_targets.min(*state as usize % 4 + 1));
                    prop_assert!(targets.windows(2).all(|pair| pair[0] < pair[1]));
                }
                batches.push(batch);
            }
            for epoch in batches.chunks(per_epoch as usize) {
                let mut seen: Vec<u32> = epoch.iter().flatten().map(|selection| selection.state).collect();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..n as u32).collect::<Vec<_>>());
            }
            if n > 40 {
                prop_assert_ne!(&batches[..per_epoch as usize], &batches[per_epoch as usize..], "epochs differ");
            }
        }
    }
}
