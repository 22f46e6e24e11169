//! Constants under other losses than squares, beside slow references.

use std::sync::Arc;

use sr_engine::{ConstantFitter, Instance, Loss, LossChoice, PrimitiveSet};
use sr_expr::{Columns, Expr, Op, Semantics};

fn instance(loss: &str, x: &[f64], y: &[f64], weights: Option<&[f64]>) -> Instance {
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul, Op::Exp], vec![1.0], 1).expect("primitives");
    let x = Columns::new(x.len(), 1, x.to_vec());
    let loss = loss.parse::<LossChoice>().expect(loss).for_rows(&x, y).expect("targets");
    let mut instance = Instance::new("t", x, y.to_vec(), primitives).expect("an instance");
    if let Some(weights) = weights {
        instance = instance.with_weights(weights.to_vec()).expect("weights");
    }
    match loss {
        Some(loss) => instance.with_loss(loss).expect("a loss"),
        None => instance,
    }
}

/// The constants of a tree after many steps, and the loss there.
fn fitted(text: &str, instance: &Instance) -> (Vec<f64>, f64) {
    let tree: Expr = text.parse().expect(text);
    let mut fitter = ConstantFitter::new();
    let found = fitter.fit(&tree, instance, Semantics::Ieee, 100);
    assert!(found.error <= found.start);
    let loss = instance.fit(found.tree, Semantics::Ieee);
    assert!((loss.relative - found.error).abs() <= 1e-12 * found.error, "{loss:?} {}", found.error);
    (found.tree.constants().collect(), loss.loss)
}

/// Mean loss of a + b x.
fn mean(loss: &dyn Loss, [a, b]: [f64; 2], x: &[f64], y: &[f64], weights: Option<&[f64]>) -> f64 {
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let rows = || 0..x.len();
    rows().map(|row| weight(row) * loss.loss(a + b * x[row], y[row])).sum::<f64>() / rows().map(weight).sum::<f64>()
}

/// The point in a range at which a convex function is least, by thirds.
fn least(range: [f64; 2], f: impl Fn(f64) -> f64) -> f64 {
    let [mut low, mut high] = range;
    for _ in 0..120 {
        let third = (high - low) / 3.0;
        match f(low + third) <= f(high - third) {
            true => high -= third,
            false => low += third,
        }
    }
    0.5 * (low + high)
}

/// The line of least loss, by a search within a search.
fn slow_line(loss: &dyn Loss, x: &[f64], y: &[f64], weights: Option<&[f64]>) -> [f64; 2] {
    let offset = |b: f64| least([-1e3, 1e3], |a| mean(loss, [a, b], x, y, weights));
    let b = least([-1e2, 1e2], |b| mean(loss, [offset(b), b], x, y, weights));
    [offset(b), b]
}

/// Points on y = 3 + 2 x with small errors, and some far away.
fn with_outliers(n: i32) -> (Vec<f64>, Vec<f64>) {
    let x: Vec<f64> = (0..n).map(|i| f64::from(i) / 4.0 - 2.0).collect();
    let error =
        |i: i32| f64::from((i * 7919 + 13) % 101) / 500.0 - 0.1 + if i % 7 == 2 { f64::from(i) + 20.0 } else { 0.0 };
    let y = (0..n).map(|i| 3.0 + 2.0 * x[i as usize] + error(i)).collect();
    (x, y)
}

#[test]
fn the_l1_line_goes_through_two_points_whatever_the_outliers_are() {
    for n in [9, 30, 61] {
        let (x, y) = with_outliers(n);
        let weights: Vec<f64> = (0..n).map(|i| f64::from(i % 3)).collect();
        for weights in [None, Some(&weights[..])] {
            let loss = "mae".parse::<LossChoice>().expect("a name").loss(1.0).expect("a loss");
            // An L1 line meets two points, so the best one is among those of all pairs.
            let lines = (0..x.len()).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| {
                let b = (y[i] - y[j]) / (x[i] - x[j]);
                [y[i] - b * x[i], b]
            });
            let best = lines.map(|line| mean(&*loss, line, &x, &y, weights)).fold(f64::INFINITY, f64::min);
            let (constants, found) = fitted("1.0*x0 + 0.0", &instance("mae", &x, &y, weights));
            assert!((found / best - 1.0).abs() < 1e-9, "{n}: {found} beside {best} at {constants:?}");
            let met = x.iter().zip(&y).filter(|(x, y)| (constants[0] * *x + constants[1] - *y).abs() < 1e-9).count();
            assert!(met >= 2, "{constants:?}");
        }
    }
}

#[test]
fn lines_of_other_losses_are_those_of_a_slow_search() {
    let (x, y) = with_outliers(40);
    let weights: Vec<f64> = (0..40).map(|i| 0.5 + f64::from(i % 4)).collect();
    for name in ["huber:0.05", "huber:3", "huber", "relative"] {
        for weights in [None, Some(&weights[..])] {
            let instance = instance(name, &x, &y, weights);
            let loss = instance.loss().expect("a loss");
            let (constants, found) = fitted("1.0*x0 + 0.0", &instance);
            let slow = slow_line(loss, &x, &y, weights);
            let best = mean(loss, slow, &x, &y, weights);
            assert!((found / best - 1.0).abs() < 1e-9, "{name}: {found} {best}");
            assert!(
                (constants[1] - slow[0]).abs() < 1e-5 && (constants[0] - slow[1]).abs() < 1e-5,
                "{name}: {constants:?} {slow:?}"
            );
        }
    }
}

#[test]
fn logistic_regression_has_the_published_coefficients() {
    // Hours of study and whether an examination was passed, an example of many textbooks: −4.0777 + 1.5046 hours with a
    // log-likelihood of −8.02988.
    let hours =
        [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 4.0, 4.25, 4.5, 4.75, 5.0, 5.5];
    let passed = [0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1].map(f64::from);
    for start in ["1.0*x0 + 0.0", "40.0*x0 - 90.0", "-3.0*x0 + 7.0"] {
        let (constants, loss) = fitted(start, &instance("logistic", &hours, &passed, None));
        let b = constants[0];
        let a = if start.contains('-') && !start.starts_with('-') { -constants[1] } else { constants[1] };
        assert!((b - 1.5046).abs() < 1e-4 && (a + 4.0777).abs() < 1e-4, "{constants:?} from {start}");
        assert!((20.0 * loss - 8.02988).abs() < 1e-5, "{loss}");
    }
}

#[test]
fn constants_that_are_not_linear_are_fitted_too() {
    let x: Vec<f64> = (0..60).map(|i| f64::from(i) / 20.0).collect();
    let y: Vec<f64> = (0..60).map(|i| 2.0 * (-1.3 * x[i]).exp() + 0.5 + if i % 9 == 4 { 7.0 } else { 0.0 }).collect();
    for name in ["mae", "huber:0.1"] {
        let (constants, _) = fitted("1.0*exp(-1.0*x0) + 0.0", &instance(name, &x, &y, None));
        let tolerance = if name == "mae" { 1e-9 } else { 0.1 };
        for (constant, expected) in constants.iter().zip([2.0, -1.3, 0.5]) {
            assert!((constant - expected).abs() < tolerance, "{name}: {constants:?}");
        }
    }
}

#[test]
fn a_fit_without_a_finite_loss_is_left_as_it_is() {
    let tree: Expr = "2.0*log(x0)".parse().expect("a tree");
    let instance = instance("mae", &[-1.0, 1.0], &[1.0, 2.0], None);
    let mut fitter = ConstantFitter::new();
    let fitted = fitter.fit(&tree, &instance, Semantics::Ieee, 10);
    assert_eq!((fitted.tree, fitted.error, fitted.identified), (&*tree, f64::INFINITY, 0));
}

#[test]
fn a_loss_of_ones_own_is_used_by_its_derivatives() {
    /// ln cosh of the error, a smooth magnitude.
    #[derive(Debug)]
    struct LogCosh;
    impl Loss for LogCosh {
        fn name(&self) -> String {
            "log-cosh".into()
        }
        fn loss(&self, prediction: f64, y: f64) -> f64 {
            (prediction - y).cosh().ln()
        }
        fn derivative(&self, prediction: f64, y: f64) -> f64 {
            (prediction - y).tanh()
        }
        fn curvature(&self, prediction: f64, y: f64) -> f64 {
            let error = (prediction - y).abs();
            if error < 1e-9 { 1.0 } else { error.tanh() / error }
        }
    }
    let (x, y) = with_outliers(25);
    let plain = instance("mse", &x, &y, None);
    let own = plain.with_loss(Arc::new(LogCosh)).expect("a loss");
    let (_, found) = fitted("1.0*x0 + 0.0", &own);
    let best = mean(&LogCosh, slow_line(&LogCosh, &x, &y, None), &x, &y, None);
    assert!((found / best - 1.0).abs() < 1e-9, "{found} {best}");
}

/// 30 rows of y = x² with an error of some hundredths, in these units.
fn squares(unit: f64) -> (Vec<f64>, Vec<f64>) {
    let x: Vec<f64> = (0..30).map(|i| 0.5 + f64::from(i) / 10.0).collect();
    let y = (0..30).map(|i| x[i] * x[i] * (1.0 + 0.05 * (i as f64 * 2.7).sin()) * unit).collect();
    (x, y)
}

#[test]
fn no_loss_depends_on_the_unit_of_y() {
    for loss in ["mse", "mae", "huber", "relative"] {
        // Another formula for each, in powers of two so that not a bit should change.
        for start in ["0.0*x0 + 0.0", "1.0*exp(0.5*x0) + 0.0"] {
            let found = |exponent: i32| {
                let unit = 2.0_f64.powi(exponent);
                let (x, y) = squares(unit);
                let data = instance(loss, &x, &y, None);
                let start = start.replace("1.0*exp", &format!("{unit:e}*exp"));
                let tree: Expr = start.parse().expect("a tree");
                let mut fitter = ConstantFitter::new();
                let fitted = fitter.fit(&tree, &data, Semantics::Ieee, 100);
                let scaled = ConstantFitter::new()
                    .scale(&"x0*x0".parse::<Expr>().expect("a tree"), &data, Semantics::Ieee)
                    .error;
                let tree = fitted.tree.to_owned();
                let first = tree.constants().next().expect("a constant") / unit;
                let fit = data.fit(&tree, Semantics::Ieee);
                assert!((fit.relative / fitted.error - 1.0).abs() < 1e-9, "{loss}: {fit:?} {}", fitted.error);
                assert!(fit.loss > 0.0 && fit.r2().is_some_and(|r2| r2 > 0.8), "{loss} in 2^{exponent}: {fit:?}");
                ([fitted.error, scaled, first], fit.rmse / unit)
            };
            let (expected, rmse) = found(0);
            assert!(expected[1] < 0.3 * expected[0] || start.contains("exp"), "{loss}: {expected:?}");
            for exponent in [-960, -664, -532, -300, 300, 532, 664, 960] {
                let (other, of_other) = found(exponent);
                let is_near = |(a, b): (&f64, &f64)| (a / b - 1.0).abs() < 1e-6;
                assert!(
                    other.iter().zip(&expected).all(is_near),
                    "{loss} of {start}: {other:?}, not {expected:?} in 2^{exponent}"
                );
                assert!((of_other / rmse - 1.0).abs() < 1e-6, "{loss}: {of_other}, not {rmse} in 2^{exponent}");
            }
        }
    }
}

#[test]
fn errors_are_relative_to_targets_of_many_magnitudes() {
    let x: Vec<f64> = (0..21).map(|i| f64::from(i) * 5.0 - 50.0).collect();
    let y: Vec<f64> = x.iter().map(|x| 10.0_f64.powf(*x) * if x % 10.0 == 0.0 { 1.1 } else { 0.9 }).collect();
    let data = instance("relative", &x, &y, None);
    let (constants, loss) = fitted("0.5*exp(2.302585092994046*x0)", &data);
    assert!((constants[0] - 1.0).abs() < 0.02 && (constants[1] / 10.0_f64.ln() - 1.0).abs() < 1e-3, "{constants:?}");
    assert!(loss < 0.0101, "{loss}");
    // Beyond that, the row that cannot be is named, from 1.
    let refused = |y: &[f64]| {
        let x = Columns::new(y.len(), 0, vec![]);
        "relative".parse::<LossChoice>().expect("a name").for_rows(&x, y).expect_err("too wide").to_string()
    };
    let error = refused(&[1.0, 1e150, 2.0]);
    assert!(error.starts_with("row 1: y is 1e0, which is too small"), "{error}");
}

#[test]
fn a_loss_of_ones_own_that_counts_rows_by_no_number_names_the_row() {
    #[derive(Debug)]
    struct Odd;
    impl Loss for Odd {
        fn name(&self) -> String {
            "odd".into()
        }
        fn loss(&self, prediction: f64, y: f64) -> f64 {
            (prediction - y).powi(2) * (y - 2.0)
        }
        fn derivative(&self, prediction: f64, y: f64) -> f64 {
            2.0 * (prediction - y) * (y - 2.0)
        }
        fn curvature(&self, _: f64, y: f64) -> f64 {
            2.0 * (y - 2.0)
        }
        fn square(&self, y: f64) -> Option<f64> {
            Some(y - 2.0)
        }
    }
    let data = instance("mse", &[1.0, 2.0], &[3.0, 1.0], None);
    let error = data.with_loss(Arc::new(Odd)).expect_err("no weight").to_string();
    assert!(error.starts_with("row 2: the loss odd"), "{error}");
}
