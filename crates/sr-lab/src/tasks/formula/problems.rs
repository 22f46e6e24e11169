//! Milestones of formula search: distributions of problems, and fresh problems of each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sr_engine::random::{Key, Purpose, problem_key};
use sr_engine::{Objective, Search, SearchConfig};
use sr_problems::{Blocklist, Generator, Problem, ProblemSet, RandomParams, parse_operators};

use crate::tasks::milestones::read_milestones;
use crate::tasks::{Named, Stopped, Unusable};

/// The milestones that come with the project.
const BUILT_IN: &str = include_str!("../../../../../configs/milestones.toml");
/// Problems to draw for each that is needed, before a milestone counts as too easy.
const TRIES: u32 = 200;

/// A milestone: a distribution of problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// The name, used in folders and flags.
    pub id: String,
    /// A description for people.
    #[serde(default)]
    pub about: String,
    /// The operators of formulas and searches.
    #[serde(default = "arith")]
    pub operators: String,
    /// The complexity of the formulas, from 0 to 1; it determines their size.
    #[serde(default = "half")]
    pub complexity: f64,
    /// The constants of formulas and searches.
    #[serde(default = "one")]
    pub constants: Vec<f64>,
    /// The most variables of a formula.
    #[serde(default = "three")]
    pub max_variables: u16,
    /// The number of points of a problem.
    #[serde(default = "fifty")]
    pub points: u32,
    /// A fixed problem set for training instead of fresh problems.
    pub problems: Option<PathBuf>,
    /// A suite for evaluation instead of fresh problems.
    pub eval_suite: Option<String>,
}

fn arith() -> String {
    "arith".to_owned()
}

fn half() -> f64 {
    0.5
}

fn one() -> Vec<f64> {
    vec![1.0]
}

fn three() -> u16 {
    3
}

fn fifty() -> u32 {
    50
}

impl Named for Milestone {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Milestone {
    /// Returns a milestone with the four operators of arithmetic and formulas of medium size.
    pub fn new(id: impl Into<String>) -> Self {
        Milestone {
            id: id.into(),
            about: String::new(),
            operators: arith(),
            complexity: half(),
            constants: one(),
            max_variables: three(),
            points: fifty(),
            problems: None,
            eval_suite: None,
        }
    }
}

/// Reads the milestones of a file, or returns those that come with the project. Paths in the file are relative to it.
///
/// # Errors
/// If the file cannot be read, or has an unknown key.
pub fn milestones(path: Option<&Path>) -> anyhow::Result<Vec<Milestone>> {
    let name = path.map_or("the built-in milestones".to_owned(), |path| path.display().to_string());
    let mut milestones: Vec<Milestone> = read_milestones(path, BUILT_IN).with_context(|| format!("reading {name}"))?;
    for milestone in &mut milestones {
        // Paths are relative to the file that contains them.
        if let (Some(problems), Some(folder)) = (&mut milestone.problems, path.and_then(Path::parent)) {
            *problems = folder.join(&problems);
        }
    }
    Ok(milestones)
}

/// A search to run.
#[derive(Debug, Clone)]
pub(crate) struct Episode {
    pub(crate) problem: Problem,
    pub(crate) seed: u64,
}

impl Milestone {
    /// Returns the problems on which expert and learner are evaluated. They depend on the run's seed and the
    /// milestone's id.
    ///
    /// # Errors
    /// [`Unusable`] if the problems are too easy; [`Stopped`] if it was stopped.
    pub(crate) fn evaluation(
        &self,
        n: u32,
        config: &SearchConfig,
        seed: u64,
        stop: &AtomicBool,
    ) -> anyhow::Result<(ProblemSet, Vec<Episode>)> {
        let seed = Key::new(seed, Purpose::Generator, problem_key(&format!("evaluation {}", self.id))).rng().next_u64();
        match &self.eval_suite {
            Some(name) => {
                let set = sr_problems::suite(name, seed).with_context(|| format!("milestone {}", self.id))?;
                Ok((set.clone(), in_turn(&set, n, 0, seed)))
            }
            None => self.fresh(n, config, seed, Arc::default(), stop),
        }
    }

    /// Returns the problems of a round's rollouts; none has a formula of the blocklist.
    ///
    /// # Errors
    /// [`Unusable`] if the problems cannot be read, none is left, or every one is solved at once; [`Stopped`] if it was
    /// stopped.
    pub(crate) fn training(
        &self,
        n: u32,
        round: u32,
        config: &SearchConfig,
        seed: u64,
        blocklist: Arc<Blocklist>,
        stop: &AtomicBool,
    ) -> anyhow::Result<(ProblemSet, Vec<Episode>)> {
        let Some(path) = &self.problems else { return self.fresh(n, config, seed, blocklist, stop) };
        let mut set = self.read(path)?;
        let before = set.problems.len();
        set.problems.retain(|problem| problem.source.as_ref().is_none_or(|source| !blocklist.contains(source)));
        if set.problems.len() < before {
            tracing::debug!(left_out = before - set.problems.len(), "problems with formulas that are judged on");
        }
        ensure!(
            !set.problems.is_empty(),
            Unusable(format!(
                "{}: no problem is left to train on, since expert and learner are judged on all of these formulas; \
                 take others for problems",
                path.display()
            ))
        );
        let episodes = in_turn(&set, n, round, seed);
        let mut is_solved = true;
        for episode in &episodes {
            ensure!(!stop.load(Ordering::Relaxed), Stopped);
            if !is_solved_at_once(&episode.problem, config, episode.seed)? {
                is_solved = false;
                break;
            }
        }
        ensure!(
            !is_solved,
            Unusable(format!(
                "{}: the initial population solves every problem, so nobody acts in any; take harder ones for problems",
                path.display()
            ))
        );
        // Episodes may share a problem; the set has it once.
        set.problems.retain(|problem| episodes.iter().any(|episode| episode.problem.id == problem.id));
        Ok((set, episodes))
    }

    /// Reads the problems of a file.
    pub(super) fn read(&self, path: &Path) -> anyhow::Result<ProblemSet> {
        ProblemSet::read(path).map_err(|error| {
            let (error, path) = (error.to_string(), path.display().to_string());
            let named = if error.contains(&path) { error } else { format!("{path}: {error}") };
            Unusable(format!("its problems cannot be read: {named}; put the file there and run the same command again"))
                .into()
        })
    }

    /// Draws new problems. Those that the initial population of their search solves are skipped, because no policy acts
    /// in them.
    fn fresh(
        &self,
        n: u32,
        config: &SearchConfig,
        seed: u64,
        blocklist: Arc<Blocklist>,
        stop: &AtomicBool,
    ) -> anyhow::Result<(ProblemSet, Vec<Episode>)> {
        let of = || format!("milestone {}", self.id);
        let operators = parse_operators(&self.operators).with_context(of)?;
        let mut params = RandomParams::arith(operators, self.constants.clone(), self.complexity, seed);
        params.max_variables = self.max_variables;
        params.points = Some(self.points);
        let generator = Generator::new(params).with_context(of)?.excluding(blocklist);
        let mut set = generator.generate(0, || ())?;
        let mut episodes = Vec::new();
        for index in 0..n.saturating_mul(TRIES) {
            if episodes.len() == n as usize {
                break;
            }
            ensure!(!stop.load(Ordering::Relaxed), Stopped);
            let problem = generator.problem(index).with_context(of)?;
            if !is_solved_at_once(&problem, config, seed)? {
                set.problems.push(problem.clone());
                episodes.push(Episode { problem, seed });
            }
        }
        ensure!(
            episodes.len() == n as usize,
            Unusable(format!(
                "only {} of {} problems are not solved by the initial population, and {n} are wanted; make the milestone harder",
                episodes.len(),
                n.saturating_mul(TRIES)
            ))
        );
        Ok((set, episodes))
    }
}

/// Returns whether the initial population of its search solves a problem, so that no policy acts in it.
fn is_solved_at_once(problem: &Problem, config: &SearchConfig, seed: u64) -> anyhow::Result<bool> {
    let instance = problem.instance().with_context(|| format!("problem {}", problem.id))?;
    let threshold = match (config.early_stop_mse.unwrap_or(0.0), config.objective) {
        (threshold, Objective::Masked) => threshold,
        (threshold, Objective::Mse) => threshold.max(instance.tolerance()),
    };
    let search = Search::new(Arc::new(instance), config.clone(), seed)?;
    // A NaN error never counts as solved.
    Ok(search.state().population.iter().any(|individual| individual.score.mse <= threshold))
}

/// Returns the problems of a fixed set in turn from round to round; each pass over the set uses other seeds.
fn in_turn(set: &ProblemSet, n: u32, round: u32, seed: u64) -> Vec<Episode> {
    let count = set.problems.len() as u64;
    let numbers = (0..u64::from(n)).map(|index| u64::from(round) * u64::from(n) + index);
    let episode = |number: u64| Episode {
        problem: set.problems[(number % count) as usize].clone(),
        seed: seed.wrapping_add(number / count),
    };
    numbers.map(episode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    static GO: AtomicBool = AtomicBool::new(false);

    #[test]
    fn making_problems_ends_when_it_is_told_to() {
        let milestone = milestones(None).expect("they are read").remove(0);
        let stop = AtomicBool::new(true);
        let error = milestone.evaluation(1_000_000, &SearchConfig::basic(), 1, &stop).expect_err("stopped");
        assert!(error.is::<Stopped>());
    }

    #[test]
    fn the_built_in_milestones_can_be_made() {
        let milestones = milestones(None).expect("they are read");
        assert!(milestones.len() >= 8, "{}", milestones.len());
        let config = SearchConfig::basic();
        for milestone in &milestones {
            let (_, judged) = milestone.evaluation(3, &config, 1, &GO).expect(&milestone.id);
            let mut blocklist = Blocklist::default();
            judged.iter().filter_map(|e| e.problem.source.as_ref()).for_each(|formula| blocklist.insert(formula));
            let blocklist = Arc::new(blocklist);
            let (set, trained) = milestone.training(4, 0, &config, 2, blocklist.clone(), &GO).expect(&milestone.id);
            assert_eq!((judged.len(), trained.len(), set.problems.len()), (3, 4, 4));
            let sources = trained.iter().filter_map(|e| e.problem.source.as_ref());
            assert!(sources.clone().count() == 4 && !sources.into_iter().any(|source| blocklist.contains(source)));
        }
    }

    #[test]
    fn fixed_problems_come_in_turn() {
        let set = sr_problems::suite("ultra-simple", 1).expect("a suite");
        let ids = |round| -> Vec<(String, u64)> {
            in_turn(&set, 3, round, 10).into_iter().map(|e| (e.problem.id, e.seed)).collect()
        };
        let all: Vec<(String, u64)> = (0..2).flat_map(ids).collect();
        let names: Vec<&str> = set.problems.iter().map(|problem| &*problem.id).collect();
        let met: Vec<&str> = all.iter().map(|(id, _)| &**id).collect();
        assert_eq!(met, [names[0], names[1], names[2], names[3], names[4], names[0]]);
        assert_eq!((all[4].1, all[5].1), (10, 11));
    }
}
