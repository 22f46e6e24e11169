//! Labellers: they propose children for a state, and choose which of them become labels.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use sr_engine::{
    Child, Expert, Generation, Individual, IndividualRef, Instance, Offspring, Origin, Parents, Recorded, Score,
    Scored, Scorer, Search, SearchConfig, State, lineage, run,
};
use sr_trace::{Candidates, Gain, GenerationRecord, Label, LabelParams, Labels, decades};
use strum::IntoStaticStr;

/// An expert that proposes children for a state.
pub trait Labeller {
    /// Returns the name, for label sets, of the way in which labels are chosen.
    fn mode(&self) -> &'static str;

    /// Returns the name of the expert for label sets.
    fn source(&self) -> &'static str;

    /// Returns the settings for label sets. `wanted` is the number of offspring of a generation.
    fn params(&self, seed: u64, wanted: usize) -> LabelParams;

    /// Returns the labels of a state. They may depend on the state's key, but on no other randomness. `wanted` is the
    /// number of offspring of a generation. `next` is the generation that the search produced from the state; `None`
    /// for the last state.
    fn label(&mut self, state: &State<'_>, next: Option<GenerationRecord<'_>>, wanted: usize) -> Labels;
}

/// The rule for which children of the expert become labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum LabelMode {
    /// All children of one generation: the expert's own action.
    #[default]
    All,
    /// The best new expressions among many children, which are better than the expert's own action. Drawing them is
    /// cheap, and the learner's proposals are not, so the learner is taught what takes the expert many draws.
    TopK,
    /// The best new expression among many children.
    BestOfK,
    /// The children of the expert's first generation that are ancestors of its best individual
    /// [`horizon`](ExpertConfig::horizon) generations later.
    Lineage,
    /// Like [`TopK`](LabelMode::TopK), but among the expert's children and those that the search itself produced from
    /// the state.
    Pooled,
}

impl LabelMode {
    /// All modes.
    pub const ALL: [LabelMode; 5] =
        [LabelMode::All, LabelMode::TopK, LabelMode::BestOfK, LabelMode::Lineage, LabelMode::Pooled];

    /// Returns the mode's name in files and flags.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The number of children that are drawn for the labels of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Draws {
    /// Draws until [`ENOUGH`] different children are improvements, at most [`MOST_DRAWS`].
    #[default]
    UntilImproved,
    /// Draws this many children.
    Exactly(u32),
}

/// The number of different improvements at which drawing ends.
pub const ENOUGH: usize = 4;
/// The most children drawn for a state where improvements are rare.
pub const MOST_DRAWS: u32 = 1024;
/// The number of children that are drawn before improvements are counted again.
const PORTION: u32 = 64;

/// The weight of a label in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weights {
    /// All labels have the same weight.
    #[default]
    Equal,
    /// The weight is the number of decades by which the error falls, at most 1; labels that do not improve have weight
    /// 0. AggreVaTe (Ross & Bagnell, 2014) weighs the loss by an action's later cost; this weight is the immediate
    /// gain.
    Gain,
}

/// The settings of an [`ExpertLabeller`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertConfig {
    /// The rule for which children become labels.
    pub mode: LabelMode,
    /// The number of children to draw, for modes [`TopK`](LabelMode::TopK), [`BestOfK`](LabelMode::BestOfK) and
    /// [`Pooled`](LabelMode::Pooled).
    pub draws: Draws,
    /// The most labels of a state, for modes [`TopK`](LabelMode::TopK) and [`Pooled`](LabelMode::Pooled).
    pub keep: u32,
    /// The number of generations that the expert searches on, for mode [`Lineage`](LabelMode::Lineage).
    pub horizon: u32,
    /// The weight of labels in training.
    pub weights: Weights,
}

impl Default for ExpertConfig {
    /// Returns mode [`All`](LabelMode::All); for the other modes, four labels a state and 20 generations.
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

/// A labeller that labels states with children of the expert. Use a new one for each trajectory, because it remembers
/// scores and data.
#[derive(Debug, Default, Clone)]
pub struct ExpertLabeller {
    config: ExpertConfig,
    scorer: Scorer,
    /// The children of the current state.
    offspring: Offspring,
    scored: Vec<Scored>,
    /// A copy of the trajectory's instance, for searches that continue from its states.
    instance: Option<Arc<Instance>>,
}

impl ExpertLabeller {
    /// Returns a labeller with these settings.
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

    /// Returns the best new expressions among many children.
    fn best(&mut self, state: &State<'_>, next: Option<GenerationRecord<'_>>, keep: usize) -> Labels {
        let ExpertLabeller { config, scorer, offspring, scored, .. } = self;
        offspring.clear();
        if let Some(next) = next {
            // The offspring that the search itself produced from the state count as children too.
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
        // Sorted by error, then size, then order of drawing.
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

    /// Returns the ancestors of the expert's winner in its first generation from here.
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
        // Each state has its own random stream.
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

/// Returns the label of a child, weighted as configured.
fn label<'a>(state: &State<'_>, child: Child<'a>, score: Score, weights: Weights) -> Label<'a> {
    let weight = match weights {
        Weights::Equal => 1.0,
        Weights::Gain => decades(score.mse as f32, of_best(state).0).min(1.0) as f32,
    };
    label_of(state, child, score, weight)
}

/// Returns the label of a child with this weight.
pub(crate) fn label_of<'a>(state: &State<'_>, child: Child<'a>, score: Score, weight: f32) -> Label<'a> {
    let parent = child.parents.iter().next().map(|index| state.population.score(index as usize));
    Label {
        gain_parent: parent.map_or(0.0, |parent| gain(score, parent)),
        gain_best: gain_best(state, score),
        weight,
        child: IndividualRef::new(child, score).into(),
    }
}

/// Returns how much fitter a child is than the fittest individual seen so far.
fn gain_best(state: &State<'_>, score: Score) -> f32 {
    gain(score, state.best.score)
}

/// Returns the difference of two fitnesses; 0 if they are equal, because two equal infinities differ by NaN.
fn gain(score: Score, over: Score) -> f32 {
    if score.fitness == over.fitness { 0.0 } else { (score.fitness - over.fitness) as f32 }
}

/// Returns the new expressions whose error is clearly below the best one's, among the children from `first` on.
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

/// Returns the error and the size of the best individual so far.
pub(crate) fn of_best(state: &State<'_>) -> (f32, usize) {
    (state.best.score.mse as f32, state.best.expr.size())
}
