//! The original system's text: contexts, populations and prompts in infix. Used by the JSONL export.
//!
//! The bytes are pinned by `fixtures/prompt/infix-basic.txt`.

use sr_engine::PrimitiveSet;
use sr_expr::{Op, Tree, python_float};

/// `generation: 7 | 2 variables | ops: *,+,-,sin | constants: 1.0,2.5`: binary operators by name, then unary ones.
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

/// `expr <FITNESS>%.5f` for each individual in slot order, joined by single spaces.
pub fn population<'a>(individuals: impl IntoIterator<Item = (&'a Tree, f64)>) -> String {
    let texts: Vec<String> = individuals
        .into_iter()
        .map(|(tree, fitness)| match fitness.is_nan() {
            true => format!("{tree} <FITNESS>nan"), // as Python prints it
            false => format!("{tree} <FITNESS>{fitness:.5}"),
        })
        .collect();
    texts.join(" ")
}

/// The prompt, to be followed by the target.
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
    fn without_constants_the_list_is_empty() {
        let primitives = PrimitiveSet::new(vec![Op::Add], vec![], 1).expect("primitives");
        assert_eq!(basic_context(0, &primitives), "generation: 0 | 1 variables | ops: + | constants: ");
    }
}
