//! Who answers what to do in a state, and which of the answers become labels.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use sr_engine::{
    Child, Expert, Generation, Individual, IndividualRef, Instance, Offspring, Origin, Parents, Recorded, Score,
    Scored, Scorer, Search, SearchConfig, State, lineage, run,
};
use sr_trace::{Candidates, Gain, GenerationRecord, Label, LabelParams, Labels, decades};
use strum::IntoStaticStr;

/// Answers what to do in a state.
pub trait Labeller {
    /// How labels are chosen, as label sets name it.
    fn mode(&self) -> &'static str;

    /// Who answers, as label sets name it.
    fn source(&self) -> &'static str;

    /// The settings that label sets tell. `wanted` is the number of children that a generation has.
    fn params(&self, seed: u64, wanted: usize) -> LabelParams;

    /// Children for one state, drawn from its key alone. `wanted` is the number of children that a generation has, `next`
    /// the generation that the search made of the state; it made none of the last one.
    fn label(&mut self, state: &State<'_>, next: Option<GenerationRecord<'_>>, wanted: usize) -> Labels;
}

/// Which children of the expert become labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum LabelMode {
    /// All children of one generation: what the expert would do.
    #[default]
    All,
    /// The best new forms among many children: better than what the expert would do. It is cheap, and the learner's
    /// proposals are not, so a learner may be taught what takes the expert many draws.
    TopK,
    /// The best new form among many children.
    BestOfK,
    /// The children of the expert's first generation from here that its best individual descends from some generations
    /// later.
    Lineage,
    /// As [`TopK`](LabelMode::TopK), among the expert's children and those that the search itself made of the state.
    Pooled,
}

impl LabelMode {
    /// All of them.
    pub const ALL: [LabelMode; 5] =
        [LabelMode::All, LabelMode::TopK, LabelMode::BestOfK, LabelMode::Lineage, LabelMode::Pooled];

    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// How many children are drawn for the labels of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Draws {
    /// Until [`ENOUGH`] of them are different improvements, at most [`MOST_DRAWS`].
    #[default]
    UntilImproved,
    /// So many.
    Exactly(u32),
}

/// Different improvements after which no more children are drawn.
pub const ENOUGH: usize = 4;
/// Children drawn at most where improvements are rare.
pub const MOST_DRAWS: u32 = 1024;
/// Children drawn before it is looked whether there are enough improvements.
const PORTION: u32 = 64;

/// How much a label counts in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weights {
    /// All alike.
    #[default]
    Equal,
    /// By the decades that the error falls, at most 1; labels that improve nothing have no weight. What an action costs
    /// later weighs the loss in AggreVaTe (Ross & Bagnell, 2014); here it is what it gains at once.
    Gain,
}

/// What an [`ExpertLabeller`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertConfig {
    /// Which children become labels.
    pub mode: LabelMode,
    /// How many are drawn; modes [`TopK`](LabelMode::TopK), [`BestOfK`](LabelMode::BestOfK) and [`Pooled`](LabelMode::Pooled).
    pub draws: Draws,
    /// Labels of a state at most; modes [`TopK`](LabelMode::TopK) and [`Pooled`](LabelMode::Pooled).
    pub keep: u32,
    /// Generations that the expert goes on; mode [`Lineage`](LabelMode::Lineage).
    pub horizon: u32,
    /// How much labels count.
    pub weights: Weights,
}

impl Default for ExpertConfig {
    /// All children of a generation; where it matters, four labels a state and 20 generations.
    fn default() -> Self {
        ExpertConfig {
            mode: LabelMode::All,
            draws: Draws::default(),
            keep: ENOUGH as u32,
            horizon: 20,
            weights: Weights::Equal,
        }
    }
}

/// Labels states with children of the expert. Of one trajectory each, because it remembers scores and data.
#[derive(Debug, Default, Clone)]
pub struct ExpertLabeller {
    config: ExpertConfig,
    scorer: Scorer,
    /// The children of the state at hand.
    offspring: Offspring,
    scored: Vec<Scored>,
    /// A copy of the trajectory's, for searches that go on from its states.
    instance: Option<Arc<Instance>>,
}

impl ExpertLabeller {
    /// One that chooses so.
    pub fn new(config: ExpertConfig) -> Self {
        ExpertLabeller { config, ..ExpertLabeller::default() }
    }

    fn all(&mut self, state: &State<'_>, wanted: usize) -> Labels {
        let ExpertLabeller { config, scorer, offspring, scored, .. } = self;
        offspring.clear();
        Expert::children(state, wanted, offspring);
        scored.clear();
        scorer.begin(state, offspring.len());
        scorer.score_more(state, offspring, scored);
        let mut labels = Labels::with_capacity(offspring.len(), offspring.iter().map(|child| child.tree.size()).sum());
        for (child, scored) in offspring.iter().zip(scored) {
            labels.push(&label(state, child, scored.score, config.weights));
        }
        labels
    }

    /// The best new forms among many.
    fn best(&mut self, state: &State<'_>, next: Option<GenerationRecord<'_>>, keep: usize) -> Labels {
        let ExpertLabeller { config, scorer, offspring, scored, .. } = self;
        offspring.clear();
        if let Some(next) = next {
            // What the search made of the state itself, each a child like the expert's.
            for made in next.individuals().filter(|made| made.origin != Origin::Elite) {
                let (origin, parents, edit) = (made.origin, made.parents, made.edit.clone());
                offspring.push(&Child { tree: made.expr, origin, parents, edit, log_prob: made.log_prob });
            }
        }
        let own = offspring.len();
        let most = match config.draws {
            Draws::UntilImproved => MOST_DRAWS,
            Draws::Exactly(draws) => draws,
        };
        let mut drawn = 0;
        scored.clear();
        scorer.begin(state, own + most as usize);
        let mut improved = HashSet::new();
        loop {
            let portion = match config.draws {
                Draws::UntilImproved => PORTION.min(most - drawn),
                Draws::Exactly(draws) => draws,
            };
            (drawn..drawn + portion).for_each(|slot| Expert::child(state, slot as usize, offspring));
            drawn += portion;
            debug_assert_eq!(offspring.len(), own + drawn as usize);
            let first = scored.len();
            scorer.score_more(state, offspring, scored);
            improved.extend(improvements(state, offspring, &scored[first..], first));
            if drawn >= most || improved.len() >= ENOUGH {
                break;
            }
        }
        let mut forms = HashSet::new();
        let mut candidates: Vec<usize> = (0..offspring.len())
            .filter(|&child| {
                scored[child].is_new && scored[child].score.is_valid() && forms.insert(scored[child].expression)
            })
            .collect();
        // By error, then size; the first drawn of equals.
        candidates.sort_by(|&a, &b| {
            let error = |child: usize| scored[child].score.mse;
            error(a).total_cmp(&error(b)).then(offspring.tree(a).size().cmp(&offspring.tree(b).size())).then(a.cmp(&b))
        });
        let mut gains: Vec<f32> = candidates.iter().map(|&child| gain_best(state, scored[child].score)).collect();
        gains.sort_unstable_by(|a, b| b.total_cmp(a));
        let statistics = Candidates::new(offspring.len() as u32, improved.len() as u32, &gains);
        candidates.truncate(keep);
        let child = |index: usize| offspring.get(index).expect("a candidate");
        let label = |index: usize| label(state, child(index), scored[index].score, config.weights);
        let mut labels: Labels = candidates.into_iter().map(label).collect();
        labels.candidates = Some(statistics).filter(|statistics| statistics.drawn > 0);
        labels
    }

    /// Ancestors of the expert's winner in its first generation from here.
    fn lineage(&mut self, state: &State<'_>) -> Labels {
        let instance = self.instance.get_or_insert_with(|| Arc::new(state.instance.clone())).clone();
        let config = SearchConfig {
            generations: state.generation.saturating_add(1).saturating_add(self.config.horizon),
            extra_generations: 0,
            max_evaluations: None,
            ..state.config.clone()
        };
        let recorded = Recorded {
            generation: state.generation,
            population: state.population.iter().map(|individual| individual.tree.to_owned()).collect(),
            best: Some(state.best.expr.clone()),
            stagnation: state.stagnation,
        };
        // A stream of its own for each state.
        let seed = state.key.rng().next_u64();
        let search = Search::resume_from(instance, config, seed, recorded);
        let mut searches = [search.expect("a visited state can be searched")];
        let mut parents: Vec<Vec<Parents>> = Vec::new();
        let mut first: Vec<Individual> = Vec::new();
        let mut winner = 0;
        let observer = |seen: &Generation<'_>| {
            parents.push(seen.population.iter().map(|individual| individual.parents).collect());
            if parents.len() == 2 {
                first = seen.population.iter().map(Individual::from).collect();
            }
            winner = seen.population.best_index();
            ControlFlow::<()>::Continue(())
        };
        run(&mut searches, &mut Expert, &mut [observer]).expect("the expert never fails");
        if first.is_empty() {
            return Labels::default(); // it is solved here
        }
        let ancestors = lineage(&parents, winner).swap_remove(1);
        let made = ancestors.into_iter().map(|index| &first[index as usize]);
        let mut labels = Labels::default();
        for child in made.filter(|made| made.origin != Origin::Elite) {
            let Individual { expr, score, origin, parents, edit, log_prob } = child;
            let (origin, parents, edit, log_prob) = (*origin, *parents, edit.clone(), *log_prob);
            let child = Child { tree: expr, origin, parents, edit, log_prob };
            labels.push(&label(state, child, *score, self.config.weights));
        }
        labels
    }
}

/// The label that a child is.
fn label<'a>(state: &State<'_>, child: Child<'a>, score: Score, weights: Weights) -> Label<'a> {
    let weight = match weights {
        Weights::Equal => 1.0,
        Weights::Gain => decades(score.mse as f32, of_best(state).0).min(1.0) as f32,
    };
    label_of(state, child, score, weight)
}

/// A child of a state as a label.
pub(crate) fn label_of<'a>(state: &State<'_>, child: Child<'a>, score: Score, weight: f32) -> Label<'a> {
    let parent = child.parents.iter().next().map(|index| state.population.score(index as usize));
    Label {
        gain_parent: parent.map_or(0.0, |parent| gain(score, parent)),
        gain_best: gain_best(state, score),
        weight,
        child: IndividualRef::new(child, score).into(),
    }
}

/// By how much fitter a child is than the fittest individual seen so far.
fn gain_best(state: &State<'_>, score: Score) -> f32 {
    gain(score, state.best.score)
}

/// The difference of two fitnesses; 0 for two that are equally infinite, whose difference is no number.
fn gain(score: Score, over: Score) -> f32 {
    if score.fitness == over.fitness { 0.0 } else { (score.fitness - over.fitness) as f32 }
}

/// New forms whose error is clearly below the best one's, among the children from `first` on.
fn improvements(
    state: &State<'_>,
    offspring: &Offspring,
    scored: &[Scored],
    first: usize,
) -> impl Iterator<Item = u32> {
    let best = of_best(state);
    let improves = move |(child, scored): &(usize, &Scored)| {
        let gain = Gain::of((scored.score.mse as f32, offspring.tree(*child).size()), best);
        scored.is_new && gain.is_improvement()
    };
    (first..).zip(scored).filter(improves).map(|(_, scored)| scored.expression)
}

impl Labeller for ExpertLabeller {
    fn mode(&self) -> &'static str {
        self.config.mode.name()
    }

    fn source(&self) -> &'static str {
        "basic_sr"
    }

    fn params(&self, seed: u64, wanted: usize) -> LabelParams {
        let ExpertConfig { mode, draws, keep, horizon, weights } = self.config;
        let chooses = matches!(mode, LabelMode::TopK | LabelMode::BestOfK | LabelMode::Pooled);
        let (samples, until) = match draws {
            _ if !chooses => (wanted as u32, None),
            Draws::UntilImproved => (MOST_DRAWS, Some(ENOUGH as u32)),
            Draws::Exactly(draws) => (draws, None),
        };
        LabelParams {
            seed,
            samples,
            until,
            keep: match mode {
                LabelMode::TopK | LabelMode::Pooled => Some(keep),
                _ => None,
            },
            horizon: (mode == LabelMode::Lineage).then_some(horizon),
            weighted: weights == Weights::Gain,
        }
    }

    fn label(&mut self, state: &State<'_>, next: Option<GenerationRecord<'_>>, wanted: usize) -> Labels {
        let keep = self.config.keep as usize;
        match self.config.mode {
            LabelMode::All => self.all(state, wanted),
            LabelMode::TopK => self.best(state, None, keep),
            LabelMode::BestOfK => self.best(state, None, 1),
            LabelMode::Pooled => self.best(state, next, keep),
            LabelMode::Lineage => self.lineage(state),
        }
    }
}

/// Error and size of the best individual so far.
pub(crate) fn of_best(state: &State<'_>) -> (f32, usize) {
    (state.best.score.mse as f32, state.best.expr.size())
}
