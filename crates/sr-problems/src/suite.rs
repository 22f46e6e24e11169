//! The named suites, which are defined in `suites/*.toml`.

use serde::Deserialize;
use sr_expr::{Op, Semantics};

use crate::primitives::{in_table_order, names};
use crate::{Error, Problem, ProblemSet, Provenance, Sampler, SetParams};

/// The name and text of every suite.
const SUITES: [(&str, &str); 13] = [
    ("ultra-simple", include_str!("../suites/ultra-simple.toml")),
    ("simple", include_str!("../suites/simple.toml")),
    ("harder", include_str!("../suites/harder.toml")),
    ("nguyen", include_str!("../suites/nguyen.toml")),
    ("keijzer", include_str!("../suites/keijzer.toml")),
    ("livermore", include_str!("../suites/livermore.toml")),
    ("vladislavleva", include_str!("../suites/vladislavleva.toml")),
    ("jin", include_str!("../suites/jin.toml")),
    ("korns", include_str!("../suites/korns.toml")),
    ("r", include_str!("../suites/r.toml")),
    ("constant", include_str!("../suites/constant.toml")),
    ("feynman", include_str!("../suites/feynman.toml")),
    ("feynman-bonus", include_str!("../suites/feynman-bonus.toml")),
];

/// The definition of a suite. Its settings hold for each problem that does not have its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    citation: String,
    #[serde(with = "names")]
    operators: Vec<Op>,
    constants: Vec<f64>,
    /// The number of points of a problem that is not sampled on a grid.
    rows: usize,
    problem: Vec<SuiteProblem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteProblem {
    name: String,
    formula: String,
    sampler: Sampler,
    rows: Option<usize>,
    operators: Option<Names>,
    constants: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Names(#[serde(with = "names")] Vec<Op>);

/// Returns the names that [`suite`] accepts.
pub fn suite_names() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|(name, _)| *name)
}

/// Returns a named suite with points drawn by `seed`. A problem's points depend on its name and the seed only.
///
/// # Errors
/// Returns an error for a name that is none of [`suite_names`].
pub fn suite(name: &str, seed: u64) -> Result<ProblemSet, Error> {
    let (name, text) =
        SUITES.iter().find(|(known, _)| *known == name).ok_or_else(|| Error::UnknownSuite { name: name.into() })?;
    let suite: Suite = toml::from_str(text).expect("a test reads every suite");
    suite.sampled(name, seed)
}

impl Suite {
    fn sampled(self, name: &str, seed: u64) -> Result<ProblemSet, Error> {
        let params = SetParams {
            operators: in_table_order(self.operators),
            constants: self.constants,
            seed,
            origin: Provenance::Suite { name: name.into(), citation: self.citation },
        };
        let problem = |p: SuiteProblem| {
            let source = p.formula.parse().expect("a test reads every formula");
            let operators = p.operators.map_or_else(|| params.operators.clone(), |names| in_table_order(names.0));
            let constants = p.constants.unwrap_or_else(|| params.constants.clone());
            Problem::sampled(
                p.name,
                (source, Semantics::Ieee),
                p.sampler,
                p.rows.unwrap_or(self.rows),
                (operators, constants),
                seed,
            )
        };
        let problems = self.problem.into_iter().map(problem).collect::<Result<_, _>>()?;
        Ok(ProblemSet { params, problems })
    }
}

#[cfg(test)]
mod tests {
    use sr_expr::Expr;

    use super::*;

    #[test]
    fn every_suite_is_well_written() {
        for (name, text) in SUITES {
            let suite: Suite = toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            for p in suite.problem {
                let formula: Expr = p.formula.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
                let n_variables = match &p.sampler {
                    Sampler::Uniform { ranges } | Sampler::Even { ranges, .. } => ranges.len(),
                    sampler => panic!("{name}, {}: {sampler:?}", p.name),
                };
                assert_eq!(p.sampler.check(n_variables), Ok(()), "{name}, {}", p.name);
                assert!(formula.n_variables() <= n_variables, "{name}, {}", p.name);
            }
        }
    }

    #[test]
    fn a_problem_may_differ_from_its_suite() {
        let text = r#"
            citation = "none"
            operators = ["+"]
            constants = [1.0]
            rows = 20
            [[problem]]
            name = "grid"
            formula = "sin(x0)"
            sampler = { even = { ranges = [[-1, 1]], points = [21] } }
            operators = ["+", "sin"]
            constants = []
            [[problem]]
            name = "plain"
            formula = "x0 + x1"
            sampler = { uniform = { ranges = [[-1, 1], [0, 2]] } }
            rows = 7
        "#;
        let set = toml::from_str::<Suite>(text).unwrap().sampled("test", 0).unwrap();
        let [grid, plain] = &*set.problems else { panic!("two problems") };
        assert_eq!((grid.x.n_rows(), &*grid.operators, &*grid.constants), (21, &[Op::Add, Op::Sin][..], &[][..]));
        assert_eq!(grid.x.column(0)[10], 0.0);
        assert_eq!((plain.x.n_rows(), &*plain.operators, &*plain.constants), (7, &[Op::Add][..], &[1.0][..]));
        assert!(plain.fresh_points(100, 0).unwrap().0.column(1).iter().all(|x| (0.0..=2.0).contains(x)));
    }
}
