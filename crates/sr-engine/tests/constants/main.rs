//! Fitted constants: against a plain method, at the edges, and the same bits everywhere.

mod losses;
mod planted;
mod reference;

use planted::planted;
use proptest::prelude::*;
use sr_engine::random::{Key, Purpose};
use sr_engine::{ConstantFitter, Evaluator, Fitted, Instance, Objective, PrimitiveSet, SearchConfig, fit_constants};
use sr_expr::testing::{columns, expr};
use sr_expr::{Columns, Expr, Level, Op, Semantics, Tree};
use sr_testing::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// An error at which every constant has been found.
const FOUND: f64 = 1e-20;

fn parse(text: &str) -> Expr {
    text.parse().expect(text)
}

fn instance(x: Columns, y: Vec<f64>) -> Instance {
    let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 1).expect("primitives");
    Instance::new("p", x, y, primitives).expect("an instance")
}

/// The instance of a formula over x0 in 0.1, 0.2, …, 5.0 and x1 in 5.0, 4.9, …, 0.1, all in these units.
fn instance_of(formula: &str, x_unit: f64, y_unit: f64) -> Instance {
    let x =
        Columns::from_fn(50, 2, |row, column| if column == 0 { row as f64 + 1.0 } else { 50.0 - row as f64 } / 10.0);
    let y = sr_expr::predict(&parse(formula), &x, Semantics::Ieee).iter().map(|y| y * y_unit).collect();
    instance(Columns::from_fn(50, 2, |row, column| x.column(column)[row] * x_unit), y)
}

/// A start's fit in so many steps, by value: text, error, start's error, identified constants.
fn fit(start: &str, instance: &Instance, steps: u32) -> (Vec<f64>, f64, f64, usize) {
    let mut fitter = ConstantFitter::new();
    let fitted = fitter.fit(&parse(start), instance, Semantics::Ieee, steps);
    assert_is_honest(&fitted, &parse(start), instance, Semantics::Ieee);
    (fitted.tree.constants().collect(), fitted.error, fitted.start, fitted.identified)
}

/// Checks that errors are those of an evaluator, that the result is no worse than the start, and that only constants
/// changed.
fn assert_is_honest(fitted: &Fitted<'_>, start: &Tree, instance: &Instance, semantics: Semantics) {
    let config = SearchConfig { objective: Objective::Mse, semantics, ..SearchConfig::basic() };
    let error = |tree: &Tree| Evaluator::default().score(tree, instance, &config).mse;
    assert_eq!((fitted.error, fitted.start), (error(fitted.tree), error(start)), "{start} to {}", fitted.tree);
    assert!(fitted.error <= fitted.start, "{start} to {}", fitted.tree);
    assert_eq!(fitted.tree.skeleton(), start.skeleton());
    assert!(fitted.identified <= start.constants().count());
}

#[test]
fn linear_constants_are_found_in_one_step() {
    let data = instance_of("3.0*sin(x0) - 2.0*x1/x0 + 0.25", 1.0, 1.0);
    let (constants, error, _, identified) = fit("1.0*sin(x0) - 1.0*x1/x0 + 1.0", &data, 0);
    assert!(error < FOUND && identified == 3, "{constants:?} {error}");
    assert!(constants.iter().zip([3.0, 2.0, 0.25]).all(|(found, c)| (found - c).abs() < 1e-12), "{constants:?}");
}

#[test]
fn planted_constants_are_found_as_often_as_by_the_plain_method() {
    let (mut fitter, mut all) = (ConstantFitter::new(), [0, 0]);
    for (away, steps) in [(0.1, 10), (0.3, 4), (0.3, 30), (1.0, 30)] {
        let (mut ours, mut plain) = (0, 0);
        let problems = planted(2, 150, 40, away);
        for problem in &problems {
            let fitted = fitter.fit(&problem.start, &problem.instance, Semantics::Ieee, steps);
            ours += usize::from(fitted.error < FOUND);
            let by_reference = reference::fit(&problem.start, &problem.instance, Semantics::Ieee, steps);
            plain += usize::from(problem.instance.fit(&by_reference, Semantics::Ieee).relative < FOUND);
        }
        // Of so few problems, one or two may go either way.
        assert!(ours + 2 >= plain && 2 * plain > problems.len(), "{ours} and {plain} at {away} in {steps} steps");
        all = [all[0] + ours, all[1] + plain];
    }
    assert!(all[0] >= all[1], "{all:?}");
}

#[test]
fn further_starts_find_what_the_first_one_does_not() {
    let problems = planted(3, 200, 40, 1.0);
    let mut fitter = ConstantFitter::new();
    let key = Key::new(1, Purpose::Constants, 0);
    let (mut one, mut many) = (0, 0);
    for (problem, slot) in problems.iter().zip(0..) {
        let (start, data) = (&problem.start, &problem.instance);
        let alone = fitter.fit(start, data, Semantics::Ieee, 30);
        let (alone, of_alone) = (alone.error, alone.work);
        let best = fitter.fit_restarts(start, data, Semantics::Ieee, 30, 8, key.slot(slot));
        assert_is_honest(&best, start, data, Semantics::Ieee);
        assert!(best.error <= alone && best.work >= of_alone);
        one += usize::from(alone < FOUND);
        many += usize::from(best.error < FOUND);
        // Another fitter, which has seen nothing else, finds the same.
        let (best, bits) = (best.tree.to_owned(), best.error.to_bits());
        let mut other = ConstantFitter::new();
        let again = other.fit_restarts(start, data, Semantics::Ieee, 30, 8, key.slot(slot));
        assert_eq!((again.tree, again.error.to_bits()), (&*best, bits));
    }
    assert!(many > one, "{many} and {one}");
}

#[test]
fn constants_that_do_the_same_are_not_both_moved() {
    let data = instance_of("6.0*x0", 1.0, 1.0);
    let (constants, error, _, identified) = fit("2.0*(5.0*x0)", &data, 4);
    assert!(error < FOUND && identified == 1, "{constants:?} {error}");
    assert!(constants.contains(&2.0) || constants.contains(&5.0), "{constants:?}");

    let data = instance_of("x0 + 6.0", 1.0, 1.0);
    let (constants, error, _, identified) = fit("x0 + 2.0 + 5.0", &data, 4);
    assert!(error < FOUND && identified == 1, "{constants:?} {error}");
    assert!(constants.contains(&2.0) || constants.contains(&5.0), "{constants:?}");

    // The linear one is moved, whose sign can change.
    let data = instance_of("0.0 - 3.0*exp(0.5*x0)", 1.0, 1.0);
    let (constants, error, _, identified) = fit("1.0*exp(0.4*x0 + 0.125)", &data, 20);
    assert!(error < FOUND && identified == 2 && constants[2] == 0.125, "{constants:?} {error}");

    // What changes no prediction stays.
    let data = instance_of("3.0*x0", 1.0, 1.0);
    let (constants, error, _, identified) = fit("1.0*x0 + 0.0*sin(7.0)", &data, 4);
    assert!(error < FOUND && identified < 3 && constants[2] == 7.0, "{constants:?} {error}");
}

#[test]
fn exponents_are_fitted_and_left_alone_where_they_have_no_derivative() {
    let data = instance_of("1.5*pow(x0, 2.5)", 1.0, 1.0);
    let (constants, error, ..) = fit("1.0*pow(x0, 2.0)", &data, 10);
    assert!(error < FOUND && (constants[1] - 2.5).abs() < 1e-9, "{constants:?} {error}");

    // At whole exponents a power of negative numbers exists, beside them it does not.
    let x = Columns::from_fn(20, 1, |row, _| row as f64 - 10.0);
    let y = x.column(0).iter().map(|x| 3.0 * x * x + 1.0).collect();
    let (constants, error, ..) = fit("1.0*pow(x0, 2.0) + 0.0", &instance(x, y), 10);
    assert!(error < FOUND && constants[1] == 2.0, "{constants:?} {error}");
}

#[test]
fn rows_without_a_derivative_still_count_in_the_error() {
    let x = Columns::from_fn(30, 1, |row, _| row as f64);
    let y = x.column(0).iter().map(|x| (3.0 * x).sqrt() + 0.5).collect();
    // The derivative by the factor under the root is 0 · ∞ at 0.
    let (constants, error, start, _) = fit("sqrt(1.0*x0) + 0.0", &instance(x, y), 10);
    assert!(error < FOUND && start > 0.1, "{constants:?} {error}");
}

#[test]
fn what_overflows_is_rejected_and_what_is_no_number_stays() {
    let data = instance_of("exp(3.0*x0)", 1.0, 1.0);
    // The first undamped step goes to where exp overflows.
    let (constants, error, start, _) = fit("exp(0.01*x0)", &data, 50);
    assert!(error < FOUND && start > error, "{constants:?} {error}");

    for start in ["exp(1000.0*x0)", "log(0.0 - x0 - 1.0)", "1e300*1e300*x0", "x0 + x9*2.0"] {
        let (constants, error, of_start, identified) = fit(start, &data, 4);
        assert_eq!((error, of_start, identified), (f64::INFINITY, f64::INFINITY, 0), "{start}");
        assert!(constants.iter().copied().eq(parse(start).constants()), "{start}: {constants:?}");
    }
    // Products of derivatives overflow, the predictions do not.
    let (_, error, start, _) = fit("1e-200*x0*exp(200.0*x0 - 540.0)", &data, 4);
    assert!(error <= start && start.is_finite());
}

#[test]
fn a_tree_without_constants_is_only_evaluated() {
    let data = instance_of("x0 + 1.0", 1.0, 1.0);
    let (constants, error, start, identified) = fit("x0*x1", &data, 4);
    assert!(constants.is_empty() && error == start && identified == 0);
}

#[test]
fn units_change_nothing() {
    for (x_unit, y_unit) in [(1.0, 1e-250), (1.0, 1e250), (1e-100, 1e-30), (1e80, 1.0), (1.0, 1e-70), (1.0, 1e300)] {
        let data = instance_of("3.0*sin(x0) + 0.25", x_unit, y_unit);
        let start = format!("{:e}*sin({:e}*x0) + {:e}", y_unit, 0.9 / x_unit, y_unit);
        let (constants, error, _, identified) = fit(&start, &data, 30);
        assert!(error < FOUND && identified == 3, "{constants:?} {error} in {x_unit} and {y_unit}");
    }
}

/// The line of least squares through points with weights, from moments around the first point, whose differences have no
/// rounding of the offset.
fn line(x: &[f64], y: &[f64], weights: &[f64]) -> [f64; 2] {
    let total: f64 = weights.iter().sum();
    let mean = |of: &dyn Fn(usize) -> f64| (0..x.len()).map(|row| weights[row] * of(row)).sum::<f64>() / total;
    let (dx, dy) = (|row: usize| x[row] - x[0], |row: usize| y[row] - y[0]);
    let (mx, my) = (mean(&dx), mean(&dy));
    let slope = mean(&|row| (dx(row) - mx) * (dy(row) - my)) / mean(&|row| (dx(row) - mx).powi(2));
    // The line goes through this point.
    [slope, y[0] + my - slope * mx]
}

#[test]
fn a_line_is_that_of_least_squares_whatever_the_offset_and_the_unit_of_x() {
    let at = |i: f64| if i as i32 % 7 == 0 { 1.5 } else { (i * 1.7).sin() };
    // Dates, Julian days, seconds since 1970, thousandths of these.
    let cases =
        [[20_240_101.0, 1.0], [2_460_310.5, 1.0], [1.7e9, 1.0], [1.7e12, 1e3], [1e6, 1.0], [0.0, 1e300], [0.0, 1e-300]];
    for [offset, unit] in cases.into_iter().chain([[-1e6, 0.25], [1e-290, 1e-300], [5.0, 0.0625]]) {
        for y_unit in [1.0, 1e200, 1e-200] {
            let x: Vec<f64> = (0..40).map(|i| offset + unit * f64::from(i)).collect();
            let y: Vec<f64> = (0..40).map(|i| (0.25 * f64::from(i) + 2.0 + at(f64::from(i))) * y_unit).collect();
            if !(1e-300..1e300).contains(&(y_unit / unit)) {
                continue;
            }
            let spread: Vec<f64> = x.iter().map(|x| (x - offset) / unit).collect();
            let [slope, middle] = line(&spread, &y, &[1.0; 40]);
            let data = instance(Columns::new(40, 1, x), y);
            let (constants, error, _, identified) = fit("0.0 + 0.0*x0", &data, 1);
            assert_eq!(identified, 2, "{constants:?} at {offset} + {unit} i");
            assert!(
                (constants[1] * unit / slope - 1.0).abs() < 1e-6,
                "{constants:?}, not {slope} at {offset} + {unit} i"
            );
            // The error is that of the best line, but for the rounding of sums of 1e9.
            let best: f64 = (0..40).map(|i| ((data.y()[i] - middle - slope * spread[i]) / y_unit).powi(2)).sum();
            let least = best / 40.0 / (data.scale() / y_unit).powi(2);
            assert!((error / least - 1.0).abs() < 1e-7, "{error} and {least} at {offset} + {unit} i, in {y_unit}");
        }
    }
}

#[test]
fn a_line_has_a_slope_whatever_the_range_of_weights() {
    let x: Vec<f64> = (0..30).map(|i| f64::from(i) / 3.0).collect();
    let y: Vec<f64> = (0..30).map(|i| 1.0 + 0.5 * x[i] + (i as f64 * 2.3).sin() / 10.0).collect();
    for sigma in [1e3, 1e6, 1e8] {
        // One row of so much less error, or of so much more.
        for (one, others) in [(1.0, sigma), (sigma, 1.0)] {
            let weights: Vec<f64> =
                (0..30).map(|i| if i == 4 { one } else { others }).map(|s: f64| s.powi(-2)).collect();
            let around: Vec<usize> = std::iter::once(4).chain((0..30).filter(|i| *i != 4)).collect();
            let first = |values: &[f64]| around.iter().map(|&i| values[i]).collect::<Vec<f64>>();
            let [slope, _] = line(&first(&x), &first(&y), &first(&weights));
            let data = instance(Columns::new(30, 1, x.clone()), y.clone()).with_weights(weights).expect("weights");
            let (constants, _, _, identified) = fit("0.0 + 0.0*x0", &data, 1);
            assert!(identified == 2 && (constants[1] / slope - 1.0).abs() < 1e-6, "{constants:?}, not {slope}");
        }
    }
}

#[test]
fn a_plane_over_years_and_another_variable_is_that_of_least_squares() {
    let x = Columns::from_fn(
        40,
        2,
        |row, column| if column == 0 { 20_240_101.0 } else { 0.0 } + ((row * 7) % (11 + column)) as f64,
    );
    let y: Vec<f64> = (0..40).map(|i| 3.0 * (x.column(0)[i] - 20_240_101.0) - 0.5 * x.column(1)[i] + 7.0).collect();
    let (constants, error, _, identified) = fit("0.0 + 0.0*x0 + 0.0*x1", &instance(x, y), 1);
    assert!(identified == 3 && error < 1e-14, "{constants:?} {error}");
    assert!((constants[1] - 3.0).abs() < 1e-6 && (constants[2] + 0.5).abs() < 1e-6, "{constants:?}");
}

#[test]
fn the_mean_and_a_line_of_the_largest_numbers_are_found() {
    let x = Columns::new(4, 1, vec![1.0, 2.0, 3.0, 4.0]);
    let y = vec![1e308, -1e308, 1.7e308, 0.0];
    let data = instance(x, y);
    let (constants, error, ..) = fit("0.0", &data, 1);
    assert!((constants[0] / 4.25e307 - 1.0).abs() < 1e-12 && (error - 1.0).abs() < 1e-12, "{constants:?} {error}");
    // Σ (x − 2.5) y / Σ (x − 2.5)² = (−1.5 + 0.5 + 0.85) / 5 · 1e308.
    let (constants, error, ..) = fit("0.0 + 0.0*x0", &data, 1);
    assert!((constants[1] / -3e306 - 1.0).abs() < 1e-9 && error < 1.0, "{constants:?} {error}");
}

#[test]
fn weights_count_in_a_fit() {
    let x = Columns::from_fn(4, 1, |_, _| 1.0);
    let data = instance(x, vec![1.0, 3.0, 5.0, 99.0]).with_weights(vec![0.1, 10.0, 0.1, 0.0]).expect("weights");
    let (constants, ..) = fit("2.0*x0", &data, 1);
    assert!((constants[0] - (0.1 + 30.0 + 0.5) / 10.2).abs() < 1e-12, "{constants:?}");
    // A row that does not count may be no number.
    let x = Columns::from_rows(&[[1.0], [2.0], [f64::NAN]]);
    let data = instance(x, vec![2.0, 4.0, 1.0]).with_weights(vec![1.0, 2.0, 0.0]).expect("weights");
    let (constants, error, ..) = fit("1.0*x0", &data, 1);
    assert!(error < FOUND && (constants[0] - 2.0).abs() < 1e-12, "{constants:?} {error}");
}

#[test]
fn a_scaled_tree_has_the_offset_and_factor_of_least_squares() {
    let data = instance_of("4.0*sin(x0) + 7.0", 1.0, 1.0);
    let mut fitter = ConstantFitter::new();
    let scaled = fitter.scale(&parse("sin(x0)"), &data, Semantics::Ieee);
    assert!(scaled.error < FOUND && scaled.start > 1.0, "{scaled:?}");
    assert_eq!(scaled.tree.skeleton(), "((sin(x0) * C) + C)");
    let scaled = fitter.scale(&parse("2.0*sin(x0)"), &data, Semantics::Ieee);
    assert!(scaled.error < FOUND && scaled.tree.skeleton() == "((C * sin(x0)) + C)", "{scaled:?}");
    // One that is not improved, and one that is not finite.
    for text in ["4.0*sin(x0) + 7.0", "log(0.0 - x0)"] {
        let scaled = fitter.scale(&parse(text), &data, Semantics::Ieee);
        assert_eq!((scaled.tree, scaled.error.to_bits()), (&*parse(text), scaled.start.to_bits()));
    }
    let data = instance_of("4.0*sin(1.25*x0) + 7.0", 1.0, 1.0);
    let fitted = fitter.fit_scaled(&parse("sin(1.0*x0)"), &data, Semantics::Ieee, 10);
    assert!(fitted.error < FOUND && fitted.start > 1.0, "{fitted:?}");
}

#[test]
fn the_function_is_the_fitter() {
    let data = instance_of("3.0*sin(1.5*x0)", 1.0, 1.0);
    let (found, error) = fit_constants(&parse("1.0*sin(1.4*x0)"), &data, Semantics::Ieee, 10);
    assert!(error < FOUND && data.fit(&found, Semantics::Ieee).is_solved, "{found} {error}");
}

#[test]
fn a_warm_fitter_does_not_allocate() {
    let plain = instance_of("3.0*sin(1.5*x0) + 0.5*x1", 1.0, 1.0);
    let extreme = instance_of("3.0*sin(1.5*x0) + 0.5*x1", 1.0, 1e-200);
    let weights = (1..=50).map(f64::from).collect();
    let weighted = plain.clone().with_weights(weights).expect("weights");
    let trees = ["1.0*sin(1.4*x0) + x1", "x0*x1", "sqrt(x0*2.0)/(1.0 + 3.0*exp(0.5*x1))"].map(parse);
    let mut fitter = ConstantFitter::new();
    let mut pass = || {
        let before = sr_testing::allocations();
        for data in [&plain, &weighted, &extreme] {
            for tree in &trees {
                let key = Key::new(1, Purpose::Constants, 0);
                assert!(fitter.fit(tree, data, Semantics::Ieee, 5).start > 0.0);
                assert!(fitter.fit_restarts(tree, data, Semantics::Ieee, 5, 3, key).start > 0.0);
                assert!(fitter.scale(tree, data, Semantics::Ieee).start > 0.0);
                assert!(fitter.fit_scaled(tree, data, Semantics::Ieee, 5).start > 0.0);
            }
        }
        sr_testing::allocations() - before
    };
    assert_ne!(pass(), 0, "the counter works");
    assert_eq!(pass(), 0);
}

fn any_instance() -> impl Strategy<Value = Instance> {
    let numbers = || prop::collection::vec(-10.0..10.0f64, 30);
    (columns(3, 30), numbers(), prop::option::of(numbers()), -250..250i32).prop_map(|(x, y, weights, exponent)| {
        let n = x.n_rows();
        let unit = if exponent % 3 == 0 { 10.0_f64.powi(exponent) } else { 1.0 };
        let data = instance(x, y[..n].iter().map(|y| y * unit).collect());
        let weights = weights.map(|weights| weights[..n].iter().map(|weight| weight.max(0.0)).collect());
        let weighted = weights.and_then(|weights: Vec<f64>| data.clone().with_weights(weights).ok());
        weighted.unwrap_or(data)
    })
}

fn any_semantics() -> impl Strategy<Value = Semantics> {
    prop::sample::select(vec![Semantics::Ieee, Semantics::Protected])
}

proptest! {
    #[test]
    fn no_fit_is_worse_than_its_start(
        tree in expr(3, 40), data in any_instance(), semantics in any_semantics(), steps in 0..12u32,
    ) {
        let mut fitter = ConstantFitter::new();
        let fitted = fitter.fit(&tree, &data, semantics, steps);
        assert_is_honest(&fitted, &tree, &data, semantics);
        let (of_fit, key) = (fitted.error, Key::new(1, Purpose::Constants, 0));
        let fitted = fitter.fit_restarts(&tree, &data, semantics, steps, 2, key);
        assert_is_honest(&fitted, &tree, &data, semantics);
        prop_assert!(fitted.error <= of_fit);
        let scaled = fitter.scale(&tree, &data, semantics);
        prop_assert!(scaled.error <= scaled.start);
        let of_scaled = scaled.error;
        let fitted = fitter.fit_scaled(&tree, &data, semantics, steps);
        prop_assert!(fitted.error <= of_scaled && fitted.start.to_bits() == scaled_start(&tree, &data, semantics));
    }

    #[test]
    fn all_levels_and_all_calls_give_the_same_bits(
        trees in prop::collection::vec(expr(3, 40), 1..4), data in any_instance(), semantics in any_semantics(),
    ) {
        let bits = |fit: &Fitted<'_>| (fit.tree.to_owned(), fit.error.to_bits(), fit.work, fit.identified);
        let key = Key::new(1, Purpose::Constants, 0);
        let all = |fitter: &mut ConstantFitter, tree: &Tree| [
            bits(&fitter.fit(tree, &data, semantics, 4)),
            bits(&fitter.fit_restarts(tree, &data, semantics, 4, 2, key)),
            bits(&fitter.fit_scaled(tree, &data, semantics, 4)),
        ];
        let mut used = ConstantFitter::new();
        for tree in &trees {
            let expected = all(&mut ConstantFitter::new(), tree);
            prop_assert_eq!(&all(&mut used, tree), &expected);
            for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
                prop_assert_eq!(&all(&mut ConstantFitter::with_level(level), tree), &expected);
            }
        }
    }
}

fn scaled_start(tree: &Tree, data: &Instance, semantics: Semantics) -> u64 {
    ConstantFitter::new().scale(tree, data, semantics).start.to_bits()
}
