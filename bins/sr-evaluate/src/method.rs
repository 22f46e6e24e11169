//! The methods that are compared, by name.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use sr_args::SamplingArgs;
use sr_engine::SearchConfig;
use sr_neural::{Hybrid, Mode, Per, Share};

use crate::tune::Settings;

/// What `--methods` may name.
const KNOWN: &str = "expected expert, unique, tuned, random or cheat:best-of-K, each also as NAME=…, or \
    NAME=neural:CHECKPOINT, NAME=direct:CHECKPOINT, NAME=hybrid:CHECKPOINT, NAME=hybrid:CHECKPOINT@every=K or \
    NAME=hybrid:CHECKPOINT@p=P";
/// Most children that a cheat may draw for one.
const MOST_DRAWS: usize = 1024;

/// A named way to choose the next generation.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    pub(crate) name: String,
    /// The whole of what was written after the name.
    pub(crate) written: String,
    pub(crate) kind: MethodKind,
}

#[derive(Debug, Clone)]
pub(crate) enum MethodKind {
    Expert,
    /// The expert that never repeats a form.
    Unique,
    /// The expert with searched settings.
    Tuned,
    /// Every child a fresh random tree.
    Random,
    /// The best of so many children of the expert.
    BestOf(usize),
    /// A learner that sees the population.
    Neural(PathBuf),
    /// Such a one and the expert, with a share of its own or that of the flags.
    Hybrid(PathBuf, Option<Share>),
    /// One that writes formulas from the data alone.
    Direct(PathBuf),
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // In a hybrid without a name the first "=" is that of its share.
        let named = text.split_once('=').filter(|(name, _)| !name.contains(':'));
        let (name, written) = named.unwrap_or((text, text));
        let kind = match (written, written.split_once(':')) {
            ("expert", _) => MethodKind::Expert,
            ("unique", _) => MethodKind::Unique,
            ("tuned", _) => MethodKind::Tuned,
            ("random", _) => MethodKind::Random,
            (_, Some(("cheat", draws))) => {
                let k = draws.strip_prefix("best-of-").and_then(|k| k.parse().ok());
                let k = k.filter(|k| (1..=MOST_DRAWS).contains(k));
                MethodKind::BestOf(k.ok_or(format!("expected cheat:best-of-K with K from 1 to {MOST_DRAWS}"))?)
            }
            (_, Some(("neural", checkpoint))) if !checkpoint.is_empty() => MethodKind::Neural(checkpoint.into()),
            (_, Some(("direct", checkpoint))) if !checkpoint.is_empty() => MethodKind::Direct(checkpoint.into()),
            (_, Some(("hybrid", checkpoint))) if !checkpoint.is_empty() => {
                let (checkpoint, share) = own_share(checkpoint)?;
                MethodKind::Hybrid(checkpoint.into(), share)
            }
            _ => return Err(KNOWN.into()),
        };
        Ok(Method { name: name.into(), written: written.into(), kind })
    }
}

/// A checkpoint, and the share that stands behind it as `@every=K`, `@p=P` or `@p=P/PER`.
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

/// Flags of searches that some methods have no use for.
const OWN_SETTINGS: [&str; 5] = ["tournament_size", "crossover", "parsimony", "survival", "unique"];

impl MethodKind {
    /// Whether the flag changes nothing.
    fn ignores(&self, flag: &str) -> bool {
        match self {
            MethodKind::Tuned => OWN_SETTINGS.contains(&flag),
            MethodKind::Unique => flag == "unique",
            MethodKind::Random => ["tournament_size", "crossover"].contains(&flag),
            _ => false,
        }
    }
}

impl Method {
    /// The folder of its learner.
    pub(crate) fn checkpoint(&self) -> Option<&PathBuf> {
        match &self.kind {
            MethodKind::Neural(folder) | MethodKind::Hybrid(folder, _) | MethodKind::Direct(folder) => Some(folder),
            _ => None,
        }
    }

    /// The search's settings, as this method has them. Other settings of the expert get the evaluations of the common ones.
    pub(crate) fn config(&self, common: &SearchConfig) -> SearchConfig {
        match self.kind {
            MethodKind::Unique => SearchConfig { unique: true, ..common.clone() },
            MethodKind::Tuned => {
                let children = (common.population_size - common.elitism) as u64;
                let all = common.population_size as u64 + u64::from(common.generations - 1).saturating_mul(children);
                let most = common.max_evaluations.map_or(all, |most| most.min(all));
                let config = Settings::tuned().apply(common);
                SearchConfig { generations: u32::MAX, max_evaluations: Some(most), ..config }
            }
            _ => common.clone(),
        }
    }
}

/// Who chooses the next generation.
pub(crate) enum Policy {
    Expert,
    Random,
    BestOf(usize),
    Learner(Box<Hybrid>),
}

impl Policy {
    /// - share: that of hybrids that have none of their own
    pub(crate) fn new(
        method: &Method,
        device: &str,
        sampling: &SamplingArgs,
        share: Option<Share>,
    ) -> anyhow::Result<Self> {
        let (checkpoint, is_direct) = match &method.kind {
            MethodKind::Expert | MethodKind::Unique | MethodKind::Tuned => return Ok(Policy::Expert),
            MethodKind::Random => return Ok(Policy::Random),
            MethodKind::BestOf(k) => return Ok(Policy::BestOf(*k)),
            MethodKind::Neural(checkpoint) | MethodKind::Hybrid(checkpoint, _) => (checkpoint, false),
            MethodKind::Direct(checkpoint) => (checkpoint, true),
        };
        let learner = sampling.learner(checkpoint, device)?;
        let (name, mode) = (&method.name, learner.mode());
        if is_direct != (mode == Mode::Direct) {
            let (kind, path) = (if is_direct { "neural" } else { "direct" }, checkpoint.display());
            bail!("{path}: the checkpoint was trained for mode {}; name it {name}={kind}:{path}", mode.name());
        }
        // A learner alone has every generation.
        let share = match method.kind {
            MethodKind::Hybrid(_, Some(own)) => Some(own),
            MethodKind::Hybrid(..) => share,
            _ => Some(Share::EveryKth(1)),
        };
        let share = share.with_context(|| format!("{name}: a hybrid needs @p=P or @every=K behind its checkpoint"))?;
        Ok(Policy::Learner(Box::new(Hybrid::new(learner, share))))
    }
}

/// Fails if two methods have one name, or flags about learners are of none.
pub(crate) fn check(methods: &[Method], given: &sr_cli::Given) -> anyhow::Result<()> {
    for (index, method) in methods.iter().enumerate() {
        let name = &method.name;
        ensure!(methods[..index].iter().all(|other| other.name != *name), "two of the --methods have the name {name}");
    }
    let learns = methods.iter().any(|method| method.checkpoint().is_some());
    if !learns {
        let why = "without a learner among the --methods";
        given.refuse_all::<SamplingArgs>(why)?;
        given.refuse(&["device"], why)?;
    }
    Ok(())
}

/// Fails if the share of the flags is no method's, or a hybrid has none.
pub(crate) fn check_share(methods: &[Method], share: Option<Share>) -> anyhow::Result<()> {
    let needs = methods.iter().find(|method| matches!(method.kind, MethodKind::Hybrid(_, None)));
    match (needs, share) {
        (None, Some(_)) => bail!("--neural-prob and --neural-every are for hybrids among the --methods"),
        (Some(Method { name, .. }), None) => {
            bail!("{name}: a hybrid needs --neural-prob or --neural-every, or @p=P or @every=K behind its checkpoint")
        }
        _ => Ok(()),
    }
}

/// Fails if a flag sets what no method has a use for, or every one a setting of its own.
pub(crate) fn check_search(methods: &[Method], given: &sr_cli::Given) -> anyhow::Result<()> {
    let names: Vec<&str> = methods.iter().map(|method| &*method.name).collect();
    let why = format!("with the method{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "));
    let ignored = OWN_SETTINGS.into_iter().filter(|flag| methods.iter().all(|method| method.kind.ignores(flag)));
    given.refuse(&ignored.collect::<Vec<_>>(), why)
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
        let share = |text: &str| match of(text) {
            Ok((_, MethodKind::Hybrid(path, share))) => (path.to_string_lossy().into_owned(), share),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(share("h=hybrid:a/b"), ("a/b".into(), None));
        assert_eq!(share("h=hybrid:a@b"), ("a@b".into(), None));
        assert_eq!(share("h=hybrid:a@every=10"), ("a".into(), Some(Share::EveryKth(10))));
        assert_eq!(share("hybrid:a@p=0.3"), ("a".into(), Some(Share::Drawn(0.3, Per::Child))));
        assert_eq!(share("h=hybrid:a@p=1/search"), ("a".into(), Some(Share::Drawn(1.0, Per::Search))));
        for bad in ["magic", "a=magic:b", "a=", "a=neural:", "cheat:best-of-0", "cheat:8", "h=hybrid:a@every=0"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert!(of("h=hybrid:a@p=2").is_err() && of("h=hybrid:a@p=x").is_err() && of("h=hybrid:a@p=0.1/day").is_err());
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
