//! A baseline that looks at no population: all expressions by size.

use std::collections::HashSet;

use sr_engine::{Child, Instance, Offspring, Origin, Policy, PolicyError, Request, State};
use sr_expr::{Columns, Expr, Machine, Semantics};

/// Rows whose values tell expressions apart; more tell no more.
const MOST_ROWS: usize = 64;
/// The share of the largest value of an expression below which values are equal, as those of equal expressions may differ by
/// rounding.
const ROUNDING: f64 = 1.0 / (1_u64 << 32) as f64;
/// The expressions that are made where no number of evaluations limits a search.
const MOST_EXPRESSIONS: usize = 1_000_000;

/// A policy whose children are all expressions with distinct values on the data, the smallest first. It learns nothing from
/// a population, so a search with it finds what takes few nodes, and nothing else.
///
/// Expressions with equal values but for rounding are one, of which the first stands for all; those that are no number in
/// some row are left out. Once all within the limits were proposed, it begins anew. Each search needs its own.
///
/// Time and memory are O(expressions · rows), and expressions grow exponentially with their size.
#[derive(Debug, Default)]
pub struct Enumeration {
    /// The problem and seed of the search.
    of: Option<(u64, u64)>,
    /// Distinct expressions by size, `sizes[i]` those of i + 1 nodes.
    sizes: Vec<Vec<Expr>>,
    /// The values of those met, rounded: the largest one, and the others by it.
    met: HashSet<Vec<i64>>,
    /// The index of the next one in the last size.
    next: usize,
    machine: Machine<f64>,
    values: Vec<f64>,
}

impl Policy for Enumeration {
    fn propose(&mut self, requests: &mut [Request<'_>]) -> Result<(), PolicyError> {
        for Request { state, wanted, offspring } in requests {
            let of = Some((state.key.seed, state.key.problem));
            if self.of != of {
                *self = Enumeration { of, ..Enumeration::default() };
            }
            self.add(state, *wanted, offspring);
        }
        Ok(())
    }
}

impl Enumeration {
    fn add(&mut self, state: &State<'_>, wanted: usize, offspring: &mut Offspring) {
        let left = state.budget.evaluations.map_or(MOST_EXPRESSIONS, |left| left as usize).max(wanted);
        let x = first_rows(state.instance.x());
        for _ in 0..wanted {
            while self.sizes.last().is_none_or(|last| self.next == last.len()) {
                if self.sizes.len() == state.limits().max_size {
                    *self = Enumeration { of: self.of, ..Enumeration::default() };
                }
                self.next = 0;
                let size = self.of_next_size(state.instance, state.config.semantics, &x, left);
                self.sizes.push(size);
            }
            let tree = &self.sizes.last().expect("a size")[self.next];
            offspring.push(&Child::orphan(tree, Origin::Random));
            self.next += 1;
        }
    }

    /// Returns the distinct expressions of one node more than the largest so far, at most so many.
    fn of_next_size(&mut self, instance: &Instance, semantics: Semantics, x: &Columns, most: usize) -> Vec<Expr> {
        let (primitives, size) = (instance.primitives(), self.sizes.len() + 1);
        let mut found = Vec::new();
        let sizes = std::mem::take(&mut self.sizes);
        let mut add = |tree: Expr| {
            if found.len() < most && self.is_new(&tree, semantics, x) {
                found.push(tree);
            }
            found.len() < most
        };
        if size == 1 {
            (0..primitives.n_variables()).for_each(|index| _ = add(Expr::var(index)));
            primitives.constants().iter().for_each(|&value| _ = add(Expr::constant(value)));
        }
        'all: for &op in primitives.ops() {
            if op.arity() == 1 && size > 1 {
                for a in &sizes[size - 2] {
                    if !add(Expr::unary(op, a)) {
                        break 'all;
                    }
                }
            }
            if op.arity() == 2 {
                for left in 1..(size - 1).max(1) {
                    for (a, b) in pairs(&sizes[left - 1], &sizes[size - 2 - left]) {
                        if !add(Expr::binary(op, a, b)) {
                            break 'all;
                        }
                    }
                }
            }
        }
        self.sizes = sizes;
        found
    }

    /// Returns whether no expression had these values before, and notes them.
    fn is_new(&mut self, tree: &Expr, semantics: Semantics, x: &Columns) -> bool {
        self.machine.predict(tree, x, semantics, &mut self.values);
        if self.values.iter().any(|value| !value.is_finite()) {
            return false;
        }
        let largest = self.values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let shape = self.values.iter().map(|value| (value / scale / ROUNDING).round() as i64);
        let size = (libm::log(scale) / ROUNDING).round() as i64;
        self.met.insert([size].into_iter().chain(shape).collect())
    }
}

fn first_rows(x: &Columns) -> Columns {
    Columns::from_fn(x.n_rows().min(MOST_ROWS), x.n_columns(), |row, column| x.column(column)[row])
}

fn pairs<'e>(a: &'e [Expr], b: &'e [Expr]) -> impl Iterator<Item = (&'e Expr, &'e Expr)> {
    a.iter().flat_map(move |a| b.iter().map(move |b| (a, b)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sr_engine::{Evaluations, PrimitiveSet, Search, SearchConfig, StopReason};
    use sr_expr::Op;

    use super::*;

    fn search(formula: &str, max_evaluations: u64) -> Search {
        let x = Columns::from_fn(30, 2, |row, column| 0.3 + ((row * 7 + column * 5) % 13) as f64 / 5.0);
        let y = sr_expr::reference::predict(&formula.parse::<Expr>().expect("a formula"), &x, Semantics::Ieee);
        let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sub, Op::Mul], vec![1.0], 2).expect("primitives");
        let instance = Arc::new(Instance::new("p", x, y, primitives).expect("an instance"));
        let config = SearchConfig {
            max_evaluations: Some(max_evaluations),
            extra_generations: 0,
            generations: u32::MAX,
            ..SearchConfig::basic()
        };
        Search::new(instance, config, 1).expect("a search")
    }

    #[test]
    fn the_smallest_come_first_and_none_twice() {
        let search = search("x0", 2000);
        let (mut policy, mut offspring) = (Enumeration::default(), Offspring::default());
        policy.propose_one(search.state(), 600, &mut offspring).expect("it never fails");
        let texts: Vec<String> = offspring.iter().map(|child| child.tree.to_string()).collect();
        assert_eq!(texts[..3], ["x0", "x1", "1.0"]);
        // Of 3 leaves and + − ·: six sums, two products with x0 and one of x1, six differences and 0.
        let of_three = ["(x0 + x0)", "(x0 + x1)", "(x0 + 1.0)", "(x1 + x1)", "(x1 + 1.0)", "(1.0 + 1.0)"];
        assert_eq!(texts[3..9], of_three);
        let sizes: Vec<usize> = offspring.iter().map(|child| child.tree.size()).collect();
        assert!(sizes.is_sorted(), "{sizes:?}");
        let of_size = |size: usize| sizes.iter().filter(|&&found| found == size).count();
        assert_eq!([of_size(1), of_size(3), of_size(5)], [3, 6 + 3 + 7, 71], "as many as there are polynomials");
        let distinct: HashSet<&String> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len());
    }

    #[test]
    fn a_formula_is_found_once_all_smaller_ones_were_met() {
        let evaluations = |formula: &str| {
            let outcome = search(formula, 3000).run(&mut Enumeration::default()).expect("it never fails");
            assert!(outcome.solved.is_some() || matches!(outcome.stop, Some(StopReason::Evaluations(_))));
            let Evaluations { search, .. } = outcome.evaluations;
            outcome.solved.map(|_| search)
        };
        assert!(evaluations("x0 * x1").is_some_and(|n| n < 60));
        // Behind the 3 + 16 + 71 of one, three and five nodes.
        let of_seven = evaluations("x0 * x1 + x0 - x1");
        assert!(of_seven.is_some_and(|n| (90..1500).contains(&n)), "{of_seven:?}");
        assert_eq!(evaluations("x0 * x0 * x1 * x1 * x1 - x0 + 1.0 + 1.0 + x1 * x1"), None, "beyond the budget");
    }

    #[test]
    fn it_begins_anew_where_all_were_proposed() {
        let primitives = PrimitiveSet::new(vec![Op::Add], vec![], 1).expect("primitives");
        let instance = Instance::new("p", Columns::new(3, 1, vec![1.0, 2.0, 4.0]), vec![0.0, 1.0, 0.5], primitives);
        let mut config = SearchConfig::basic();
        config.limits.max_size = 3;
        let search = Search::new(instance.expect("an instance"), config, 1).expect("a search");
        let mut offspring = Offspring::default();
        Enumeration::default().propose_one(search.state(), 5, &mut offspring).expect("it never fails");
        let texts: Vec<String> = offspring.iter().map(|child| child.tree.to_string()).collect();
        assert_eq!(texts, ["x0", "(x0 + x0)", "x0", "(x0 + x0)", "x0"]);
    }
}
