//! A labeller that only repeats its state shows which states are labelled.

use std::sync::Arc;

use sr_dagger::{Labeller, label_states};
use sr_engine::random::{Key, Purpose};
use sr_engine::{
    Child, Expert, IndividualRef, Instance, Origin, Parents, Policy, PolicyError, PrimitiveSet, Request, Search,
    SearchConfig, State, run,
};
use sr_expr::{Columns, Expr, Op};
use sr_trace::{GenerationRecord, Label, LabelParams, Labels, Recorder};

/// Labels a state with its own population.
struct Echo;

impl Labeller for Echo {
    fn mode(&self) -> &'static str {
        "all"
    }

    fn source(&self) -> &'static str {
        "echo"
    }

    fn params(&self, seed: u64, _: usize) -> LabelParams {
        LabelParams { seed, ..LabelParams::default() }
    }

    fn label(&mut self, state: &State<'_>, _: Option<GenerationRecord<'_>>, _: usize) -> Labels {
        let mut labels = Labels::default();
        for individual in state.population.iter() {
            let parents = Parents::None;
            let child = IndividualRef { origin: Origin::Injected, parents, edit: None, log_prob: None, ..individual };
            labels.push(&Label { child: child.into(), gain_parent: 0.0, gain_best: 0.0, weight: 1.0 });
        }
        labels
    }
}

/// A learner whose children the expert would never propose: each is the sum of the best individual and x0.
struct Stubborn;

impl Policy for Stubborn {
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        for Request { state, wanted, offspring } in requests {
            let child: Expr = format!("({} + x0)", state.best.expr).parse().expect("a sum");
            let small = if child.size() <= 25 { child } else { Expr::var(0) };
            for slot in 0..*wanted {
                match slot % 2 {
                    0 => offspring.push(&Child {
                        tree: &small,
                        origin: Origin::Learner,
                        parents: Parents::None,
                        edit: None,
                        log_prob: None,
                    }),
                    _ => Expert::child(state, slot, offspring),
                }
            }
        }
        Ok(())
    }
}

#[test]
fn labels_belong_to_the_states_that_were_visited() {
    let mut rng = Key::new(1, Purpose::Rows, 0).rng();
    let x = Columns::new(30, 2, (0..60).map(|_| rng.uniform(-2.0, 2.0)).collect());
    let formula: Expr = "sin(3*x0) + x1*x0".parse().expect("a formula");
    let y = sr_expr::reference::predict(&formula, &x, sr_expr::Semantics::Ieee);
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul, Op::Sin], vec![1.0, 2.5], 2).expect("primitives");
    let instance = Arc::new(Instance::new("p", x, y, primitives).expect("an instance"));
    let config = SearchConfig { generations: 12, early_stop_mse: None, ..SearchConfig::basic() };
    let mut searches = [Search::new(instance.clone(), config.clone(), 3).expect("settings")];
    let mut recorders = [Recorder::new(3)];
    let outcome = run(&mut searches, &mut Stubborn, &mut recorders).expect("the expert never fails").remove(0);
    let [recorder] = recorders;
    let trajectory = recorder.finish(&outcome).expect("recorded");

    let labels = label_states(&trajectory, &instance, &config, 9, &mut Echo).expect("labels");
    assert_eq!(labels.states.len(), trajectory.generations.len());
    for state in &labels.states {
        let visited = trajectory.generation(state.generation).expect("a generation");
        let echoed = state.children.iter().map(|label| (label.child.expr.to_owned(), label.child.fitness));
        let expected = visited.individuals().map(|individual| (individual.expr.to_owned(), individual.fitness));
        assert!(echoed.eq(expected), "generation {}", state.generation);
        assert_eq!(state.state_hash, visited.state_hash());
    }
    // If the labeller had walked on with its own populations, none of them would contain the learner's children.
    let learned = trajectory.generations.last().individuals().filter(|i| i.origin == Origin::Learner).count();
    assert_eq!(learned, 10);
}
