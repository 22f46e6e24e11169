//! Files of old versions, and of the newest.

use std::path::Path;

use sr_problems::ProblemSet;

#[test]
fn problem_sets_of_version_1_stay_readable() {
    expect_test::expect_file!["../../../fixtures/problems/v1.txt"].assert_eq(&in_words("v1.sr"));
}

#[test]
fn problem_sets_of_version_2_stay_readable() {
    expect_test::expect_file!["../../../fixtures/problems/v2.txt"].assert_eq(&in_words("v2.sr"));
}

fn in_words(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/problems").join(file);
    let set = ProblemSet::read(path).expect("a problem set");
    let mut text = format!("{:?} {:?}, seed {}\n", set.params.operators, set.params.constants, set.params.seed);
    for problem in &set.problems {
        let source = problem.source.as_ref().map(ToString::to_string);
        text += &format!("{}: {source:?}, seed {}, {:?}\n", problem.id, problem.seed, problem.sampler);
        text += &format!("  {:?} {:?}\n", problem.operators, problem.constants);
        for (row, y) in problem.y.iter().enumerate() {
            let x: Vec<f64> = (0..problem.x.n_columns()).map(|column| problem.x.column(column)[row]).collect();
            let weight = problem.weights.as_ref().map_or_else(String::new, |weights| format!(" * {:?}", weights[row]));
            text += &format!("  {x:?} {y:?}{weight}\n");
        }
    }
    text
}
