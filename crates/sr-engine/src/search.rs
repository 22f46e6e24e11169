//! The search and the one search loop.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use smallvec::SmallVec;
use sr_expr::{Columns, Expr, Node, Tree};
use strum::IntoStaticStr;

use crate::cache::ScoreCache;
use crate::expert::initial_population;
use crate::pareto::{Point, Sorting};
use crate::random::{Key, Purpose, problem_key};
use crate::scorer::score_child;
use crate::subtrees::Subtrees;
use crate::{
    Budget, Child, ConfigError, Deadline, Evaluator, Fit, Fitting, Individual, IndividualRef, Instance, Objective,
    Offspring, Origin, Policy, PolicyError, Population, Request, Score, SearchConfig, State, Survival,
};

/// The number of times that a policy is asked for new expressions, under [`SearchConfig::unique`].
pub(crate) const UNIQUE_ATTEMPTS: u32 = 20;

/// The reason why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, IntoStaticStr)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[strum(serialize_all = "kebab-case")]
pub enum StopReason {
    /// An individual reached the early-stop error, and the extra generations are over.
    Solved {
        /// The error of the fittest such individual, on the objective's scale.
        mse: f64,
    },
    /// The generation limit, given here, was reached.
    Generations(u32),
    /// One more generation would exceed the evaluation limit, given here.
    Evaluations(u64),
    /// The time limit, given here, was reached.
    TimeLimit(Duration),
    /// The policy proposed no child that is new, under [`SearchConfig::unique`].
    Exhausted,
    /// An observer stopped it.
    Observer,
}

impl StopReason {
    /// Returns the name that JSON and tables use.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The evaluations that a search has spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Evaluations {
    /// The number of individuals whose fitness was needed, computed or looked up.
    pub search: u64,
    /// The number of those individuals whose expression was part of the previous generation.
    pub duplicates: u64,
    /// The number of children that policies proposed, including those refused because they had been met before.
    pub proposals: u64,
}

/// A change of the best individual, one point of the best progression.
#[derive(Debug, Clone, PartialEq)]
pub struct BestStep {
    /// The generation of the change.
    pub generation: u32,
    /// The new best expression.
    pub expr: Expr,
    /// The score of that expression.
    pub score: Score,
}

/// A generation as an observer sees it.
#[derive(Debug, Clone, Copy)]
pub struct Generation<'a> {
    /// The problem.
    pub instance: &'a Instance,
    /// The search's settings.
    pub config: &'a SearchConfig,
    /// The index, 0 for the initial population.
    pub generation: u32,
    /// The individuals with scores, origins and parents.
    pub population: &'a Population,
    /// The fittest individual so far.
    pub best: &'a Individual,
    /// The evaluations spent so far.
    pub evaluations: Evaluations,
}

/// Watches a search.
pub trait Observer {
    /// Sees every generation, the initial one included; `Break` ends the search after it.
    fn on_generation(&mut self, generation: &Generation<'_>) -> ControlFlow<()>;
}

/// Ignores every generation.
impl Observer for () {
    fn on_generation(&mut self, _: &Generation<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Calls the closure with every generation.
impl<F: FnMut(&Generation<'_>) -> ControlFlow<()>> Observer for F {
    fn on_generation(&mut self, generation: &Generation<'_>) -> ControlFlow<()> {
        self(generation)
    }
}

/// A state that [`Search::resume_from`] continues from, such as a generation of a trace. Scores are computed again, in
/// f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The index of the generation.
    pub generation: u32,
    /// The expressions of the population, in slot order; at least one.
    pub population: Vec<Expr>,
    /// The best individual so far, if it is fitter than the population's best.
    pub best: Option<Expr>,
    /// The number of generations since the best individual last improved.
    pub stagnation: u32,
}

/// The result of a search. Outcomes of equal searches are equal except for [`elapsed`](Self::elapsed), which `==`
/// compares too.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The fittest individual.
    pub best: Individual,
    /// The fittest individual that reached the early-stop error, and so the answer, whatever ended the search.
    pub solved: Option<Individual>,
    /// The generation in which the early-stop error was first reached.
    pub generations_to_solve: Option<u32>,
    /// The evaluations spent up to and including that generation.
    pub evaluations_to_solve: Option<u64>,
    /// The [work](Search::work) done up to and including that generation, in node · rows.
    pub work_to_solve: Option<u64>,
    /// The reason why the search ended. It is `None` if the search was stopped within a generation or never run.
    pub stop: Option<StopReason>,
    /// The number of populations, the initial one included.
    pub generations: u32,
    /// The evaluations spent.
    pub evaluations: Evaluations,
    /// The [work](Search::work) done, in node · rows.
    pub work: u64,
    /// Every change of the best individual.
    pub progression: Vec<BestStep>,
    /// The wall-clock time spent making and running the search.
    pub elapsed: Duration,
    semantics: sr_expr::Semantics,
}

impl Outcome {
    /// Returns the individual to report: the fittest that solves the problem, else the fittest.
    pub fn winner(&self) -> &Individual {
        self.solved.as_ref().unwrap_or(&self.best)
    }

    /// Returns the predictions of the winner, `[rows]`.
    pub fn predict(&self, x: &Columns) -> Vec<f64> {
        sr_expr::predict(self.winner().tree(), x, self.semantics)
    }

    /// Returns the semantics, protected or plain, with which the winner has to be evaluated.
    pub fn semantics(&self) -> sr_expr::Semantics {
        self.semantics
    }

    /// Computes how well the winner fits all rows of the search's instance, in f64.
    pub fn fit(&self, instance: &Instance) -> Fit {
        instance.fit(self.winner().tree(), self.semantics)
    }

    /// Returns the first generation whose best individual has at most this error, on the objective's scale. The
    /// reference engine calls it convergence at 1e-6.
    pub fn generations_to(&self, mse: f64) -> Option<u32> {
        self.progression.iter().find(|step| step.score.mse <= mse).map(|step| step.generation)
    }
}

/// One search in progress.
#[derive(Debug, Clone)]
pub struct Search {
    instance: Arc<Instance>,
    config: SearchConfig,
    key: Key,
    generation: u32,
    population: Population,
    best: Individual,
    stagnation: u32,
    solved: Option<Individual>,
    /// The generation, the evaluations and the work at which it was solved.
    solved_at: Option<(u32, u64, u64)>,
    extra_left: u32,
    seen: HashSet<u64>,
    evaluations: Evaluations,
    progression: Vec<BestStep>,
    started: Instant,
    deadline: Deadline<'static>,
    /// The time spent while the clock was not running: making the search, and all of it once it has ended.
    elapsed: Duration,
    /// Whether the observer has seen the current generation, as after a stop within the next one.
    is_observed: bool,
    stop: Option<StopReason>,
    evaluator: Evaluator,
    subtrees: Option<Subtrees>,
    /// The children of the next generation, empty between generations, as `scores` is.
    offspring: Offspring,
    scores: Vec<Score>,
    /// The scores of expressions met before.
    cache: ScoreCache,
    /// The survivors, see [`Population::succeed`].
    survivors: Vec<u32>,
    /// Parents and children as [`Survival::Pareto`] sees them, and its memory.
    points: Vec<Point>,
    sorting: Sorting,
}

impl Search {
    /// Makes and scores the initial population. All random draws depend on `seed` and on the id of the instance: the
    /// same data under another id are searched differently.
    ///
    /// # Errors
    /// Returns an error if the configuration is out of range.
    pub fn new(instance: impl Into<Arc<Instance>>, config: SearchConfig, seed: u64) -> Result<Self, ConfigError> {
        Self::new_until(instance, config, seed, None)
    }

    /// Runs the search to its end.
    ///
    /// # Errors
    /// Returns an error if the policy fails. The search then stands at its last whole generation and can be run on.
    ///
    /// # Panics
    /// Panics if the policy breaks a promise of [`Policy::propose`].
    pub fn run(&mut self, policy: &mut dyn Policy) -> Result<Outcome, PolicyError> {
        self.run_with(policy, &mut ())
    }

    /// Runs the search to its end. The observer sees every generation, the first included, and can end it.
    ///
    /// # Errors
    /// Returns an error where [`run`](Self::run) does.
    ///
    /// # Panics
    /// Panics where [`run`](Self::run) does.
    pub fn run_with<O: Observer>(&mut self, policy: &mut dyn Policy, observer: &mut O) -> Result<Outcome, PolicyError> {
        Ok(run(std::slice::from_mut(self), policy, std::slice::from_mut(observer))?.remove(0))
    }

    /// Makes a search like [`Search::new`], but stops making the population once `stop` is true. Such a search can only
    /// be dropped; [`run_until`] with the same `stop` does not advance it.
    ///
    /// # Errors
    /// Returns an error if the configuration is out of range.
    pub fn new_until(
        instance: impl Into<Arc<Instance>>,
        config: SearchConfig,
        seed: u64,
        stop: Option<&AtomicBool>,
    ) -> Result<Self, ConfigError> {
        let instance = instance.into();
        let key = Key::new(seed, Purpose::Search, problem_key(instance.id()));
        config.validate()?;
        let started = Instant::now();
        let deadline = Deadline::after(config.time_limit).or_when(stop);
        let exprs = initial_population(&instance, &config, deadline, |slot| key.slot(slot).rng());
        let mut search = Search::with_population(instance, config, key, 0, exprs, 0, (started, stop));
        search.evaluations = Evaluations { search: search.population.len() as u64, ..Evaluations::default() };
        search.note_solved();
        Ok(search)
    }

    /// Continues from a recorded state. The continuation depends on the state, the configuration and the seed alone; it
    /// equals the recorded search if all three are that search's. Evaluations, and the limits on them and on time,
    /// count from here.
    ///
    /// # Errors
    /// Returns an error if the configuration is out of range, the recorded population is empty, or its generation is
    /// the last that a `u32` can hold.
    pub fn resume_from(
        instance: impl Into<Arc<Instance>>,
        config: SearchConfig,
        seed: u64,
        recorded: Recorded,
    ) -> Result<Self, ConfigError> {
        let instance = instance.into();
        config.validate()?;
        if recorded.population.is_empty() {
            return Err(ConfigError { field: "the recorded population", expected: "one individual or more" });
        }
        if recorded.generation == u32::MAX {
            return Err(ConfigError {
                field: "the recorded generation",
                expected: "below 4294967295: it has no next one",
            });
        }
        let key = Key::new(seed, Purpose::Search, problem_key(instance.id()));
        let mut search = Search::with_population(
            instance,
            config,
            key,
            recorded.generation,
            recorded.population,
            recorded.stagnation,
            (Instant::now(), None),
        );
        if let Some(best) = recorded.best {
            let score = search.evaluator.score(&best, &search.instance, &search.config);
            if score.fitness > search.best.score.fitness {
                search.best = IndividualRef::new(Child::orphan(&best, Origin::Injected), score).into();
            }
        }
        search.note_solved();
        Ok(search)
    }

    fn with_population(
        instance: Arc<Instance>,
        config: SearchConfig,
        key: Key,
        generation: u32,
        exprs: Vec<Expr>,
        stagnation: u32,
        (started, stop): (Instant, Option<&AtomicBool>),
    ) -> Self {
        let left = config.time_limit.map(|limit| limit.saturating_sub(started.elapsed()));
        let deadline = Deadline::after(left);
        let mut evaluator = Evaluator::default();
        let subtrees = Subtrees::for_data(instance.x(), instance.primitives().ops());
        let fitted = |expr: Expr, evaluator: &mut Evaluator| match config.fitting {
            Some(Fitting { steps: steps @ 1.. }) if expr.constants().next().is_some() => {
                match evaluator.fit(&expr, &instance, &config, steps, deadline.or_when(stop)) {
                    Some((constants, _)) => with_constants(&expr, constants),
                    None => expr,
                }
            }
            _ => expr,
        };
        let exprs: Vec<Expr> = exprs.into_iter().map(|expr| fitted(expr, &mut evaluator)).collect();
        // Past the deadline the population stays as small as it is, so that every individual has its true score. At
        // least one individual is scored.
        let first = evaluator.score(&exprs[0], &instance, &config);
        let score = |expr: &Expr| evaluator.score_until(expr, &instance, &config, deadline.or_when(stop));
        let scores: Vec<Score> = std::iter::once(first).chain(exprs[1..].iter().map_while(score)).collect();
        let scored = exprs.iter().zip(&scores);
        let mut population = Population::new(
            scored.map(|(expr, &score)| IndividualRef::new(Child::orphan(expr, Origin::Random), score)),
        );
        let mut cache = ScoreCache::default();
        population.mark_in(&mut cache, generation, config.population_size);
        let best = Individual::from(population.best());
        let seen =
            if config.unique { population.iter().map(|i| config.identity(i.tree)).collect() } else { HashSet::new() };
        let first = BestStep { generation, expr: best.expr.clone(), score: best.score };
        Search {
            extra_left: config.extra_generations,
            instance,
            config,
            key,
            generation,
            population,
            best,
            stagnation,
            solved: None,
            solved_at: None,
            seen,
            evaluations: Evaluations::default(),
            progression: vec![first],
            started,
            deadline,
            elapsed: started.elapsed(),
            is_observed: false,
            stop: None,
            evaluator,
            subtrees,
            offspring: Offspring::default(),
            scores: Vec::new(),
            cache,
            survivors: Vec::new(),
            points: Vec::new(),
            sorting: Sorting::default(),
        }
    }

    /// Returns the state that a policy proposes from.
    pub fn state(&self) -> State<'_> {
        State {
            instance: &self.instance,
            config: &self.config,
            generation: self.generation,
            population: &self.population,
            best: &self.best,
            stagnation: self.stagnation,
            budget: Budget {
                generations: self.config.generations.saturating_sub(self.generation + 1),
                evaluations: self.config.max_evaluations.map(|max| max.saturating_sub(self.evaluations.search)),
                time: self.deadline.left(),
            },
            seen: &self.seen,
            key: self.key.generation(self.generation + 1),
            stop: None,
        }
    }

    /// Returns the problem.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// Returns the settings.
    pub fn config(&self) -> &SearchConfig {
        &self.config
    }

    /// Returns the number of children of one generation: all individuals but the elite.
    pub fn n_children(&self) -> usize {
        self.config.population_size - self.config.elitism
    }

    /// Returns the number of children of the next generation that are still to be made.
    fn n_missing(&self) -> usize {
        self.n_children() - self.offspring.len()
    }

    /// Returns why the search ended, or `None` if it has not.
    pub fn stopped(&self) -> Option<StopReason> {
        self.stop
    }

    /// Returns what the search has found so far.
    pub fn outcome(&self) -> Outcome {
        Outcome {
            best: self.reported_individual(&self.best),
            solved: self.solved.as_ref().map(|solved| self.reported_individual(solved)),
            generations_to_solve: self.solved_at.map(|(generation, ..)| generation),
            evaluations_to_solve: self.solved_at.map(|(_, evaluations, _)| evaluations),
            work_to_solve: self.solved_at.map(|(.., work)| work),
            stop: self.stop,
            generations: self.generation + 1,
            evaluations: self.evaluations,
            work: self.work(),
            progression: self.progression.clone(),
            elapsed: self.elapsed,
            semantics: self.config.semantics,
        }
    }

    /// Starts the clock. The time that making the search took counts too.
    fn start_clock(&mut self) {
        let now = Instant::now();
        self.started = now.checked_sub(self.elapsed).unwrap_or(now);
        self.deadline = Deadline::after(self.config.time_limit.map(|limit| limit.saturating_sub(self.elapsed)));
    }

    fn observe(&self, observer: &mut impl Observer) -> ControlFlow<()> {
        observer.on_generation(&Generation {
            instance: &self.instance,
            config: &self.config,
            generation: self.generation,
            population: &self.population,
            best: &self.best,
            evaluations: self.evaluations,
        })
    }

    /// Returns why no other generation may be made, or `None` if one may. The first rule that applies is the reason.
    fn check_stop(&self) -> Option<StopReason> {
        if let Some(solved) = &self.solved
            && self.extra_left == 0
        {
            return Some(StopReason::Solved { mse: solved.score.mse });
        }
        if self.generation + 1 >= self.config.generations {
            return Some(StopReason::Generations(self.config.generations));
        }
        if let Some(max) = self.config.max_evaluations
            && self.evaluations.search + self.n_children() as u64 > max
        {
            return Some(StopReason::Evaluations(max));
        }
        self.config.time_limit.filter(|_| self.deadline.has_passed()).map(StopReason::TimeLimit)
    }

    fn end(&mut self, reason: StopReason) {
        self.elapsed = self.started.elapsed();
        self.stop = Some(reason);
        (self.offspring, self.cache, self.subtrees) = Default::default(); // no children will come
        tracing::debug!(
            problem = self.instance.id(),
            reason = reason.name(),
            generation = self.generation,
            "search ended"
        );
    }

    /// Takes back the offspring to which a policy has added up to `wanted` children.
    fn accept(&mut self, offspring: Offspring, wanted: usize) {
        let before = self.n_children() - wanted;
        let proposed = offspring.len().checked_sub(before).expect("a policy only adds to the offspring");
        assert!(
            proposed == wanted || self.config.unique && proposed < wanted,
            "a policy proposed {proposed} offspring where {wanted} were wanted"
        );
        self.evaluations.proposals += proposed as u64;
        self.offspring = offspring;
        self.check_proposed(before);
        if self.config.unique {
            self.offspring.retain_from(before, |tree| self.seen.insert(self.config.identity(tree)));
        }
    }

    /// Checks the promises of a policy, see [`Policy::propose`], for the children from `start` on.
    fn check_proposed(&self, start: usize) {
        let primitives = self.instance.primitives();
        let allowed = primitives.ops().iter().fold(0_u64, |set, &op| set | 1 << op as u64);
        let is_allowed = |node: &Node| match *node {
            Node::Op(op) => allowed >> op as u64 & 1 == 1,
            Node::Var(index) => index < primitives.n_variables(),
            Node::Const(_) => true,
        };
        for index in start..self.offspring.len() {
            if self.offspring.is_claimed(index) {
                let child = self.offspring.get(index).expect("a child of the offspring");
                let made = child.edit.and_then(|edit| edit.apply(&self.population));
                assert_eq!(made.as_deref(), Some(child.tree), "the edit that a policy gives makes its child");
            }
            // The other nodes of a child that was made by an edit come from the population, and are checked.
            let foreign = self.offspring.written(index).iter().find(|node| !is_allowed(node));
            assert!(foreign.is_none(), "a policy proposed {foreign:?}, which is not among the primitives");
            let missing = self.offspring.parents(index).iter().find(|&parent| parent as usize >= self.population.len());
            assert!(missing.is_none(), "a policy names parent {missing:?} of {} individuals", self.population.len());
        }
    }

    /// Scores the children and replaces the population. If the time is over meanwhile, or `stop` is true, the whole
    /// generation is dropped. Without time the search ends; stopped, it stays as it was before.
    fn replace(&mut self, stop: Option<&AtomicBool>) {
        let scored = if is_stopped(stop) { None } else { self.score_children(stop) };
        let duplicates = match scored {
            Some(duplicates) => duplicates,
            None if is_stopped(stop) => {
                self.offspring.clear();
                self.scores.clear();
                self.elapsed = self.started.elapsed();
                return;
            }
            None => return self.end(StopReason::TimeLimit(self.config.time_limit.unwrap_or_default())),
        };
        self.evaluations.duplicates += duplicates;
        self.evaluations.search += self.offspring.len() as u64;
        self.select_survivors();
        self.population.succeed(&mut self.offspring, &mut self.scores, &self.survivors);
        self.generation += 1;
        self.is_observed = false;
        self.stagnation += 1;
        self.extra_left = self.extra_left.saturating_sub(u32::from(self.solved.is_some()));
        let fittest = self.population.best();
        if fittest.score.fitness > self.best.score.fitness {
            self.best = fittest.into();
            self.stagnation = 0;
            self.extra_left = self.config.extra_generations;
            self.progression.push(BestStep {
                generation: self.generation,
                expr: self.reported(&self.best.expr),
                score: self.best.score,
            });
        }
        self.note_solved();
    }

    /// Scores the children and counts those whose expression is in the population. Returns `None` if the time is over.
    fn score_children(&mut self, stop: Option<&AtomicBool>) -> Option<u64> {
        let Search {
            cache,
            population,
            offspring,
            scores,
            evaluator,
            subtrees,
            instance,
            config,
            deadline,
            generation,
            ..
        } = self;
        population.mark_in(cache, *generation, offspring.len());
        // Under [`Survival::Plus`] a child has to be better than the worst parent. The worst parent only gets better,
        // so an expression that was given up never returns.
        let all_parents_may_stay = config.survival == Survival::Plus && population.len() == config.population_size;
        let worst = (0..population.len()).map(|index| population.score(index).fitness).fold(f64::INFINITY, f64::min);
        let needed = if all_parents_may_stay { worst } else { f64::NEG_INFINITY };
        let deadline = deadline.or_when(stop);
        let mut duplicates = 0;
        for child in 0..offspring.len() {
            let tools = (&mut *cache, &mut *evaluator, subtrees.as_mut());
            let form = score_child(child, offspring, needed, tools, (instance, config), deadline)?;
            offspring.set_form(child, form, cache.serial(form));
            scores.push(cache.score(form));
            duplicates += u64::from(cache.is_marked(form, *generation));
        }
        Some(duplicates)
    }

    /// Selects the survivors: first individuals of the population, then children, see [`Population::succeed`].
    fn select_survivors(&mut self) {
        let Search { survivors, population, scores, config, offspring, points, sorting, .. } = self;
        let (parents, all) = (population.len(), (population.len() + scores.len()) as u32);
        survivors.clear();
        match config.survival {
            Survival::Generational => {
                survivors.extend(std::iter::repeat_n(population.best_index() as u32, config.elitism));
                survivors.extend(parents as u32..all);
            }
            Survival::Plus => {
                let fitness = |index: u32| match (index as usize).checked_sub(parents) {
                    None => population.score(index as usize).fitness,
                    Some(child) => scores[child].fitness,
                };
                survivors.extend(0..all);
                // Equals are in the order of their indices, so parents come first.
                survivors.sort_unstable_by(|&a, &b| fitness(b).total_cmp(&fitness(a)).then(a.cmp(&b)));
                survivors.truncate(config.population_size);
            }
            Survival::Pareto => {
                points.clear();
                let of_parent = |index| Point { score: population.score(index), size: population.tree(index).size() };
                points.extend((0..parents).map(of_parent));
                points.extend((0..scores.len()).map(|at| Point { score: scores[at], size: offspring.tree(at).size() }));
                sorting.select(points, config.population_size, survivors);
            }
        }
    }

    /// Returns the number of values computed so far, nodes times rows. It is the same on every machine.
    pub fn work(&self) -> u64 {
        self.evaluator.work()
    }

    fn hides_errors(&self, index: usize) -> bool {
        let tree = self.population.get(index).expect("an individual").tree;
        self.instance.hides_errors(&self.reported(tree), self.config.semantics)
    }

    /// Returns the expression that has the error of an individual.
    fn reported(&self, tree: &Tree) -> Expr {
        self.config.formula_of(tree, &self.instance).into_owned()
    }

    fn reported_individual(&self, individual: &Individual) -> Individual {
        Individual { expr: self.reported(&individual.expr), ..individual.clone() }
    }

    /// Notes the fittest individual of the population at or below the early-stop error.
    fn note_solved(&mut self) {
        let Some(threshold) = self.config.early_stop_mse else { return };
        // A larger threshold than the tolerance is used as it is.
        let (threshold, is_strict) = match self.config.objective {
            Objective::Masked => (threshold, false),
            Objective::Mse => (threshold.max(self.instance.tolerance()), threshold <= self.instance.tolerance()),
        };
        for index in 0..self.population.len() {
            let Score { mse, fitness } = self.population.score(index);
            let is_fitter = || self.solved.as_ref().is_none_or(|solved| fitness > solved.score.fitness);
            if mse <= threshold && is_fitter() && !(is_strict && self.hides_errors(index)) {
                self.solved = self.population.get(index).map(Individual::from);
                self.extra_left = self.config.extra_generations;
            }
        }
        if self.solved.is_some() && self.solved_at.is_none() {
            self.solved_at = Some((self.generation, self.evaluations.search, self.work()));
        }
    }
}

fn with_constants(tree: &Tree, constants: &[f64]) -> Expr {
    let mut constants = constants.iter();
    let changed = |node: &Node| match node {
        Node::Const(value) => Node::Const(constants.next().copied().unwrap_or(*value)),
        other => *other,
    };
    Expr::new(tree.nodes().iter().map(changed).collect()).expect("the nodes of a tree")
}

/// Runs searches to their end with one policy. `observers[i]` watches `searches[i]`. This is the only search loop.
///
/// The policy is asked for the children of all searches at once, by one thread; the children are scored by all threads of
/// the current rayon pool. A search's result depends on its instance, configuration, seed and policy, not on the others in the batch.
///
/// # Errors
/// Returns an error if the policy fails. The searches then stand at their last whole generation and can be run on.
///
/// # Panics
/// Panics if there are not as many observers as searches, or the policy breaks a promise of [`Policy::propose`].
pub fn run<O: Observer>(
    searches: &mut [Search],
    policy: &mut dyn Policy,
    observers: &mut [O],
) -> Result<Vec<Outcome>, PolicyError> {
    run_while(searches, policy, observers, None)
}

/// Runs searches like [`run`], until `stop` is true. Searches that have not ended by then stand at their last whole
/// generation and can be run on; their [`Outcome::stop`] is `None`.
///
/// # Errors
/// Returns an error where [`run`] does.
///
/// # Panics
/// Panics where [`run`] does.
pub fn run_until<O: Observer>(
    searches: &mut [Search],
    policy: &mut dyn Policy,
    observers: &mut [O],
    stop: &AtomicBool,
) -> Result<Vec<Outcome>, PolicyError> {
    run_while(searches, policy, observers, Some(stop))
}

fn run_while<O: Observer>(
    searches: &mut [Search],
    policy: &mut dyn Policy,
    observers: &mut [O],
    stop: Option<&AtomicBool>,
) -> Result<Vec<Outcome>, PolicyError> {
    assert_eq!(searches.len(), observers.len(), "one observer a search");
    searches.iter_mut().filter(|search| search.stop.is_none()).for_each(Search::start_clock);
    while !is_stopped(stop) && advance(searches, policy, observers, stop)? {}
    Ok(searches.iter().map(Search::outcome).collect())
}

fn is_stopped(stop: Option<&AtomicBool>) -> bool {
    stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
}

/// Advances every search that has not ended by one generation. Returns whether there was one.
fn advance<O: Observer>(
    searches: &mut [Search],
    policy: &mut dyn Policy,
    observers: &mut [O],
    stop: Option<&AtomicBool>,
) -> Result<bool, PolicyError> {
    let mut active: Few<&mut Search> = Few::new();
    for (search, observer) in searches.iter_mut().zip(observers) {
        if search.stop.is_some() {
            continue;
        }
        let observed = if search.is_observed { ControlFlow::Continue(()) } else { search.observe(observer) };
        search.is_observed = true;
        match search.check_stop().or(observed.is_break().then_some(StopReason::Observer)) {
            Some(reason) => search.end(reason),
            None => active.push(search),
        }
    }
    if let Err(error) = propose(&mut active, policy, stop) {
        active.iter_mut().for_each(|search| search.offspring.clear());
        return Err(error);
    }
    let replace =
        |search: &mut Search| match search.offspring.is_empty() && search.n_children() > 0 && !is_stopped(stop) {
            true => search.end(StopReason::Exhausted),
            false => search.replace(stop),
        };
    // Searches know nothing of each other, so the threads of the pool share them.
    match &mut active[..] {
        [] => return Ok(false),
        [search] => replace(search),
        searches => searches.par_iter_mut().with_max_len(1).for_each(|search| replace(search)),
    }
    Ok(true)
}

/// A collection with one item for each search of a batch; a batch of one allocates nothing.
type Few<T> = SmallVec<[T; 1]>;

/// Asks the policy for the next generation of every search. Under [`SearchConfig::unique`] it asks again for children
/// that were refused because they had been met before.
fn propose(
    searches: &mut [&mut Search],
    policy: &mut dyn Policy,
    stop: Option<&AtomicBool>,
) -> Result<(), PolicyError> {
    for attempt in 0..UNIQUE_ATTEMPTS {
        let asked: Few<usize> = (0..searches.len()).filter(|&index| searches[index].n_missing() > 0).collect();
        if asked.is_empty() {
            break;
        }
        let wanted: Few<usize> = asked.iter().map(|&index| searches[index].n_missing()).collect();
        let mut all_offspring: Few<Offspring> =
            asked.iter().map(|&index| std::mem::take(&mut searches[index].offspring)).collect();
        let mut requests: Few<Request<'_>> = Few::new();
        for ((&index, &wanted), offspring) in asked.iter().zip(&wanted).zip(&mut all_offspring) {
            let state = searches[index].state();
            let state = State { key: state.key.draw(attempt), stop, ..state };
            requests.push(Request { state, wanted, offspring });
        }
        policy.propose(&mut requests)?;
        drop(requests);
        if is_stopped(stop) {
            break; // a policy may have given up; there will be no generation of this
        }
        for ((&index, offspring), &wanted) in asked.iter().zip(all_offspring).zip(&wanted) {
            searches[index].accept(offspring, wanted);
        }
        if !searches.iter().any(|search| search.config.unique) {
            break;
        }
    }
    Ok(())
}

/// Runs searches in parallel over problems, on the current rayon pool. `policy` makes a policy for each. The outcomes
/// are those of [`run`], whatever the number of threads.
///
/// # Errors
/// Returns an error where [`run`] does.
///
/// # Panics
/// Panics if there are not as many observers as searches.
pub fn run_parallel<P: Policy, O: Observer + Send>(
    searches: &mut [Search],
    policy: impl Fn() -> P + Sync,
    observers: &mut [O],
) -> Result<Vec<Outcome>, PolicyError> {
    assert_eq!(searches.len(), observers.len(), "one observer a search");
    let pairs = searches.par_iter_mut().zip(observers.par_iter_mut());
    pairs.map(|(search, observer)| search.run_with(&mut policy(), observer)).collect()
}

/// Runs searches like [`run_parallel`], until `stop` is true. It returns only the outcomes of the first searches, up to
/// the first that had not ended by then.
///
/// # Errors
/// Returns an error where [`run`] does.
///
/// # Panics
/// Panics if there are not as many observers as searches.
pub fn run_parallel_until<P: Policy, O: Observer + Send>(
    searches: &mut [Search],
    policy: impl Fn() -> P + Sync,
    observers: &mut [O],
    stop: &AtomicBool,
) -> Result<Vec<Outcome>, PolicyError> {
    assert_eq!(searches.len(), observers.len(), "one observer a search");
    // The searches are taken one by one in their order; splitting the slice would leave gaps.
    let pairs = searches.iter_mut().zip(observers).enumerate().take_while(|_| !stop.load(Ordering::Relaxed));
    let outcome = |(index, (search, observer)): (usize, (&mut Search, &mut O))| {
        let (search, observer) = (std::slice::from_mut(search), std::slice::from_mut(observer));
        Ok((index, run_until(search, &mut policy(), observer, stop)?.remove(0)))
    };
    let outcomes: Result<Vec<(usize, Outcome)>, PolicyError> = pairs.par_bridge().map(outcome).collect();
    let mut outcomes = outcomes?;
    outcomes.sort_unstable_by_key(|(index, _)| *index);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).take_while(|outcome| outcome.stop.is_some()).collect())
}
