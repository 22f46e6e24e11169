//! The flags about methods: what goes together, and what would have no effect.

use anyhow::bail;
use sr_args::SamplingArgs;
use sr_cli::Given;
use sr_lab::evaluate::{Learning, Method, MethodKind};
use sr_lab::sr_neural::{Sampling, Share, Swap};

/// Flags of searches that some methods have no use for.
const OWN_SETTINGS: [&str; 5] = ["tournament_size", "crossover", "parsimony", "survival", "unique"];

/// Fails if flags about learners are given, and no method has one.
pub(crate) fn check_learners(methods: &[Method], given: &Given) -> anyhow::Result<()> {
    if methods.iter().any(|method| method.checkpoint().is_some()) {
        return Ok(());
    }
    let why = "without a learner among the --methods";
    given.refuse_all::<SamplingArgs>(why)?;
    given.refuse(&["device", "swap"], why)
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
///
/// - is_equal: whether something is equal, so that no limit follows from the size of populations
pub(crate) fn check_search(methods: &[Method], is_equal: bool, given: &Given) -> anyhow::Result<()> {
    let names: Vec<&str> = methods.iter().map(|method| &*method.name).collect();
    let why = format!("with the method{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "));
    let ignored = OWN_SETTINGS.into_iter().filter(|flag| methods.iter().all(|method| ignores(&method.kind, flag)));
    given.refuse(&ignored.collect::<Vec<_>>(), &why)?;
    match is_equal && methods.iter().all(|method| method.kind == MethodKind::Tuned) {
        true => given.refuse(&["population_size", "elitism"], why),
        false => Ok(()),
    }
}

/// Whether the flag changes nothing.
fn ignores(kind: &MethodKind, flag: &str) -> bool {
    match kind {
        MethodKind::Tuned | MethodKind::Basic => OWN_SETTINGS.contains(&flag),
        MethodKind::Unique => flag == "unique",
        MethodKind::Random | MethodKind::Enumeration => ["tournament_size", "crossover"].contains(&flag),
        _ => false,
    }
}

/// How the flags ask for learners.
pub(crate) fn learning<'a>(
    device: &'a str,
    sampling: &SamplingArgs,
    share: Option<Share>,
    swap: Option<Swap>,
) -> anyhow::Result<Learning<'a>> {
    let mode = sampling.mode.map(sr_args::ModeArg::name);
    let sampling = Sampling { swap, ..sampling.sampling()? };
    Ok(Learning { device, sampling, mode, share })
}
