//! The named suites against what was published.

use std::collections::{HashMap, HashSet};

use sr_expr::{Expr, Node, Semantics, reference};
use sr_problems::{Error, ProblemSet, Sampler, suite, suite_names};

/// Problems whose published formula is not made of the published operators, see the heads of `suites/*.toml`.
const BEYOND_THEIR_OPERATORS: [&str; 8] =
    ["Nguyen-8", "Nguyen-11", "Livermore-13", "Livermore-15", "Livermore-16", "Constant-4", "Constant-5", "Constant-6"];

fn all() -> impl Iterator<Item = ProblemSet> {
    suite_names().map(|name| suite(name, 7).expect(name))
}

#[test]
fn suites_have_their_published_number_of_problems_and_rows() {
    let suites = [
        ("ultra-simple", 5, 50),
        ("simple", 10, 50),
        ("harder", 5, 50),
        ("nguyen", 12, 20),
        ("keijzer", 15, 20),
        ("livermore", 22, 20),
        ("vladislavleva", 8, 100),
        ("jin", 6, 100),
        ("korns", 15, 10_000),
        ("r", 3, 20),
        ("constant", 8, 20),
        ("feynman", 100, 1000),
        ("feynman-bonus", 20, 1000),
    ];
    assert!(suite_names().eq(suites.iter().map(|(name, ..)| *name)));
    let of_their_own = HashMap::from([
        ("Keijzer-1", 21),
        ("Keijzer-2", 41),
        ("Keijzer-3", 61),
        ("Keijzer-4", 101),
        ("Keijzer-5", 1000),
        ("Keijzer-6", 50),
        ("Keijzer-7", 100),
        ("Keijzer-8", 101),
        ("Keijzer-9", 101),
        ("Keijzer-10", 100),
        ("Livermore-1", 1000),
        ("Livermore-11", 50),
        ("Livermore-12", 50),
        ("Vladislavleva-3", 600),
        ("Vladislavleva-4", 1024),
        ("Vladislavleva-5", 300),
        ("Vladislavleva-6", 30),
        ("Vladislavleva-7", 300),
        ("Vladislavleva-8", 50),
    ]);
    for (name, problems, rows) in suites {
        let set = suite(name, 0).unwrap();
        assert_eq!(set.problems.len(), problems, "{name}");
        for p in &set.problems {
            let rows = of_their_own.get(&*p.id).copied().unwrap_or(rows);
            assert_eq!((p.x.n_rows(), p.y.len()), (rows, rows), "{}", p.id);
        }
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
        let (Sampler::Uniform { ranges } | Sampler::Even { ranges, .. }) = &problem.sampler else {
            panic!("{}: {:?}", problem.id, problem.sampler)
        };
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
    let first_four = suite_names().take(4).map(|name| suite(name, 0).unwrap().problems.len());
    assert_eq!(cases.len(), first_four.sum::<usize>());
    for (name, id, expected) in cases {
        let set = suite(name, 0).unwrap();
        let source: &Expr = set.problems.iter().find(|p| p.id == id).expect(id).source.as_ref().unwrap();
        let value = reference::eval_row(source, &[0.5, 0.25, 2.0], Semantics::Ieee);
        assert!((value - expected).abs() < 1e-12, "{id}: {value} is not {expected}");
    }
}

#[test]
fn formulas_of_the_literature_have_their_published_values() {
    // Computed with Python's math module from the published formulas as they are printed there.
    const AT: [f64; 9] = [0.5, 0.25, 2.0, 1.5, 0.75, 3.0, 1.25, 4.0, 0.1];
    let cases: [(&str, &str, &[f64], f64); 60] = [
        ("keijzer", "Keijzer-1", &[0.25], 0.075),
        ("keijzer", "Keijzer-4", &AT, -0.025_464_308_187_728_16),
        ("keijzer", "Keijzer-5", &AT, -50.526_315_789_473_685),
        ("keijzer", "Keijzer-6", &AT, 0.375),
        ("keijzer", "Keijzer-9", &AT, 0.481_211_825_059_603_47),
        ("keijzer", "Keijzer-10", &AT, 0.840_896_415_253_714_5),
        ("keijzer", "Keijzer-11", &AT, 0.491_272_529_086_047_57),
        ("keijzer", "Keijzer-15", &AT, -0.717_187_5),
        ("livermore", "Livermore-1", &AT, 1.080_737_292_587_856_2),
        ("livermore", "Livermore-4", &AT, -0.064_538_521_137_571_19),
        ("livermore", "Livermore-5", &AT, -0.25),
        ("livermore", "Livermore-7", &AT, 0.521_095_305_493_747_4),
        ("livermore", "Livermore-12", &AT, 2.0),
        ("livermore", "Livermore-14", &AT, 1.416_884_856_446_583_2),
        ("livermore", "Livermore-16", &AT, 0.629_960_524_947_436_6),
        ("livermore", "Livermore-19", &AT, -0.757_685_701_697_516_5),
        ("livermore", "Livermore-22", &AT, 0.996_093_75),
        ("vladislavleva", "Vladislavleva-1", &AT, 0.124_359_406_478_467_84),
        ("vladislavleva", "Vladislavleva-3", &AT, 0.120_955_463_891_708_76),
        ("vladislavleva", "Vladislavleva-4", &AT, 0.368_663_594_470_046_1),
        ("vladislavleva", "Vladislavleva-5", &AT, 25.263_157_894_736_842),
        ("vladislavleva", "Vladislavleva-7", &AT, 7.935_048_878_649_278),
        ("vladislavleva", "Vladislavleva-8", &AT, 1.084_458_778_472_082_3),
        ("jin", "Jin-1", &AT, -0.4),
        ("jin", "Jin-3", &AT, -0.517_187_499_999_999_9),
        ("jin", "Jin-6", &AT, 2.183_248_909_973_262),
        ("korns", "Korns-2", &AT, 11.274_444_444_444_445),
        ("korns", "Korns-3", &AT, -2.506_296_296_296_296_2),
        ("korns", "Korns-7", &AT, 51.181_265_971_394_31),
        ("korns", "Korns-9", &AT, -1.675_081_688_807_943_8),
        ("korns", "Korns-10", &AT, 20.949_860_139_860_14),
        ("korns", "Korns-12", &AT, 1.675_809_055_291_008_3),
        ("korns", "Korns-13", &AT, 32.994_555_059_545_13),
        ("korns", "Korns-14", &AT, 19.474_273_036_113_964),
        ("korns", "Korns-15", &AT, 46.228_167_301_236_72),
        ("r", "R1", &AT, 4.5),
        ("r", "R2", &AT, 0.525),
        ("r", "R3", &AT, 0.024_193_548_387_096_774),
        ("constant", "Constant-1", &AT, 1.843_75),
        ("constant", "Constant-4", &AT, 2.270_420_321_185_029_3),
        ("constant", "Constant-6", &AT, 0.744_322_627_583_269_8),
        ("constant", "Constant-8", &AT, 1.080_108_817_103_55),
        ("feynman", "Feynman-I.6.2a", &[2.25], 0.031_739_651_835_667_42),
        (
            "feynman",
            "Feynman-I.9.18",
            &[1.75, 1.25, 1.625, 3.375, 1.5625, 3.5, 2.0, 3.0, 1.875],
            0.522_688_110_281_447_5,
        ),
        ("feynman", "Feynman-I.15.3t", &[3.25, 6.25, 1.625, 2.875], 2.837_381_474_816_812_7),
        ("feynman", "Feynman-I.26.2", &[0.75, 2.75], 0.290_306_323_225_760_8),
        ("feynman", "Feynman-I.32.17", &[1.75, 1.25, 1.625, 1.375, 1.5625, 4.0], 1.483_199_619_219_687),
        ("feynman", "Feynman-I.41.16", &[3.25, 2.75, 3.125, 2.875, 3.0625], 0.813_081_125_948_698_3),
        ("feynman", "Feynman-II.6.15a", &[2.25, 1.75, 2.125, 1.875, 2.0625, 2.0], 0.023_889_092_601_632_91),
        ("feynman", "Feynman-II.24.17", &[5.25, 1.25, 3.125], 4.077_910_311_584_654),
        ("feynman", "Feynman-II.35.21", &[3.25, 2.75, 3.125, 2.875, 3.0625], 6.715_169_742_106_083),
        ("feynman", "Feynman-II.36.38", &[2.25, 1.75, 2.125, 1.875, 2.0625, 2.0, 2.5, 1.5], 1.128_000_000_000_000_1),
        ("feynman", "Feynman-III.9.52", &[2.25, 1.75, 2.125, 1.875, 3.0625, 3.0], 27.997_523_711_020_833),
        ("feynman", "Feynman-III.19.51", &[3.25, 2.75, 3.125, 2.875, 3.0625], -0.030_689_952_280_437_662),
        ("feynman-bonus", "Feynman-bonus-1", &[1.75, 1.25, 1.625, 1.375, 1.5625, 2.0, 2.5], 1.123_651_494_433_223_2),
        ("feynman-bonus", "Feynman-bonus-5", &[2.25, 1.75, 2.125, 1.875], 8.015_020_279_135_149),
        ("feynman-bonus", "Feynman-bonus-9", &[1.75, 1.25, 3.125, 2.875, 1.5625], -1_022.842_971_881_472_3),
        ("feynman-bonus", "Feynman-bonus-10", &[5.25, 1.75, 2.125], 2.391_039_148_650_399),
        ("feynman-bonus", "Feynman-bonus-14", &[3.25, 2.75, 3.125, 2.875, 3.0625], 6.409_342_057_361_089),
        ("feynman-bonus", "Feynman-bonus-20", &[3.25, 2.75, 3.125, 2.875, 3.0625, 3.0, 3.5], 0.103_788_037_429_008_44),
    ];
    for (name, id, point, expected) in cases {
        let set = suite(name, 0).unwrap();
        let source: &Expr = set.problems.iter().find(|p| p.id == id).expect(id).source.as_ref().unwrap();
        let value = reference::eval_row(source, point, Semantics::Ieee);
        assert!((value - expected).abs() < 1e-12 * expected.abs().max(1.0), "{id}: {value} is not {expected}");
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
    assert!(error.to_string().contains("ultra-simple, simple, harder, nguyen, keijzer"), "{error}");
}
