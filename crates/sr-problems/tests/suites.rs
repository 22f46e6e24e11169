//! The named suites against what was published.

use std::collections::HashSet;

use sr_expr::{Expr, Node, Semantics, reference};
use sr_problems::{Error, ProblemSet, Sampler, suite, suite_names};

/// Problems whose published formula is not made of the published operators, see `fixtures/suites/nguyen.toml`.
const BEYOND_THEIR_OPERATORS: [&str; 2] = ["Nguyen-8", "Nguyen-11"];

fn all() -> impl Iterator<Item = ProblemSet> {
    suite_names().map(|name| suite(name, 7).expect(name))
}

#[test]
fn suites_have_their_published_number_of_problems_and_rows() {
    for (name, problems, rows) in [("ultra-simple", 5, 50), ("simple", 10, 50), ("harder", 5, 50), ("nguyen", 12, 20)] {
        let set = suite(name, 0).unwrap();
        assert_eq!(set.problems.len(), problems, "{name}");
        assert!(set.problems.iter().all(|p| p.x.n_rows() == rows && p.y.len() == rows), "{name}");
        assert_eq!(set.problems.iter().map(|p| &p.id).collect::<HashSet<_>>().len(), problems, "{name}");
    }
}

#[test]
fn formulas_use_the_listed_operators_and_give_the_points() {
    for problem in all().flat_map(|set| set.problems) {
        let source = problem.source.as_ref().unwrap();
        let listed = source.nodes().iter().all(|node| match node {
            Node::Op(op) => problem.operators.contains(op),
            _ => true,
        });
        assert_eq!(listed, !BEYOND_THEIR_OPERATORS.contains(&problem.id.as_str()), "{}", problem.id);
        assert_eq!(reference::predict(source, &problem.x, Semantics::Ieee), problem.y, "{}", problem.id);
        assert!(problem.y.iter().all(|y| y.is_finite()), "{}", problem.id);
        let instance = problem.instance().expect(&problem.id);
        assert_eq!(instance.primitives().ops(), problem.operators, "{}: table order", problem.id);
    }
}

#[test]
fn data_and_fresh_points_lie_in_the_ranges() {
    for problem in all().flat_map(|set| set.problems) {
        let Sampler::Uniform { ranges } = &problem.sampler else { panic!("{}: {:?}", problem.id, problem.sampler) };
        let (fresh, y) = problem.fresh_points(1000, 0).unwrap();
        assert_eq!((fresh.n_rows(), y.len()), (1000, 1000));
        for x in [&problem.x, &fresh] {
            for (variable, [low, high]) in ranges.iter().enumerate() {
                assert!(x.column(variable).iter().all(|x| (low..=high).contains(&x)), "{}", problem.id);
            }
        }
        // A thousand uniform points come close to both ends.
        let [low, high] = ranges[0];
        let column = fresh.column(0);
        assert!(column.iter().any(|x| x - low < 0.02 * (high - low)), "{}", problem.id);
        assert!(column.iter().any(|x| high - x < 0.02 * (high - low)), "{}", problem.id);
    }
}

#[test]
fn formulas_have_their_published_values() {
    // Computed with Python's math module at x0 = 0.5, x1 = 0.25, x2 = 2.
    let cases = [
        ("ultra-simple", "single_variable", 0.5),
        ("ultra-simple", "single_constant", 2.0),
        ("ultra-simple", "variable_plus_constant", 1.5),
        ("ultra-simple", "variable_times_constant", 1.0),
        ("ultra-simple", "simple_square", 0.25),
        ("simple", "quadratic", 1.75),
        ("simple", "cubic", 0.125),
        ("simple", "simple_rational", 0.8),
        ("simple", "bivariate_product", 0.03125),
        ("simple", "rational_division", 1.0 / 3.0),
        ("simple", "quartic", 0.1875),
        ("simple", "bivariate_sum", 0.3125),
        ("simple", "trivariate_product", 0.25),
        ("simple", "mixed_polynomial", 0.1875),
        ("simple", "complex_rational", 0.6),
        ("harder", "pythagorean_3d", 4.3125),
        ("harder", "quadratic_formula_discriminant", -3.9375),
        ("harder", "mixed_polynomial", 0.1875),
        ("harder", "polynomial_product", 3.375),
        ("harder", "surface_area_sphere_approx", 2.0),
        ("nguyen", "Nguyen-1", 0.875),
        ("nguyen", "Nguyen-2", 0.9375),
        ("nguyen", "Nguyen-3", 0.96875),
        ("nguyen", "Nguyen-4", 0.984375),
        ("nguyen", "Nguyen-5", -0.782_882_599_615_594_4),
        ("nguyen", "Nguyen-6", 1.161_064_298_627_536_9),
        ("nguyen", "Nguyen-7", 0.628_608_659_422_374_1),
        ("nguyen", "Nguyen-8", std::f64::consts::FRAC_1_SQRT_2),
        ("nguyen", "Nguyen-9", 0.541_884_856_446_583_2),
        ("nguyen", "Nguyen-10", 0.929_042_719_277_857_1),
        ("nguyen", "Nguyen-11", 0.840_896_415_253_714_6),
        ("nguyen", "Nguyen-12", -0.28125),
    ];
    assert_eq!(cases.len(), all().map(|set| set.problems.len()).sum::<usize>());
    for (name, id, expected) in cases {
        let set = suite(name, 0).unwrap();
        let source: &Expr = set.problems.iter().find(|p| p.id == id).expect(id).source.as_ref().unwrap();
        let value = reference::eval_row(source, &[0.5, 0.25, 2.0], Semantics::Ieee);
        assert!((value - expected).abs() < 1e-12, "{id}: {value} is not {expected}");
    }
}

#[test]
fn points_depend_on_the_seed_and_the_name_only() {
    assert_eq!(suite("nguyen", 3).unwrap(), suite("nguyen", 3).unwrap());
    assert_ne!(suite("nguyen", 3).unwrap().fingerprint(), suite("nguyen", 4).unwrap().fingerprint());
    let mixed = |name| suite(name, 3).unwrap().problems.into_iter().find(|p| p.id == "mixed_polynomial").unwrap();
    assert_eq!(mixed("simple"), mixed("harder"));
}

#[test]
fn an_unknown_suite_lists_the_known_ones() {
    let error = suite("nguyén", 0).unwrap_err();
    assert!(matches!(error, Error::UnknownSuite { .. }));
    assert!(error.to_string().contains("ultra-simple, simple, harder, nguyen"), "{error}");
}
