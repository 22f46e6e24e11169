//! Files of old versions.

use std::path::Path;

use sr_problems::ProblemSet;

#[test]
fn problem_sets_of_version_1_stay_readable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/problems/v1.sr");
    let set = ProblemSet::read(path).expect("a problem set");
    let mut text = format!("{:?} {:?}, seed {}\n", set.params.operators, set.params.constants, set.params.seed);
    for problem in &set.problems {
        let source = problem.source.as_ref().map(ToString::to_string);
        text += &format!("{}: {source:?}, seed {}, {:?}\n", problem.id, problem.seed, problem.sampler);
        text += &format!("  {:?} {:?}\n", problem.operators, problem.constants);
        for (row, y) in problem.y.iter().enumerate() {
            let x: Vec<f64> = (0..problem.x.n_columns()).map(|column| problem.x.column(column)[row]).collect();
            text += &format!("  {x:?} {y:?}\n");
        }
    }
    expect_test::expect_file!["../../../fixtures/problems/v1.txt"].assert_eq(&text);
}
