//! What the stages share while they search: data, budget, candidates.

use rayon::ThreadPool;

use crate::build::Builder;
use crate::front::Front;
use crate::law::{Finisher, Law};
use crate::prepare::Prepared;
use crate::{Candidate, Options, StopReason};

/// A search under way.
pub(crate) struct Search<'a> {
    pub(crate) data: &'a Prepared,
    pub(crate) builder: &'a Builder,
    pub(crate) options: &'a Options,
    pub(crate) pool: &'a ThreadPool,
    pub(crate) front: Front,
    pub(crate) work: u64,
    finisher: Finisher<'a>,
    stop: &'a dyn Fn() -> bool,
    is_stopped: bool,
}

impl<'a> Search<'a> {
    pub(crate) fn new(
        data: &'a Prepared,
        builder: &'a Builder,
        options: &'a Options,
        pool: &'a ThreadPool,
        stop: &'a dyn Fn() -> bool,
    ) -> Self {
        let finisher = Finisher::new(data, builder);
        Search { data, builder, options, pool, front: Front::default(), work: 0, finisher, stop, is_stopped: false }
    }

    /// Counts work, in node · rows.
    pub(crate) fn spend(&mut self, work: usize) {
        self.work += work as u64;
    }

    /// Returns whether nothing more is to be done: an exact law is found, the budget is spent, or a stop was asked for.
    pub(crate) fn is_done(&mut self) -> bool {
        self.reason().is_some()
    }

    /// Returns whether the budget is spent or a stop was asked for.
    pub(crate) fn is_spent(&mut self) -> bool {
        self.is_stopped |= (self.stop)();
        self.is_stopped || self.work >= self.options.max_work
    }

    /// Returns why nothing more is to be done.
    pub(crate) fn reason(&mut self) -> Option<StopReason> {
        match (self.front.exact().is_some(), self.is_spent()) {
            (true, _) => Some(StopReason::Exact),
            (false, true) => Some(if self.is_stopped { StopReason::Stopped } else { StopReason::Work }),
            (false, false) => None,
        }
    }

    /// Finishes a law and puts it on the front. Returns its size if it is exact.
    pub(crate) fn offer(&mut self, law: &Law) -> Option<usize> {
        self.work += (self.data.fit.len() * law.terms.len() * law.terms.len().max(8)) as u64;
        let candidate = self.finisher.finish(law)?;
        self.add(candidate)
    }

    /// Puts a candidate on the front if it keeps the rules. Returns its size if it is exact.
    pub(crate) fn add(&mut self, candidate: Candidate) -> Option<usize> {
        if !self.options.rules.allow(&candidate.expr) {
            return None;
        }
        let exact = candidate.is_exact.then(|| candidate.expr.size());
        self.front.add(candidate);
        exact
    }

    pub(crate) fn finisher(&mut self) -> &mut Finisher<'a> {
        &mut self.finisher
    }
}
