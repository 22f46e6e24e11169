//! The space that examples take.

mod support;

use sr_corpus::{Options, Problems, convert_trace};
use sr_engine::Expert;
use sr_problems::{ARITH, RandomParams};

#[test]
fn one_step_examples_take_few_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let params = RandomParams::arith(ARITH.to_vec(), vec![1.0], 0.5, 1);
    support::searches(folder.path(), params, 100, 50, &mut Expert);
    let problems = Problems::open(folder.path().join("problems.sr")).expect("the problem set");
    let (trace, out) = (folder.path().join("trace.sr"), folder.path().join("corpus"));
    let counts = convert_trace(&trace, &problems, &Options::default(), &out, || {}).expect("converted");
    assert_eq!(counts.train + counts.val, 100 * 49 * 19);
    assert!(counts.bytes_per_example < 10.0, "{} bytes an example", counts.bytes_per_example);
}
