//! Searches in which expert and learner share the offspring.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use sr_engine::random::{Key, Purpose};
use sr_engine::{Expert, Offspring, Origin, Policy, PolicyError, Request, State};
use strum::IntoStaticStr;

use crate::{Error, Learner};

/// The learner's share of a search's offspring; the expert proposes the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// Each coin toss gives the learner its offspring with this probability, in [0, 1].
    Drawn(f64, Per),
    /// The learner proposes every k-th generation, first the k-th one; k ≥ 1.
    EveryKth(u32),
}

/// The unit for which a coin is tossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Per {
    /// Each child.
    #[default]
    Child,
    /// All offspring of a generation.
    Generation,
    /// All offspring of a search, as a rollout in DAgger does with 1 − β (Ross, Gordon & Bagnell, 2011).
    Search,
}

impl Per {
    /// All units.
    pub const ALL: [Per; 3] = [Per::Child, Per::Generation, Per::Search];

    /// Returns the name in files and flags.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl FromStr for Per {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Per::ALL.into_iter().find(|per| per.name() == name);
        found.ok_or_else(|| format!("expected {}", Per::ALL.map(Per::name).join(", ")))
    }
}

impl Share {
    /// Parses the flags `--neural-prob`, `--neural-per` and `--neural-every`; `None` if there is no share.
    ///
    /// # Errors
    /// [`Error::Share`], naming the flag, if the probability is outside [0, 1] or the period is 0.
    pub fn of_flags(probability: Option<f64>, per: Option<Per>, every: Option<u32>) -> Result<Option<Self>, Error> {
        match (probability, every) {
            (Some(p), _) if !(0.0..=1.0).contains(&p) => {
                Err(Error::Share { flag: "--neural-prob", found: p.to_string(), expected: "a probability from 0 to 1" })
            }
            (_, Some(0)) => {
                Err(Error::Share { flag: "--neural-every", found: "0".into(), expected: "1 or more generations" })
            }
            (Some(p), _) => Ok(Some(Share::Drawn(p, per.unwrap_or_default()))),
            (None, every) => Ok(every.map(Share::EveryKth)),
        }
    }

    /// Returns whether the learner proposes the child of a slot. Coins are keyed by problem, seed and unit, so that
    /// batches, threads and shards change nothing.
    pub fn is_learners(self, state: &State<'_>, slot: usize) -> bool {
        let (probability, key) = match self {
            Share::EveryKth(k) => return (state.generation + 1).is_multiple_of(k),
            Share::Drawn(probability, Per::Child) => (probability, state.key.slot(slot as u32)),
            Share::Drawn(probability, Per::Generation) => (probability, state.key),
            Share::Drawn(probability, Per::Search) => (probability, state.key.generation(0)),
        };
        Key { purpose: Purpose::Mixture, ..key }.rng().chance(probability)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Share::Drawn(p, per) => write!(f, "{} {p}", per.name()),
            Share::EveryKth(k) => write!(f, "every {k}"),
        }
    }
}

/// A policy of expert and learner in one search. Each child's [`Origin`] says who proposed it.
#[derive(Debug, Clone)]
pub struct Hybrid {
    learner: Learner,
    share: Share,
}

impl Hybrid {
    /// Returns a policy in which the learner has this share of the offspring.
    pub fn new(learner: Learner, share: Share) -> Self {
        Hybrid { learner, share }
    }

    /// Returns the learner.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }
}

impl Policy for Hybrid {
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        let slots = |request: &Request<'_>| -> Vec<bool> {
            (0..request.wanted).map(|slot| self.share.is_learners(&request.state, slot)).collect()
        };
        let slots: Vec<Vec<bool>> = requests.iter().map(slots).collect();
        let count = |slots: &Vec<bool>| slots.iter().filter(|&&is_learners| is_learners).count();
        let mut written = vec![Offspring::default(); requests.len()];
        let of_learner = requests.iter().zip(&slots).zip(&mut written).filter_map(|((request, slots), written)| {
            let wanted = count(slots);
            (wanted > 0).then(|| Request::new(request.state, wanted, written))
        });
        let mut of_learner: Vec<Request<'_>> = of_learner.collect();
        if !of_learner.is_empty() {
            self.learner.propose(&mut of_learner)?;
            if of_learner.iter().any(|request| request.offspring.len() < request.wanted) {
                return Ok(()); // the learner was stopped, and nobody will look at the offspring
            }
        }
        for ((request, slots), written) in requests.iter_mut().zip(&slots).zip(&written) {
            let Request { state, offspring, .. } = request;
            let mut texts = written.iter();
            let of_learner = written.iter().filter(|child| child.origin == Origin::Learner);
            let mut met: HashSet<u64> = of_learner.map(|child| state.config.identity(child.tree)).collect();
            for (slot, &is_learners) in slots.iter().enumerate() {
                match is_learners.then(|| texts.next().expect("a child for each slot")) {
                    Some(child) if child.origin == Origin::Learner => offspring.push(&child),
                    // A text that is not an expression is replaced by the expert's child of this slot, not of the
                    // learner's slot number.
                    Some(_) => {
                        Expert::new_child(state, slot, offspring, &mut met);
                        offspring.set_last_origin(Origin::Fallback);
                    }
                    None => Expert::new_child(state, slot, offspring, &mut met),
                }
            }
        }
        Ok(())
    }
}
