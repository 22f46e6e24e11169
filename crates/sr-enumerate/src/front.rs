//! The Pareto front of size against error.

use crate::Candidate;

/// Relative errors whose squares are below this are rounding, and count as none.
const ROUNDING: f64 = 1e-22;

/// Candidates none of which is at most as large and as wrong as another one, in order of size.
#[derive(Debug, Clone, Default)]
pub(crate) struct Front {
    candidates: Vec<Candidate>,
}

impl Front {
    /// Adds a candidate, unless one that is at most as large has no greater error; drops those it beats.
    pub(crate) fn add(&mut self, candidate: Candidate) {
        let key = |c: &Candidate| (c.expr.size(), c.relative_mse.max(ROUNDING));
        let beats = |a: &Candidate, b: &Candidate| {
            let (a_size, a_error) = key(a);
            let (b_size, b_error) = key(b);
            // An exact law is not beaten by what merely comes as close.
            a_size <= b_size && a_error <= b_error && (a.is_exact || !b.is_exact)
        };
        if candidate.relative_mse.is_nan() || self.candidates.iter().any(|other| beats(other, &candidate)) {
            return;
        }
        self.candidates.retain(|other| !beats(&candidate, other));
        let at = self.candidates.partition_point(|other| other.expr.size() < candidate.expr.size());
        self.candidates.insert(at, candidate);
    }

    /// Returns the smallest exact law.
    pub(crate) fn exact(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|c| c.is_exact)
    }

    pub(crate) fn into_candidates(self) -> Vec<Candidate> {
        self.candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stage;

    #[test]
    fn only_the_best_of_each_size_stay() {
        let candidate = |text: &str, relative_mse: f64, is_exact: bool| Candidate {
            expr: text.parse().expect(text),
            stage: Stage::Affine,
            relative_mse,
            max_error: 0.0,
            held_out: 0.0,
            is_exact,
        };
        let mut front = Front::default();
        front.add(candidate("x0 + x1", 0.5, false));
        front.add(candidate("x0", 0.7, false));
        front.add(candidate("x0 * x1", 0.6, false));
        front.add(candidate("x0 * x1 * x1", 1e-30, false));
        front.add(candidate("x0 * x1 * x0", 1e-28, true));
        front.add(candidate("x0", f64::NAN, false));
        assert_eq!(front.exact().map(|c| c.expr.to_string()).as_deref(), Some("((x0 * x1) * x0)"));
        let texts: Vec<String> = front.into_candidates().iter().map(|c| c.expr.to_string()).collect();
        assert_eq!(texts, ["x0", "(x0 + x1)", "((x0 * x1) * x0)"]);
    }
}
