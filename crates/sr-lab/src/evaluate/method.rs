//! The methods that are compared, by name.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sr_engine::SearchConfig;
#[cfg(feature = "learner")]
use sr_neural::{Hybrid, LearnerMode, Per, Sampling, Share};

use crate::tune;

/// The values that `--methods` accepts.
const KNOWN: &str = "expected expert, basic, unique, tuned, random, enumeration or cheat:best-of-K, each also as NAME=…, or \
    NAME=neural:CHECKPOINT, NAME=direct:CHECKPOINT, NAME=hybrid:CHECKPOINT, NAME=hybrid:CHECKPOINT@every=K or \
    NAME=hybrid:CHECKPOINT@p=P; neural and hybrid without a checkpoint are the shipped model";
/// The largest K of `cheat:best-of-K`.
const MOST_DRAWS: usize = 1024;

/// A named method, parsed from text such as `expert`, `cheat:best-of-8` or `NAME=neural:CHECKPOINT`.
#[derive(Debug, Clone, PartialEq)]
pub struct Method {
    /// The name, unique in an evaluation.
    pub name: String,
    /// The text after `NAME=`, or the whole text if there is no name.
    pub written: String,
    /// The kind of the method.
    pub kind: MethodKind,
}

/// The kind of a method: what chooses the next generation.
#[derive(Debug, Clone, PartialEq)]
pub enum MethodKind {
    /// The expert: genetic programming.
    Expert,
    /// The expert that never repeats an expression.
    Unique,
    /// The expert as the reference engine has it, whatever the common settings say of selection and survival.
    Basic,
    /// The expert with searched settings, see [`tune`].
    Tuned,
    /// A fresh random tree for each child.
    Random,
    /// All expressions with distinct values, the smallest first.
    Enumeration,
    /// The best of this many offspring of the expert.
    BestOf(usize),
    /// The learner of this checkpoint, which sees the population.
    #[cfg(feature = "learner")]
    Neural(PathBuf),
    /// The learner of this checkpoint and the expert, with its own share or else that of [`Learning`].
    #[cfg(feature = "learner")]
    Hybrid(PathBuf, Option<Share>),
    /// The learner of this checkpoint, which writes formulas from the data alone.
    #[cfg(feature = "learner")]
    Direct(PathBuf),
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // In a hybrid without a name the first "=" belongs to its share.
        let named = text.split_once('=').filter(|(name, _)| !name.contains(':') && !name.starts_with("hybrid@"));
        let (name, written) = named.unwrap_or((text, text));
        let kind = match (written, written.split_once(':')) {
            ("expert", _) => MethodKind::Expert,
            ("unique", _) => MethodKind::Unique,
            ("basic", _) => MethodKind::Basic,
            ("tuned", _) => MethodKind::Tuned,
            ("random", _) => MethodKind::Random,
            ("enumeration", _) => MethodKind::Enumeration,
            (_, Some(("cheat", draws))) => {
                let k = draws.strip_prefix("best-of-").and_then(|k| k.parse().ok());
                let k = k.filter(|k| (1..=MOST_DRAWS).contains(k));
                MethodKind::BestOf(k.ok_or(format!("expected cheat:best-of-K with K from 1 to {MOST_DRAWS}"))?)
            }
            (_, Some((kind @ ("neural" | "direct" | "hybrid"), checkpoint))) if !checkpoint.is_empty() => {
                of_learner(kind, checkpoint)?
            }
            ("neural", _) => of_learner("neural", "")?,
            (hybrid, _) if hybrid == "hybrid" || hybrid.starts_with("hybrid@") => {
                of_learner("hybrid", &hybrid["hybrid".len()..])?
            }
            _ => return Err(KNOWN.into()),
        };
        Ok(Method { name: name.into(), written: written.into(), kind })
    }
}

#[cfg(not(feature = "learner"))]
fn of_learner(kind: &str, checkpoint: &str) -> Result<MethodKind, String> {
    Err(format!("{kind}:{checkpoint} is a learner, which this program was built without"))
}

#[cfg(feature = "learner")]
fn of_learner(kind: &str, checkpoint: &str) -> Result<MethodKind, String> {
    Ok(match kind {
        "neural" => MethodKind::Neural(or_shipped(checkpoint)),
        "direct" => MethodKind::Direct(checkpoint.into()),
        _ => {
            let (checkpoint, share) = own_share(checkpoint)?;
            MethodKind::Hybrid(or_shipped(checkpoint), share)
        }
    })
}

/// Returns the path, or without one that of the shipped model.
#[cfg(feature = "learner")]
fn or_shipped(checkpoint: &str) -> PathBuf {
    if checkpoint.is_empty() { sr_neural::shipped::DEFAULT.into() } else { checkpoint.into() }
}

/// Splits a checkpoint from the share behind it, `@every=K`, `@p=P` or `@p=P/PER`.
#[cfg(feature = "learner")]
fn own_share(text: &str) -> Result<(&str, Option<Share>), String> {
    let Some((checkpoint, share)) = text.rsplit_once('@') else { return Ok((text, None)) };
    let bad =
        || format!("@{share}: expected @every=K, @p=P, @p=P/generation or @p=P/search, K from 1 on and P from 0 to 1");
    let share = match share.split_once('=') {
        Some(("every", k)) => Share::of_flags(None, None, Some(k.parse().map_err(|_| bad())?)),
        Some(("p", p)) => {
            let (p, per) = p.split_once('/').map_or((p, None), |(p, per)| (p, Some(per)));
            let per = per.map(Per::from_str).transpose().map_err(|_| bad())?;
            Share::of_flags(Some(p.parse().map_err(|_| bad())?), per, None)
        }
        _ => return Ok((text, None)), // part of a folder's name
    };
    Ok((checkpoint, share.map_err(|_| bad())?))
}

impl Method {
    /// Returns the folder of the method's learner.
    pub fn checkpoint(&self) -> Option<&PathBuf> {
        match &self.kind {
            #[cfg(feature = "learner")]
            MethodKind::Neural(folder) | MethodKind::Hybrid(folder, _) | MethodKind::Direct(folder) => Some(folder),
            MethodKind::Expert
            | MethodKind::Unique
            | MethodKind::Basic
            | MethodKind::Tuned
            | MethodKind::Random
            | MethodKind::Enumeration
            | MethodKind::BestOf(_) => None,
        }
    }

    /// Returns the search's settings for this method. A tuned expert gets the same number of evaluations as the common
    /// settings.
    pub fn config(&self, common: &SearchConfig) -> SearchConfig {
        match self.kind {
            MethodKind::Unique => SearchConfig { unique: true, ..common.clone() },
            MethodKind::Basic => {
                let basic = SearchConfig::basic();
                SearchConfig {
                    tournament_size: basic.tournament_size.min(common.population_size),
                    crossover_probability: basic.crossover_probability,
                    parsimony_coefficient: basic.parsimony_coefficient,
                    survival: basic.survival,
                    unique: basic.unique,
                    ..common.clone()
                }
            }
            MethodKind::Tuned => {
                let children = (common.population_size - common.elitism) as u64;
                let all = common.population_size as u64 + u64::from(common.generations - 1).saturating_mul(children);
                let most = common.max_evaluations.map_or(all, |most| most.min(all));
                let config = tune::Settings::tuned().apply(common);
                SearchConfig { generations: u32::MAX, max_evaluations: Some(most), ..config }
            }
            _ => common.clone(),
        }
    }
}

/// The policy of a method, ready to search.
pub enum Policy {
    /// The expert: genetic programming.
    Expert,
    /// Random trees.
    Random,
    /// All expressions, the smallest first.
    Enumeration,
    /// The best of this many offspring of the expert.
    BestOf(usize),
    /// A learner, alone or with the expert.
    #[cfg(feature = "learner")]
    Learner(Box<Hybrid>),
    /// Any other policy, which gets all searches of a batch together. Its method is of kind [`MethodKind::Expert`]
    /// under a name of its own.
    Custom(Box<dyn sr_engine::Policy>),
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::Expert => f.write_str("Expert"),
            Policy::Random => f.write_str("Random"),
            Policy::Enumeration => f.write_str("Enumeration"),
            Policy::BestOf(k) => f.debug_tuple("BestOf").field(k).finish(),
            #[cfg(feature = "learner")]
            Policy::Learner(hybrid) => f.debug_tuple("Learner").field(hybrid).finish(),
            Policy::Custom(_) => f.debug_tuple("Custom").finish_non_exhaustive(),
        }
    }
}

impl Policy {
    /// Returns the policy of a method without a learner.
    ///
    /// # Errors
    /// If the method has a learner.
    pub fn new(method: &Method) -> anyhow::Result<Self> {
        match &method.kind {
            MethodKind::Expert | MethodKind::Unique | MethodKind::Basic | MethodKind::Tuned => Ok(Policy::Expert),
            MethodKind::Random => Ok(Policy::Random),
            MethodKind::Enumeration => Ok(Policy::Enumeration),
            MethodKind::BestOf(k) => Ok(Policy::BestOf(*k)),
            #[cfg(feature = "learner")]
            MethodKind::Neural(_) | MethodKind::Hybrid(..) | MethodKind::Direct(_) => {
                anyhow::bail!("{}: nothing is said of how its learner is sampled", method.name)
            }
        }
    }

    /// Returns the policy of a method, and loads its learner if it has one.
    ///
    /// # Errors
    /// If the checkpoint cannot be loaded, cannot be sampled in this way or was trained for another mode, or a hybrid
    /// has no share.
    #[cfg(feature = "learner")]
    pub fn load(method: &Method, learning: &Learning<'_>) -> anyhow::Result<Self> {
        let (checkpoint, is_direct) = match &method.kind {
            MethodKind::Neural(checkpoint) | MethodKind::Hybrid(checkpoint, _) => (checkpoint, false),
            MethodKind::Direct(checkpoint) => (checkpoint, true),
            _ => return Self::new(method),
        };
        let learner = crate::learner::open(checkpoint, learning.device, learning.sampling)?;
        let (name, mode) = (&method.name, learner.mode());
        if let Some(asked) = learning.mode.filter(|asked| *asked != mode.name()) {
            anyhow::bail!("--mode {asked}: the checkpoint was trained for mode {}", mode.name());
        }
        if is_direct != (mode == LearnerMode::Direct) {
            let (kind, path) = (if is_direct { "neural" } else { "direct" }, checkpoint.display());
            anyhow::bail!("{path}: the checkpoint was trained for mode {}; name it {name}={kind}:{path}", mode.name());
        }
        let share = match method.kind {
            MethodKind::Hybrid(_, Some(own)) => own,
            MethodKind::Hybrid(..) => {
                let none = || format!("{name}: a hybrid needs @p=P or @every=K behind its checkpoint");
                anyhow::Context::with_context(learning.share, none)?
            }
            _ => Share::EveryKth(1),
        };
        Ok(Policy::Learner(Box::new(Hybrid::new(learner, share))))
    }
}

/// How the learners among the methods are loaded.
#[cfg(feature = "learner")]
#[derive(Debug, Clone, Copy)]
pub struct Learning<'a> {
    /// The device on which learners compute, such as `cpu`.
    pub device: &'a str,
    /// The sampling settings of the learners.
    pub sampling: Sampling,
    /// Name of the mode that all of them must be trained for; `None` allows any.
    pub mode: Option<&'a str>,
    /// The share of hybrids that have none of their own.
    pub share: Option<Share>,
}

/// Returns the policies of methods for these problems.
///
/// # Errors
/// If a policy cannot be loaded, see [`Policy::load`], or its learner cannot read one of the problems.
#[cfg(feature = "learner")]
pub fn policies(
    methods: &[Method],
    set: &sr_problems::ProblemSet,
    learning: &Learning<'_>,
) -> anyhow::Result<Vec<Policy>> {
    let policies: Vec<Policy> =
        methods.iter().map(|method| Policy::load(method, learning)).collect::<anyhow::Result<_>>()?;
    for policy in &policies {
        if let Policy::Learner(hybrid) = policy {
            let problems = set.problems.iter().map(|problem| (&*problem.id, problem.x.n_columns()));
            crate::learner::check_problems(hybrid.learner(), problems)?;
        }
    }
    Ok(policies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_named_or_name_themselves() {
        let of = |text: &str| text.parse::<Method>().map(|method| (method.name, method.kind));
        assert!(matches!(of("expert"), Ok((name, MethodKind::Expert)) if name == "expert"));
        assert!(matches!(of("a=cheat:best-of-8"), Ok((name, MethodKind::BestOf(8))) if name == "a"));
        assert!(matches!(of("cheat:best-of-2"), Ok((name, MethodKind::BestOf(2))) if name == "cheat:best-of-2"));
        for bad in ["magic", "a=magic:b", "a=", "a=neural:", "cheat:best-of-0", "cheat:8"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[cfg(feature = "learner")]
    #[test]
    fn hybrids_may_have_a_share_of_their_own() {
        let of = |text: &str| text.parse::<Method>().map(|method| (method.name, method.kind));
        let share = |text: &str| match of(text) {
            Ok((_, MethodKind::Hybrid(path, share))) => (path.to_string_lossy().into_owned(), share),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(share("h=hybrid:a/b"), ("a/b".into(), None));
        assert_eq!(share("h=hybrid:a@b"), ("a@b".into(), None));
        assert_eq!(share("h=hybrid:a@every=10"), ("a".into(), Some(Share::EveryKth(10))));
        assert_eq!(share("hybrid:a@p=0.3"), ("a".into(), Some(Share::Drawn(0.3, Per::Child))));
        assert_eq!(share("h=hybrid"), ("arithmetic".into(), None));
        assert_eq!(share("hybrid@p=0.8"), ("arithmetic".into(), Some(Share::Drawn(0.8, Per::Child))));
        assert_eq!(share("h=hybrid@every=2"), ("arithmetic".into(), Some(Share::EveryKth(2))));
        assert!(
            matches!(of("neural"), Ok((_, MethodKind::Neural(path))) if path == std::path::Path::new("arithmetic"))
        );
        assert_eq!(share("h=hybrid:a@p=1/search"), ("a".into(), Some(Share::Drawn(1.0, Per::Search))));
        assert!(
            of("h=hybrid:a@every=0").is_err()
                && of("h=hybrid:a@p=2").is_err()
                && of("h=hybrid:a@p=x").is_err()
                && of("h=hybrid:a@p=0.1/day").is_err()
        );
    }

    #[test]
    fn the_basic_expert_is_that_of_the_preset_whatever_the_others_have() {
        let basic = SearchConfig { generations: 77, max_evaluations: Some(900), ..SearchConfig::basic() };
        let common = SearchConfig {
            unique: true,
            survival: sr_engine::Survival::Plus,
            parsimony_coefficient: 0.5,
            tournament_size: 7,
            ..basic.clone()
        };
        let method: Method = "b=basic".parse().expect("known");
        assert_eq!(method.config(&common), basic);
    }

    #[test]
    fn tuned_settings_get_the_same_evaluations() {
        let common = SearchConfig::basic();
        let method: Method = "tuned".parse().expect("known");
        assert_eq!(method.config(&common).max_evaluations, Some(20 + 49 * 19));
        let limited = SearchConfig { max_evaluations: Some(100), ..common };
        assert_eq!(method.config(&limited).max_evaluations, Some(100));
    }
}
