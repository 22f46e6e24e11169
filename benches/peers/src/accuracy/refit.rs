//! Constants of a formula fitted to a law's own values, to tell whether a formula has the right form whatever words it
//! is written in: then some constants near the printed ones make it the law.

use sr_expr::{Columns, Expr, Gradient, Loss, Node, Semantics, Tree};

/// The largest number of steps of a fit.
const MAX_STEPS: u32 = 100;
/// Added to the diagonal of the normal equations, relative to it, where constants are taken to be identifiable: what
/// is below it is rounding.
const RIDGE: f64 = 1e-13;

/// Fits the constants of `tree` to `y` by least squares (Levenberg, 1944; Marquardt, 1963), starting at their values.
///
/// - x: `[rows, columns]`; y: `[rows]`
///
/// Returns the constants in post-order. They are those of the tree where no step makes the error smaller.
pub fn constants(tree: &Tree, semantics: Semantics, x: &Columns, y: &[f64]) -> Vec<f64> {
    let mut gradient = Gradient::<f64>::new();
    gradient.compile(tree, semantics, x.n_columns());
    let mut best = gradient.constants().to_vec();
    if best.is_empty() {
        return best;
    }
    let n = best.len();
    let loss = Loss::Squares { y, limit: f64::INFINITY };
    let error = |gradient: &mut Gradient<f64>| {
        let sums = gradient.sum(x, loss);
        if sums.count == y.len() { sums.squares() } else { f64::INFINITY }
    };
    let (mut least, mut damping) = (error(&mut gradient), 1e-3);
    if !least.is_finite() {
        return best;
    }
    for _ in 0..MAX_STEPS {
        let normal = gradient.normal_equations(x, y, f64::INFINITY, None);
        let (matrix, vector) = (normal.matrix().to_vec(), normal.vector().to_vec());
        let before = least;
        // Damping grows until a step helps, to where steps are nothing.
        while damping < 1e12 {
            let step = Cholesky::of(&matrix, n, damping).map(|factor| factor.solve(&vector));
            let Some(step) = step.filter(|step| step.iter().all(|value| value.is_finite())) else {
                damping *= 10.0;
                continue;
            };
            let moved: Vec<f64> = best.iter().zip(&step).map(|(constant, step)| constant - step).collect();
            gradient.set_constants(&moved);
            let now = error(&mut gradient);
            if now < least {
                (best, least, damping) = (moved, now, (damping * 0.1).max(RIDGE));
                break;
            }
            damping *= 10.0;
        }
        gradient.set_constants(&best);
        if least == 0.0 || least > before * (1.0 - 1e-10) {
            break;
        }
    }
    best
}

/// Returns the standard deviations of the constants of `tree` when they are fitted to rows `x` with independent normal
/// errors of standard deviation `sigma`: the roots of the diagonal of σ² (JᵀJ)⁻¹. One that the data do not determine is
/// very large.
///
/// Returns `None` if a derivative is not finite anywhere.
pub fn deviations(tree: &Tree, semantics: Semantics, x: &Columns, sigma: f64) -> Option<Vec<f64>> {
    let mut gradient = Gradient::<f64>::new();
    gradient.compile(tree, semantics, x.n_columns());
    let n = gradient.n_constants();
    let y = vec![0.0; x.n_rows()];
    let normal = gradient.normal_equations(x, &y, f64::INFINITY, None);
    let factor = Cholesky::of(normal.matrix(), n, RIDGE).filter(|_| normal.count() > 0)?;
    let unit = |index: usize| (0..n).map(|i| f64::from(u8::from(i == index))).collect::<Vec<_>>();
    Some((0..n).map(|index| sigma * factor.solve(&unit(index))[index].max(0.0).sqrt()).collect())
}

/// Returns the tree with other constants.
pub fn with_constants(tree: &Tree, constants: &[f64]) -> Expr {
    let mut constants = constants.iter();
    let node = |&node: &Node| match node {
        Node::Const(value) => Node::Const(*constants.next().unwrap_or(&value)),
        node => node,
    };
    Expr::new(tree.nodes().iter().map(node).collect()).expect("the shape is as it was")
}

/// The factor L of L Lᵀ = S (A + damping · I) S, where S scales the diagonal of A to 1.
struct Cholesky {
    n: usize,
    factor: Vec<f64>,
    scale: Vec<f64>,
}

impl Cholesky {
    fn of(matrix: &[f64], n: usize, damping: f64) -> Option<Self> {
        let scale: Vec<f64> = (0..n).map(|i| matrix[i * n + i].sqrt().recip()).collect();
        // A constant without any effect has no scale; its step is 0.
        let scale: Vec<f64> = scale.into_iter().map(|s| if s.is_finite() { s } else { 0.0 }).collect();
        let mut factor = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let own = matrix[i * n + j] * scale[i] * scale[j];
                let own = if i == j { own.max(f64::from(u8::from(scale[i] == 0.0))) + damping } else { own };
                let rest: f64 = (0..j).map(|k| factor[i * n + k] * factor[j * n + k]).sum();
                let value = own - rest;
                factor[i * n + j] = match i == j {
                    true if value > 0.0 => value.sqrt(),
                    true => return None,
                    false => value / factor[j * n + j],
                };
            }
        }
        factor.iter().all(|value| value.is_finite()).then_some(Cholesky { n, factor, scale })
    }

    fn solve(&self, vector: &[f64]) -> Vec<f64> {
        let Cholesky { n, factor, scale } = self;
        let n = *n;
        let mut z: Vec<f64> = vector.iter().zip(scale).map(|(value, scale)| value * scale).collect();
        for i in 0..n {
            let rest: f64 = (0..i).map(|k| factor[i * n + k] * z[k]).sum();
            z[i] = (z[i] - rest) / factor[i * n + i];
        }
        for i in (0..n).rev() {
            let rest: f64 = (i + 1..n).map(|k| factor[k * n + i] * z[k]).sum();
            z[i] = (z[i] - rest) / factor[i * n + i];
        }
        z.iter().zip(scale).map(|(value, scale)| value * scale).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Columns {
        Columns::from_fn(50, 1, |row, _| 0.5 + row as f64 / 20.0)
    }

    #[test]
    fn constants_are_found_from_near_ones() {
        let x = line();
        let law: Expr = "2.5*sin(1.7*x0) + 0.3".parse().expect("a formula");
        let y = sr_expr::predict(&law, &x, Semantics::Ieee);
        let near: Expr = "2.4*sin(1.72*x0) + 0.31".parse().expect("a formula");
        let found = constants(&near, Semantics::Ieee, &x, &y);
        for (found, expected) in found.iter().zip([2.5, 1.7, 0.3]) {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
        let same = with_constants(&near, &found);
        assert_eq!(same.skeleton(), near.skeleton());
    }

    #[test]
    fn constants_that_the_data_do_not_determine_are_no_obstacle() {
        let x = line();
        let y: Vec<f64> = x.column(0).iter().map(|x| 6.0 * x).collect();
        let twice: Expr = "2.1*(2.9*x0)".parse().expect("a formula");
        let found = constants(&twice, Semantics::Ieee, &x, &y);
        assert!((found[0] * found[1] - 6.0).abs() < 1e-9, "{found:?}");
        let loose = deviations(&twice, Semantics::Ieee, &x, 0.1).expect("derivatives");
        assert!(loose.iter().all(|sigma| *sigma > 100.0), "{loose:?}");
    }

    #[test]
    fn deviations_are_those_of_linear_regression() {
        let x = line();
        let slope: Expr = "2.0*x0".parse().expect("a formula");
        let squares: f64 = x.column(0).iter().map(|x| x * x).sum();
        let sigma = deviations(&slope, Semantics::Ieee, &x, 0.1).expect("derivatives")[0];
        assert!((sigma - 0.1 / squares.sqrt()).abs() < 1e-9);
    }
}
