//! Chooses a token from one row of logits, on the host. Exponentials and logarithms are those of `libm`, with the same
//! bits on every machine.

/// The settings of a choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampling {
    /// The divisor of logits; 0 takes the likeliest token.
    pub(crate) temperature: f64,
    pub(crate) top_k: Option<usize>,
    pub(crate) top_p: Option<f64>,
}

/// A chosen token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Choice {
    pub(crate) token: usize,
    /// Its log-probability under the model: temperature 1, no top-k or top-p, normalised over the allowed tokens.
    pub(crate) log_prob: f64,
    /// The log-probability of all allowed tokens together; 0 if all are allowed.
    pub(crate) log_legal: f64,
}

/// The reason why no token can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dead {
    NoLegalToken,
    NotFinite,
}

/// A token that may be chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) id: usize,
    pub(crate) logit: f64,
    /// Its share of the mass to draw from, once computed.
    mass: f64,
}

impl Candidate {
    pub(crate) fn new(id: usize, logit: f32) -> Self {
        Candidate { id, logit: f64::from(logit), mass: 0.0 }
    }
}

/// The quantities of a row of logits that do not depend on the choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums {
    best: Candidate,
    log_total: f64,
    log_legal: f64,
}

impl Sums {
    /// Computes the sums of candidates; `log_total_of_all` is as in [`Sampling::choose`].
    pub(crate) fn of(candidates: &[Candidate], log_total_of_all: Option<f64>) -> Result<Self, Dead> {
        let Some(&(mut best)) = candidates.first() else {
            return Err(Dead::NoLegalToken);
        };
        if candidates.iter().any(|candidate| !candidate.logit.is_finite()) {
            return Err(Dead::NotFinite);
        }
        for candidate in &candidates[1..] {
            if candidate.logit > best.logit {
                best = *candidate;
            }
        }
        let highest = best.logit;
        let log_total = highest + libm::log(candidates.iter().map(|c| libm::exp(c.logit - highest)).sum::<f64>());
        let log_legal = log_total_of_all.map_or(0.0, |all| (log_total - all).min(0.0));
        Ok(Sums { best, log_total, log_legal })
    }

    /// Returns the highest logit.
    pub(crate) fn highest(&self) -> f64 {
        self.best.logit
    }

    /// Returns the choice of this candidate.
    pub(crate) fn choice(&self, chosen: &Candidate) -> Choice {
        Choice { token: chosen.id, log_prob: chosen.logit - self.log_total, log_legal: self.log_legal }
    }
}

impl Sampling {
    /// Chooses a token by inverse CDF at `uniform` in [0, 1). Ties go to the lower id.
    ///
    /// `candidates` are the allowed tokens by ascending id; they are scratch memory afterwards. `log_total_of_all` is the
    /// logarithm of the sum over all tokens of exp(logit), or `None` if all of them are allowed.
    pub(crate) fn choose(
        &self,
        candidates: &mut Vec<Candidate>,
        log_total_of_all: Option<f64>,
        uniform: f64,
    ) -> Result<Choice, Dead> {
        let sums = Sums::of(candidates, log_total_of_all)?;
        if self.is_greedy() {
            return Ok(sums.choice(&sums.best));
        }
        self.cut(candidates, sums.highest());
        let chosen = pick(candidates.iter().map(|candidate| candidate.mass), uniform);
        Ok(sums.choice(&candidates[chosen.expect("the likeliest has mass 1")]))
    }

    /// Returns whether the likeliest token is always taken.
    pub(crate) fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// Returns the divisor of logits; 1 at temperature 0, where only the order of the results counts.
    pub(crate) fn divisor(&self) -> f64 {
        if self.is_greedy() { 1.0 } else { self.temperature }
    }

    /// Computes the mass of the candidates, given their highest logit, and keeps those that are drawn from; with top-k
    /// or top-p the likeliest comes first.
    pub(crate) fn cut(&self, candidates: &mut Vec<Candidate>, highest: f64) {
        let divisor = self.divisor();
        for candidate in candidates.iter_mut() {
            candidate.mass = libm::exp((candidate.logit - highest) / divisor);
        }
        if self.top_k.is_some() || self.top_p.is_some() {
            candidates.sort_by(|a, b| b.mass.total_cmp(&a.mass).then(a.id.cmp(&b.id)));
            candidates.truncate(self.top_k.unwrap_or(usize::MAX));
        }
        // A top-p of 1 keeps every token, however little mass the last ones have.
        if let Some(top_p) = self.top_p.filter(|&top_p| top_p < 1.0) {
            // The fewest likeliest tokens whose mass reaches top_p (Holtzman et al., 2020).
            let enough = top_p * candidates.iter().map(|c| c.mass).sum::<f64>();
            let mut mass = 0.0;
            let kept = candidates.iter().position(|candidate| {
                mass += candidate.mass;
                mass >= enough
            });
            candidates.truncate(kept.map_or(candidates.len(), |last| last + 1));
        }
    }
}

/// Returns the index by inverse CDF at `uniform` in [0, 1); never one without mass, `None` if none has any.
pub(crate) fn pick(masses: impl Iterator<Item = f64> + Clone, uniform: f64) -> Option<usize> {
    let target = uniform * masses.clone().sum::<f64>();
    let (mut below, mut last) = (0.0, None);
    for (index, mass) in masses.enumerate().filter(|(_, mass)| *mass > 0.0) {
        below += mass;
        if below > target {
            return Some(index);
        }
        // Rounding can leave the last step of the CDF just below the target.
        last = Some(index);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: None, top_p: None };

    fn choose(sampling: Sampling, logits: &[f32], allowed: &[bool], uniform: f64) -> Result<(usize, f64), Dead> {
        let candidates = logits.iter().zip(allowed).enumerate().filter(|(_, (_, ok))| **ok);
        let mut candidates: Vec<_> = candidates.map(|(id, (&logit, _))| Candidate::new(id, logit)).collect();
        let log_total_of_all = (candidates.len() < logits.len()).then(|| f64::from(sr_cpu::log_sum_exp(logits)));
        let choice = sampling.choose(&mut candidates, log_total_of_all, uniform)?;
        let mass = |all: bool| -> f64 {
            let counts = logits.iter().zip(allowed).filter(|(logit, ok)| logit.is_finite() && (all || **ok));
            counts.map(|(&logit, _)| f64::from(logit).exp()).sum()
        };
        assert!((choice.log_legal - (mass(false) / mass(true)).ln()).abs() < 1e-5 || logits.iter().any(|l| l.is_nan()));
        Ok((choice.token, choice.log_prob))
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [0.0, (2.0f32).ln(), (5.0f32).ln()];
        let mut counts = [0; 3];
        for i in 0..800 {
            counts[choose(PLAIN, &logits, &[true; 3], (f64::from(i) + 0.5) / 800.0).unwrap().0] += 1;
        }
        assert_eq!(counts, [100, 200, 500]);
        let (_, log_prob) = choose(PLAIN, &logits, &[true; 3], 0.99).unwrap();
        assert!((log_prob - (5.0f64 / 8.0).ln()).abs() < 1e-6);
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let logits = [0.0, 3.0, 1.0, 2.0];
        let tokens = |sampling| -> Vec<usize> {
            let mut seen: Vec<_> =
                (0..200).map(|i| choose(sampling, &logits, &[true; 4], f64::from(i) / 200.0).unwrap().0).collect();
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        assert_eq!(tokens(PLAIN), [0, 1, 2, 3]);
        assert_eq!(tokens(Sampling { top_k: Some(2), ..PLAIN }), [1, 3]);
        // Probabilities are 0.64, 0.24, 0.09 and 0.03.
        assert_eq!(tokens(Sampling { top_p: Some(0.8), ..PLAIN }), [1, 3]);
        assert_eq!(tokens(Sampling { top_p: Some(0.1), ..PLAIN }), [1]);
        assert_eq!(tokens(Sampling { temperature: 0.0, ..PLAIN }), [1]);
    }

    /// Returns how often each token is drawn in 100,000 even steps.
    fn shares(sampling: Sampling, probabilities: &[f64]) -> Vec<f64> {
        let logits: Vec<f32> = probabilities.iter().map(|p| p.ln() as f32).collect();
        let mut counts = vec![0.0; logits.len()];
        for i in 0..100_000 {
            let uniform = (f64::from(i) + 0.5) / 1e5;
            counts[choose(sampling, &logits, &vec![true; logits.len()], uniform).unwrap().0] += 1e-5;
        }
        counts
    }

    #[test]
    fn temperature_divides_logits_down_to_the_greedy_limit() {
        let p = [0.5, 0.3, 0.15, 0.05];
        let near = |found: Vec<f64>, expected: [f64; 4]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {expected:?}");
        };
        near(shares(Sampling { temperature: 0.5, ..PLAIN }, &p), [0.6849, 0.2466, 0.0616, 0.0068]);
        for temperature in [0.0, 1e-30, f64::MIN_POSITIVE, 5e-324] {
            near(shares(Sampling { temperature, ..PLAIN }, &p), [1.0, 0.0, 0.0, 0.0]);
        }
        // The lowest id among equals.
        let ties = shares(Sampling { temperature: 0.0, ..PLAIN }, &[0.1, 0.4, 0.1, 0.4]);
        near(ties, [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn top_k_and_top_p_leave_as_many_tokens_as_they_say() {
        let left = |sampling: Sampling| {
            let shares = shares(sampling, &[0.5, 0.3, 0.15, 0.05]);
            shares.iter().filter(|&&share| share > 0.0).count()
        };
        for (k, expected) in [(1, 1), (2, 2), (4, 4), (1_000_000, 4)] {
            assert_eq!(left(Sampling { top_k: Some(k), ..PLAIN }), expected, "top-k {k}");
        }
        for (p, expected) in [(0.01, 1), (0.79, 2), (0.81, 3), (1.0, 4), (f64::MIN_POSITIVE, 1)] {
            assert_eq!(left(Sampling { top_p: Some(p), ..PLAIN }), expected, "top-p {p}");
        }
        // Top-p applies to what top-k leaves, and the mask comes before both.
        assert_eq!(left(Sampling { top_k: Some(2), top_p: Some(0.9), ..PLAIN }), 2);
        let masked = Sampling { top_k: Some(1), top_p: Some(0.01), ..PLAIN };
        assert_eq!(choose(masked, &[9.0, 1.0, 2.0], &[false, true, true], 0.5).map(|found| found.0), Ok(2));
        // At 1 the unlikeliest token stays, although its mass is negligible.
        let mut candidates: Vec<_> = [0.0, -80.0].iter().enumerate().map(|(id, &x)| Candidate::new(id, x)).collect();
        Sampling { top_p: Some(1.0), ..PLAIN }.cut(&mut candidates, 0.0);
        assert_eq!(candidates.len(), 2);
    }

    #[test]
    fn dead_ends_are_told_apart() {
        assert_eq!(choose(PLAIN, &[1.0, 2.0], &[false; 2], 0.5), Err(Dead::NoLegalToken));
        assert_eq!(choose(PLAIN, &[1.0, f32::NAN], &[true; 2], 0.5), Err(Dead::NotFinite));
        assert_eq!(choose(PLAIN, &[1.0, f32::NAN], &[true, false], 0.5), Ok((0, 0.0)));
    }

    proptest! {
        #[test]
        fn only_allowed_tokens_are_chosen(
            rows in prop::collection::vec((-20.0f32..20.0, any::<bool>()), 1..40),
            uniform in 0.0f64..1.0,
            temperature in 0.0f64..3.0,
            top_k in prop::option::of(1usize..10),
            top_p in prop::option::of(0.01f64..=1.0),
        ) {
            let (logits, allowed): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
            match choose(Sampling { temperature, top_k, top_p }, &logits, &allowed, uniform) {
                Ok((id, log_prob)) => {
                    prop_assert!(allowed[id]);
                    prop_assert!(log_prob <= 1e-12);
                }
                Err(dead) => {
                    prop_assert_eq!(dead, Dead::NoLegalToken);
                    prop_assert!(!allowed.contains(&true));
                }
            }
        }
    }
}
