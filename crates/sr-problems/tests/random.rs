//! Random problem sets: what they promise, and that their files have the same bytes again.

use std::fs;

use proptest::prelude::*;
use sr_expr::{Expr, Node, Op, Semantics, reference};
use sr_problems::{Error, Generator, GeneratorPreset, ProblemSet, RandomParams, parse_operators};
use tempfile::tempdir;

fn params() -> impl Strategy<Value = RandomParams> {
    let operators = prop_oneof![Just("arith"), Just("+,*,sin,exp"), Just("full")];
    let constants = prop_oneof![Just(vec![]), Just(vec![1.0]), Just(vec![0.1, -2.5])];
    let arith = (operators, constants.clone(), 0.0..=1.0, any::<u64>()).prop_map(|(operators, c, complexity, seed)| {
        RandomParams::arith(parse_operators(operators).unwrap(), c, complexity, seed)
    });
    let e2e = (constants, 1..=10_u16, any::<u64>())
        .prop_map(|(c, max_variables, seed)| RandomParams { max_variables, ..RandomParams::e2e(c, seed) });
    prop_oneof![arith, e2e]
}

fn generate(params: &RandomParams, count: u32) -> ProblemSet {
    Generator::new(params.clone()).unwrap().generate(count, || ()).unwrap()
}

fn bytes(set: &ProblemSet) -> Vec<u8> {
    let folder = tempdir().unwrap();
    let path = folder.path().join("set.sr");
    set.write(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(&ProblemSet::read(&path).unwrap(), set);
    bytes
}

fn values(source: &Expr, x: &sr_expr::Columns) -> Vec<u64> {
    reference::predict(source, x, Semantics::Ieee).into_iter().map(f64::to_bits).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn problems_keep_their_promises(params in params()) {
        let set = generate(&params, 4);
        prop_assert_eq!(&set.params.operators, &params.operators);
        for problem in &set.problems {
            let source = problem.source.as_ref().unwrap();
            prop_assert_eq!(values(source, &problem.x), problem.y.iter().map(|y| y.to_bits()).collect::<Vec<_>>());
            prop_assert!(problem.y.iter().all(|y| y.abs() < 1e18));
            prop_assert!(problem.x.values().all(|&x| x == f64::from(x as f32)));
            prop_assert!((1..=usize::from(params.max_variables)).contains(&problem.x.n_columns()));
            prop_assert!((5..=200).contains(&problem.x.n_rows()));
            prop_assert_eq!(source.n_variables(), problem.x.n_columns());
            for variable in 0..problem.x.n_columns() {
                prop_assert!(source.uses_variable(variable as u16));
            }
            for node in source.nodes() {
                match node {
                    Node::Op(op) => prop_assert!(params.operators.contains(op)),
                    Node::Const(c) if params.preset != GeneratorPreset::E2e => prop_assert!(params.constants.contains(c)),
                    _ => {}
                }
            }
            // The printed formula is what the file keeps: it has to be the same formula.
            prop_assert_eq!(&source.to_string().parse::<Expr>().unwrap(), source);
            let (x, y) = problem.fresh_points(10, 3).expect("the formula is known");
            prop_assert_eq!(values(source, &x), y.iter().map(|y| y.to_bits()).collect::<Vec<_>>());
            prop_assert!(y.iter().all(|y| y.is_finite()));
            prop_assert!(problem.instance().is_ok());
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_more_problems_begin_alike(params in params()) {
        let (few, many) = (generate(&params, 3), generate(&params, 6));
        prop_assert_eq!(&few.problems[..], &many.problems[..3]);
        prop_assert_eq!(bytes(&few), bytes(&generate(&params, 3)));
        prop_assert_ne!(few.fingerprint(), many.fingerprint());
        let other = RandomParams { seed: params.seed ^ 1, ..params };
        prop_assert_ne!(generate(&other, 3).fingerprint(), few.fingerprint());
    }
}

#[test]
fn a_cut_file_says_where() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("set.sr");
    let params = RandomParams::e2e(vec![1.0], 1);
    fs::write(&path, &bytes(&generate(&params, 2))[..3000]).unwrap();
    let Err(Error::File(error)) = ProblemSet::read(&path) else { panic!("a cut file was read") };
    assert!(error.to_string().contains("record"), "{error}");
}

#[test]
fn the_formulas_of_a_seed_stay_the_same() {
    // A seed is a promise: a change here needs a line in the change log.
    let formulas = |params: RandomParams| -> Vec<String> {
        generate(&params, 3).problems.iter().map(|p| format!("{}: {}", p.id, p.source.as_ref().unwrap())).collect()
    };
    let arith = RandomParams::arith(parse_operators("arith").unwrap(), vec![1.0], 0.5, 1);
    assert_eq!(
        formulas(arith),
        [
            "arith_c05_s1_000000: ((x0 + (1.0 * x1)) + x0)",
            "arith_c05_s1_000001: ((x0 * ((x1 * x1) - ((x1 * x0) + x0))) + x2)",
            "arith_c05_s1_000002: (x1 - ((x1 - 1.0) - (x1 - (x0 * 1.0))))",
        ]
    );
    let full = RandomParams::arith(Op::ALL.to_vec(), vec![1.0, 3.25], 0.5, 1);
    assert_eq!(
        formulas(full),
        [
            "full_c05_s1_000000: ((x0 - (3.25 ** x1)) - x0)",
            "full_c05_s1_000001: ((x1 + x1) + (x0 - x2))",
            "full_c05_s1_000002: (x1 * ((x1 * 3.25) / (x1 * (x0 / 3.25))))",
        ]
    );
    let e2e = RandomParams { max_variables: 2, ..RandomParams::e2e(vec![1.0], 1) };
    assert_eq!(
        formulas(e2e),
        [
            "e2e_s1_000000: (8.81 + (2.72 * x0))",
            "e2e_s1_000001: (79.3 + ((3.59 * (x1 * ((-0.122 * (x0 * x0)) - (-81.4 * x1)))) + (-6.16 * x0)))",
            "e2e_s1_000002: (-63.4 + (2.95 * x0))",
        ]
    );
}

#[test]
fn the_number_of_variables_is_uniform() {
    let set = generate(&RandomParams::e2e(vec![], 0), 1000);
    let mut counts = [0_i32; 10];
    set.problems.iter().for_each(|problem| counts[problem.x.n_columns() - 1] += 1);
    // 100 expected of each, standard deviation 9.5; five of them.
    assert!(counts.iter().all(|&count| (count - 100).abs() < 48), "{counts:?}");
}
