//! The original system's text: contexts, populations and prompts in infix. The JSONL export uses it.
//!
//! `fixtures/prompt/infix-*.txt` pin the bytes.

use sr_engine::PrimitiveSet;
use sr_expr::{Columns, Op, Tree, python_float};

use crate::Context;
use crate::data::{Statistics, fixed, plot_text};

/// Returns the context of a state. `rich` and `superrich` continue the basic one, see [`basic_context`]:
///
/// ```text
///  | STATS: range=[-1.000,8.000] | mean=2.500 | var=9.250 | skew=0.612 | monotonic=False | zeros=2 | complexity=0.31
///  | PLOT: 2D(n=50,yr=[-1.00,8.00])
/// ```
///
/// The plot of a single variable is ten lines of characters and one with the range of y.
pub fn context(kind: Context, generation: u32, primitives: &PrimitiveSet, x: &Columns, y: &[f64]) -> String {
    let basic = basic_context(generation, primitives);
    match kind {
        Context::Basic => basic,
        Context::Rich => basic + &statistics(x, y),
        Context::SuperRich => basic + &statistics(x, y) + " | PLOT: " + &plot_text(x, y),
    }
}

fn statistics(x: &Columns, y: &[f64]) -> String {
    let Statistics { min, max, mean, variance, skewness, monotonic, sign_changes, complexity } = Statistics::new(x, y);
    let [min, max, mean, variance, skewness] = [min, max, mean, variance, skewness].map(|value| fixed(value, 3));
    let (monotonic, complexity) = (if monotonic { "True" } else { "False" }, fixed(complexity, 2));
    format!(
        " | STATS: range=[{min},{max}] | mean={mean} | var={variance} | skew={skewness} | monotonic={monotonic} \
         | zeros={sign_changes} | complexity={complexity}"
    )
}

/// Returns the basic context: `generation: 7 | 2 variables | ops: *,+,-,sin | constants: 1.0,2.5`. The names of binary
/// operators come first, then those of unary ones, each in alphabetical order.
pub fn basic_context(generation: u32, primitives: &PrimitiveSet) -> String {
    let names = |arity| {
        let mut names: Vec<&str> = primitives.ops_of(arity).map(Op::name).collect();
        names.sort_unstable();
        names
    };
    let ops = [names(2), names(1)].concat().join(",");
    let constants: Vec<String> = primitives.constants().iter().map(|&c| python_float(c)).collect();
    let (n_variables, constants) = (primitives.n_variables(), constants.join(","));
    format!("generation: {generation} | {n_variables} variables | ops: {ops} | constants: {constants}")
}

/// Returns `expr <FITNESS>%.5f` for each individual in slot order, joined by single spaces.
pub fn population<'a>(individuals: impl IntoIterator<Item = (&'a Tree, f64)>) -> String {
    let texts: Vec<String> =
        individuals.into_iter().map(|(tree, fitness)| format!("{tree} <FITNESS>{}", fixed(fitness, 5))).collect();
    texts.join(" ")
}

/// Returns the prompt, which the target follows.
pub fn prompt(context: &str, population: &str) -> String {
    format!("<CONTEXT>{context}<POPULATION>{population}<TARGET>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sr_expr::Expr;

    #[test]
    fn the_original_text_is_pinned() {
        let ops = vec![Op::Sin, Op::Div, Op::Mul, Op::Abs, Op::Sub, Op::Add];
        let primitives = PrimitiveSet::new(ops, vec![1.0, 2.5, -3.25, 1e-5], 2).expect("primitives");
        let exprs: Vec<Expr> = ["x0 + x1*1.0", "sin(x0) / 1e-5", "abs(x1 - -3.25)", "x0"]
            .map(|text| text.parse().expect("test expression"))
            .into();
        let fitnesses = [-0.034999999, -1e10, -0.000005, f64::NAN];
        let context = basic_context(12, &primitives);
        let population = population(exprs.iter().map(|e| &**e).zip(fitnesses));
        expect_test::expect_file!["../../../fixtures/prompt/infix-basic.txt"]
            .assert_eq(&format!("{}\n", prompt(&context, &population)));
    }

    #[test]
    fn richer_contexts_are_pinned() {
        use crate::data::testing;
        let primitives = |n| PrimitiveSet::new(vec![Op::Mul, Op::Add, Op::Sub], vec![1.0, 2.5], n).expect("primitives");
        for (kind, expected) in [
            (Context::Rich, expect_test::expect_file!["../../../fixtures/prompt/infix-rich.txt"]),
            (Context::SuperRich, expect_test::expect_file!["../../../fixtures/prompt/infix-superrich.txt"]),
        ] {
            let sets = [
                testing::cubic(),
                testing::wave(),
                testing::two_variables(),
                testing::three_variables(),
                testing::constant(),
            ];
            let text: String = (0..)
                .zip(&sets)
                .map(|(generation, (x, y))| context(kind, generation, &primitives(x.n_columns() as u16), x, y) + "\n")
                .collect();
            expected.assert_eq(&text);
        }
        let (x, y) = testing::wave();
        assert_eq!(context(Context::Basic, 3, &primitives(1), &x, &y), basic_context(3, &primitives(1)));
    }

    #[test]
    fn without_constants_the_list_is_empty() {
        let primitives = PrimitiveSet::new(vec![Op::Add], vec![], 1).expect("primitives");
        assert_eq!(basic_context(0, &primitives), "generation: 0 | 1 variables | ops: + | constants: ");
    }
}
