//! Operators over vectors: `f64` has the bits of the scalar definition, `f32` keeps its stated error, on every level.

use sr_expr::map::{error_in_ulp, map, max_ulp};
use sr_expr::{Columns, Expr, Level, Loss, Machine, Op, Semantics};

/// Functions that are approximated in `f32`; the other operators round once or, the powers, as often as they multiply.
const FUNCTIONS: [Op; 9] = [Op::Exp, Op::Log, Op::Sin, Op::Cos, Op::Tan, Op::Tanh, Op::Asin, Op::Acos, Op::Atan];
const SEMANTICS: [Semantics; 2] = [Semantics::Ieee, Semantics::Protected];

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

/// A stream of 64-bit patterns by counter (SplitMix64, Steele, Lea & Flood, 2014).
fn bits(seed: u64, index: u64) -> u64 {
    let mut z = (seed << 40).wrapping_add(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns a number in `[0, 1)`.
fn uniform(seed: u64, index: u64) -> f64 {
    (bits(seed, index) >> 11) as f64 / (1_u64 << 53) as f64
}

fn specials() -> Vec<f64> {
    let mut all = vec![0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 10.0, 1e-6, 1e-10, 1e-12, 14.0, 1e6, 1e10, 1e300, 1e-300];
    all.extend([f64::INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE, 5e-324, 4e-310, f64::EPSILON]);
    all.extend([f64::from(f32::MAX), f64::from(f32::MIN_POSITIVE), 1e-45, 9_007_199_254_740_993.0, 16_777_217.0]);
    all.iter().flat_map(|&x| [x, -x]).collect()
}

/// Returns the points at which the functions change branches, and their neighbours.
fn corners() -> Vec<f64> {
    let high_words = [
        0x0010_0000_u64,
        0x3c60_0000,
        0x3c90_0000,
        0x3e30_0000,
        0x3e40_0000,
        0x3e46_a09e,
        0x3e50_0000,
        0x3fd0_58ae,
        0x3fd6_2e42,
        0x3fdc_0000,
        0x3fe0_0000,
        0x3fe1_93ea,
        0x3fe5_9428,
        0x3fe6_0000,
        0x3fe6_a09e,
        0x3fe9_21fb,
        0x3fef_3333,
        0x3ff0_0000,
        0x3ff0_a2b2,
        0x3ff3_0000,
        0x3ff9_21fb,
        0x4002_d97c,
        0x4003_8000,
        0x4009_21fb,
        0x400f_6a7a,
        0x4012_d97c,
        0x4015_fdbc,
        0x4019_21fb,
        0x401c_463b,
        0x4034_0000,
        0x4043_687a,
        0x4086_232b,
        0x4086_2e42,
        0x4087_4910,
        0x4139_21fb,
        0x4410_0000,
        0x7ff0_0000,
    ];
    let mut all = Vec::new();
    for word in high_words {
        for shift in [-1_i64, 0, 1] {
            let start = ((word as i64 + shift) << 32) as u64;
            all.extend((0..40).map(|i| start.wrapping_add(i).wrapping_sub(20)));
            all.extend((0..300).map(|i| start | bits(word, i) >> 32));
        }
    }
    let mut points = vec![1.0, 709.782_712_893_384, -745.133_219_101_941_1, -708.396_418_532_264_1, 20.0, 22.0, 14.0];
    // The exponents at which `exp` and `tanh` round to another power of two.
    points.extend((-1076..=1025).map(|k| (f64::from(k) + 0.5) * std::f64::consts::LN_2));
    // Multiples of pi/4, with fewer of the great ones.
    points.extend((1..4000).map(|k| f64::from(k) * std::f64::consts::FRAC_PI_4));
    points.extend((0..4000).map(|i| (bits(77, i) >> (23 + i % 40)) as f64 * std::f64::consts::FRAC_PI_4));
    for point in points {
        all.extend((0..9).map(|i| point.to_bits().wrapping_add(i).wrapping_sub(4)));
        all.extend((0..4).map(|i| (point + point * (uniform(78, i) - 0.5) * 1e-7).to_bits()));
    }
    all.into_iter().map(f64::from_bits).flat_map(|x| [x, -x]).collect()
}

/// Numbers of every kind: `n` of any bits, `n` of the sizes met in formulas.
fn numbers(seed: u64, n: u64) -> Vec<f64> {
    let mut all: Vec<f64> = (0..n).map(|i| f64::from_bits(bits(seed, i))).collect();
    for (k, range) in [(1, 20.0), (2, 1e-3), (3, 3.2), (4, 1.0), (5, 750.0), (6, 1e5), (7, 3e6), (8, 1e12)] {
        all.extend((0..n / 8).map(|i| range * (2.0 * uniform(seed + k, i) - 1.0)));
    }
    all.extend((0..n / 8).map(|i| 1.0 + 0.3 * (uniform(seed + 9, i) - 0.5) * uniform(seed + 10, i).powi(9)));
    // Subnormal ones, of any length.
    all.extend((0..n / 16).map(|i| f64::from_bits(bits(seed + 11, i) >> (12 + i % 52))));
    all
}

/// Every pair of special numbers, powers as people write them, and pairs of anything.
fn pairs() -> (Vec<f64>, Vec<f64>) {
    let (mut a, mut b) = (numbers(20, 1 << 17), numbers(40, 1 << 17));
    let specials = specials();
    for &x in &specials {
        for &y in &specials {
            a.push(x);
            b.push(y);
        }
    }
    // Where results overflow and underflow.
    for base in [2.0_f64, 4.0, 0.5, 3.0, 1.5, 1.0 + f64::EPSILON, 1.0 - f64::EPSILON] {
        for limit in [1024.0_f64, -1022.0, -1074.0, -1075.0] {
            for i in 0..9 {
                a.push(base);
                b.push(f64::from_bits((limit / base.log2()).to_bits() + i - 4));
            }
        }
    }
    for i in 0..1 << 17 {
        // Results of every size: any base, and the exponent that takes it there; then bases near 1.
        let base = f64::from_bits(bits(64, i) >> 1);
        a.push(base);
        b.push(2200.0 * (uniform(65, i) - 0.5) / base.log2());
        let base = 1.0 + (uniform(66, i) - 0.5) * 2.0_f64.powi(-(bits(67, i) as i32 & 31));
        a.push(base);
        b.push(2200.0 * (uniform(68, i) - 0.5) / base.log2());
    }
    for i in 0..20_000 {
        a.push(8.0 * (uniform(60, i) - 0.5));
        b.push((bits(61, i) % 21) as f64 / 2.0 - 5.0);
        a.push(f64::from_bits(bits(62, i)).abs());
        b.push(4.0 * (uniform(63, i) - 0.5));
    }
    (a, b)
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[test]
fn f64_has_the_bits_of_the_scalar_operators() {
    let mut unary = numbers(1, 1 << 18);
    unary.extend(specials());
    unary.extend(corners());
    let (left, right) = pairs();
    for &op in Op::ALL {
        let (a, b) = if op.arity() == 2 { (&left, &right[..]) } else { (&unary, &[][..]) };
        for semantics in SEMANTICS {
            let expected: Vec<f64> =
                (0..a.len()).map(|i| op.apply(semantics, a[i], b.get(i).copied().unwrap_or(f64::NAN))).collect();
            let mut out = vec![0.0; a.len()];
            for level in levels() {
                map(level, op, semantics, a, b, &mut out);
                if let Some(i) = (0..a.len()).find(|&i| !same(out[i], expected[i])) {
                    let (x, y) = (a[i], b.get(i));
                    panic!("{op} {semantics:?} {level:?} of {x:e} {y:?}: {:e}, not {:e}", out[i], expected[i]);
                }
            }
        }
    }
}

#[test]
fn f32_functions_keep_their_stated_error() {
    let mut x: Vec<f32> = (0..=u32::MAX).step_by(4099).map(f32::from_bits).collect();
    x.extend(specials().iter().map(|&x| x as f32));
    x.extend(corners().iter().map(|&x| x as f32));
    let mut out = vec![0.0; x.len()];
    for op in FUNCTIONS {
        for level in levels() {
            for semantics in SEMANTICS {
                map(level, op, semantics, &x, &[], &mut out);
                for (&x, &got) in x.iter().zip(&out) {
                    let exact = protected_function(op, semantics, x);
                    let error = error_in_ulp(got, exact);
                    let kept = error.is_some_and(|error| error <= max_ulp(op));
                    assert!(kept, "{op} {semantics:?} {level:?} of {x:e}: {got:e}, not {exact:e}: {error:?} ULP");
                }
            }
        }
    }
}

/// The function of the argument that the operator clips in `f32`.
fn protected_function(op: Op, semantics: Semantics, x: f32) -> f64 {
    let plain = |x: f32| op.apply(Semantics::Ieee, f64::from(x), 0.0);
    match (op, semantics) {
        (Op::Exp, Semantics::Protected) => plain(x.clamp(-14.0, 14.0)),
        (Op::Log, Semantics::Protected) => plain(if x.abs() < 1e-12 { 1e-12 } else { x.abs() }),
        (Op::Tan, Semantics::Protected) => plain(x).clamp(-1e6, 1e6),
        _ => plain(x),
    }
}

#[test]
fn f32_pow_keeps_its_stated_error() {
    let (a, b) = pairs();
    let (mut a, mut b): (Vec<f32>, Vec<f32>) = a.iter().zip(&b).map(|(&a, &b)| (a as f32, b as f32)).unzip();
    for i in 0..1 << 18 {
        // Results of every size: any base, and the exponent that takes it there.
        let base = f32::from_bits((bits(70, i) >> 33) as u32);
        a.push(base);
        b.push((300.0 * (uniform(71, i) - 0.5) / f64::from(base).log2()) as f32);
        // Bases near 1, where the logarithm has to be exact in proportion.
        let base = 1.0 + (uniform(72, i) - 0.5) as f32 * 2.0_f32.powi(-(bits(73, i) as i32 & 15));
        a.push(base);
        b.push((300.0 * (uniform(74, i) - 0.5) / f64::from(base).log2()) as f32);
    }
    let mut out = vec![0.0; a.len()];
    for level in levels() {
        map(level, Op::Pow, Semantics::Ieee, &a, &b, &mut out);
        for i in 0..a.len() {
            let exact = libm::pow(a[i].into(), b[i].into());
            let error = error_in_ulp(out[i], exact);
            let kept = error.is_some_and(|error| error <= max_ulp(Op::Pow));
            assert!(kept, "{level:?} {:e}^{:e}: {:e}, not {exact:e}: {error:?} ULP", a[i], b[i], out[i]);
        }
    }
}

#[test]
fn f32_arithmetic_is_that_of_the_language() {
    let (a, b) = pairs();
    let (a, b): (Vec<f32>, Vec<f32>) = a.iter().zip(&b).map(|(&a, &b)| (a as f32, b as f32)).unzip();
    let mut out = vec![0.0; a.len()];
    for &op in Op::ALL.iter().filter(|&op| !FUNCTIONS.contains(op) && *op != Op::Pow) {
        for semantics in SEMANTICS {
            for level in levels() {
                map(level, op, semantics, &a, &b, &mut out);
                for ((&a, &b), &got) in a.iter().zip(&b).zip(&out) {
                    let expected = arithmetic(op, semantics, a, b);
                    let same = got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan());
                    assert!(same, "{op} {semantics:?} {level:?} of {a:e}, {b:e}: {got:e}, not {expected:e}");
                }
            }
        }
    }
}

fn arithmetic(op: Op, semantics: Semantics, a: f32, b: f32) -> f32 {
    let protected = semantics == Semantics::Protected;
    match op {
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        Op::Div if protected && b.abs() < 1e-10 => a / 1e-10,
        Op::Div => a / b,
        Op::Neg => -a,
        Op::Abs => a.abs(),
        Op::Sqrt if protected => a.abs().sqrt(),
        Op::Sqrt => a.sqrt(),
        Op::Inv if protected && a.abs() < 1e-6 => 1e6,
        Op::Inv => 1.0 / a,
        Op::Pow2 => a * a,
        Op::Pow3 => a * a * a,
        _ => unreachable!("{op} is approximated"),
    }
}

#[test]
fn any_length_gives_what_one_lane_gives() {
    let x: Vec<f64> = (0..67).map(|i| 0.1 + f64::from(i) * 0.37).collect();
    for level in levels() {
        for n in 0..x.len() {
            let (a, b) = (&x[..n], &x[x.len() - n..]);
            for op in [Op::Sin, Op::Div] {
                let mut out = vec![f64::NAN; n];
                map(level, op, Semantics::Ieee, a, b, &mut out);
                assert!((0..n).all(|i| out[i] == op.apply(Semantics::Ieee, a[i], b[i])), "{op} {level:?} {n}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "second operand")]
fn a_binary_operator_needs_its_second_operand() {
    map(Level::Portable, Op::Add, Semantics::Ieee, &[1.0], &[], &mut [0.0]);
}

#[test]
#[should_panic(expected = "first operand")]
fn results_are_as_many_as_arguments() {
    map(Level::Portable, Op::Exp, Semantics::Ieee, &[1.0, 2.0], &[], &mut [0.0]);
}

#[test]
fn errors_are_counted_in_units_of_the_exact_value() {
    assert_eq!(error_in_ulp(1.0, 1.0 + f64::from(f32::EPSILON)), Some(1.0));
    assert_eq!(error_in_ulp(1.0, 1.0 - f64::from(f32::EPSILON)), Some(2.0));
    assert_eq!(error_in_ulp(0.0, 0.75 * 2.0_f64.powi(-149)), Some(0.75));
    assert_eq!(error_in_ulp(f32::INFINITY, 1e300), Some(0.0));
    assert_eq!(error_in_ulp(f32::MAX, 1e300), Some(1.0));
    assert_eq!(error_in_ulp(f32::INFINITY, f64::INFINITY), Some(0.0));
    assert_eq!(error_in_ulp(f32::NAN, f64::NAN), Some(0.0));
    for (got, exact) in [(f32::NAN, 1.0), (1.0, f64::NAN), (f32::MAX, f64::INFINITY), (0.0, -0.0), (-0.0, 1e-60)] {
        assert_eq!(error_in_ulp(got, exact), None, "{got} for {exact}");
    }
}

/// `op` of `a` and `b` in every lane and in the rest behind whole vectors, at every level, checked by `check`.
fn everywhere<T: sr_expr::Real + Copy>(op: Op, semantics: Semantics, a: T, b: T, check: impl Fn(Level, T)) {
    let (a, b, mut out) = (vec![a; 35], vec![b; 35], vec![T::ZERO; 35]);
    for level in levels() {
        out.fill(T::ZERO);
        map(level, op, semantics, &a, if op.arity() == 2 { &b } else { &[] }, &mut out);
        out.iter().for_each(|&got| check(level, got));
    }
}

/// Whether `got` is the value, or where that has to be rounded one of its neighbours: that is what `libm` states.
fn is_rounded(got: f64, value: f64) -> bool {
    let is_exact = value == 0.0 || !value.is_finite() || value.abs() < 1e-320;
    same(got, value) || !is_exact && got.to_bits().abs_diff(value.to_bits()) <= 1
}

/// Values that vector libraries have got wrong: signs of zero, numbers below the normal ones, large arguments. Those
/// of other sizes are the C library's.
#[test]
fn f64_has_known_values_where_vector_functions_go_wrong() {
    let known = [
        (Op::Tanh, -0.0, -0.0),
        (Op::Tanh, -5e-324, -5e-324),
        (Op::Sin, -0.0, -0.0),
        (Op::Tan, 5e-324, 5e-324),
        (Op::Asin, -5e-324, -5e-324),
        (Op::Atan, 5e-324, 5e-324),
        (Op::Sqrt, -0.0, -0.0),
        (Op::Sqrt, 5e-324, 2.2227587494850775e-162),
        (Op::Exp, f64::NAN, f64::NAN),
        (Op::Exp, f64::NEG_INFINITY, 0.0),
        (Op::Exp, -708.745, 1.570208859696427e-308),
        (Op::Exp, -745.0, 5e-324),
        (Op::Exp, -745.1332191019412, 0.0),
        (Op::Exp, 5e-324, 1.0),
        (Op::Exp, 710.0, f64::INFINITY),
        (Op::Log, 0.0, f64::NEG_INFINITY),
        (Op::Log, -0.0, f64::NEG_INFINITY),
        (Op::Log, f64::NEG_INFINITY, f64::NAN),
        (Op::Log, f64::INFINITY, f64::INFINITY),
        (Op::Log, 5e-324, -744.4400719213812),
        (Op::Sin, 355.0, -3.014435335948845e-5),
        (Op::Sin, 1e15, 0.8582727931702359),
        (Op::Cos, 1e15, -0.5131937377869703),
        (Op::Sin, 1e22, -0.8522008497671888),
        (Op::Cos, 1e22, 0.523214785395139),
        (Op::Tan, 1e22, -1.6287782256068988),
        (Op::Sin, f64::INFINITY, f64::NAN),
        (Op::Cos, f64::NEG_INFINITY, f64::NAN),
        (Op::Tan, f64::INFINITY, f64::NAN),
        (Op::Inv, 5e-324, f64::INFINITY),
        (Op::Inv, -0.0, f64::NEG_INFINITY),
    ];
    for (op, x, expected) in known {
        everywhere(op, Semantics::Ieee, x, x, |level, got| {
            assert!(is_rounded(got, expected), "{op} {} of {x:e}: {got:e}, not {expected:e}", level.name());
        });
    }
    let powers = [
        (5.562684646268003e-309, -0.8056640625, 2.2374143686308563e248),
        (2.0, -1074.0, 5e-324),
        (2.0, -1075.0, 0.0),
        (-2.0, -1074.0, 5e-324),
        (-0.0, -1.0, f64::NEG_INFINITY),
        (-0.0, 3.0, -0.0),
        (-8.0, 1.0 / 3.0, f64::NAN),
        (-8.0, 3.0, -512.0),
        (f64::NAN, 0.0, 1.0),
        (f64::NEG_INFINITY, -3.0, -0.0),
        (5e-324, 0.5, 2.2227587494850775e-162),
    ];
    for (x, y, expected) in powers {
        everywhere(Op::Pow, Semantics::Ieee, x, y, |level, got| {
            assert!(is_rounded(got, expected), "{x:e} ** {y:e} {}: {got:e}, not {expected:e}", level.name());
        });
    }
}

/// Checks the defined values of the protected operators, including lost signs.
#[test]
fn protected_operators_have_their_defined_values() {
    let known = [
        (Op::Div, 1.0, 0.0, 1e10),
        (Op::Div, 1.0, -1e-11, 1e10),
        (Op::Log, -2.0, f64::NAN, std::f64::consts::LN_2),
        (Op::Log, 0.0, f64::NAN, -27.631021115928547),
        (Op::Sqrt, -4.0, f64::NAN, 2.0),
        (Op::Exp, 20.0, f64::NAN, 1202604.2841647768),
        (Op::Inv, -1e-7, f64::NAN, 1e6),
        (Op::Tan, std::f64::consts::FRAC_PI_2, f64::NAN, 1e6),
    ];
    for (op, x, y, expected) in known {
        everywhere(op, Semantics::Protected, x, y, |level, got| {
            assert!((got - expected).abs() <= 4e-16 * expected.abs(), "{op} {} of {x:e} {y:e}: {got:e}", level.name());
        });
    }
}

#[test]
fn f32_has_known_values_where_vector_functions_go_wrong() {
    let tiny = f32::from_bits(1);
    let known = [
        (Op::Tanh, -0.0, -0.0),
        (Op::Tanh, -tiny, -tiny),
        (Op::Sin, tiny, tiny),
        (Op::Atan, -tiny, -tiny),
        (Op::Exp, f32::NAN, f32::NAN),
        (Op::Exp, f32::NEG_INFINITY, 0.0),
        (Op::Log, 0.0, f32::NEG_INFINITY),
        (Op::Log, -0.0, f32::NEG_INFINITY),
        (Op::Log, f32::NEG_INFINITY, f32::NAN),
        (Op::Log, tiny, -103.278_93),
        (Op::Sin, 1e6, -0.349_993_5),
        (Op::Cos, f32::INFINITY, f32::NAN),
    ];
    for (op, x, expected) in known {
        everywhere(op, Semantics::Ieee, x, x, |level, got| {
            let error = error_in_ulp(got, f64::from(expected));
            assert!(error.is_some_and(|error| error <= 1.0), "{op} {} of {x:e}: {got:e}", level.name());
        });
    }
}

/// Infinities on the way to a trigonometric function are NaN, and a loss leaves that row out.
#[test]
fn functions_of_infinity_are_nan_and_no_panic() {
    let data = Columns::from_fn(40, 1, |row, _| if row % 2 == 0 { 0.0 } else { 10.0 });
    let rows = [
        ("cos(1/x0)", [f64::NAN, (0.1_f64).cos()]),
        ("sin(exp(exp(x0)))", [std::f64::consts::E.sin(), f64::NAN]),
        ("tan(x0/0)", [f64::NAN, f64::NAN]),
        ("exp(exp(x0)) - exp(exp(x0))", [0.0, f64::NAN]),
    ];
    for (text, expected) in rows {
        let expr: Expr = text.parse().expect(text);
        for level in levels() {
            let mut machine = Machine::with_level(level);
            let mut found = Vec::new();
            machine.predict(&expr, &data, Semantics::Ieee, &mut found);
            for (row, &found) in found.iter().enumerate() {
                let expected: f64 = expected[row % 2];
                let is_right = (found - expected).abs() < 1e-15 || found.is_nan() && expected.is_nan();
                assert!(is_right, "{text} {} row {row}: {found}", level.name());
            }
            let y = vec![0.0; 40];
            let loss = Loss::Squares { y: &y, limit: f64::INFINITY };
            let sums = machine.sum(&expr, &data, Semantics::Ieee, loss);
            let valid = expected.iter().filter(|value| value.is_finite()).count() * 20;
            assert!(sums.count == valid && sums.squares().is_finite(), "{text} {}: {}", level.name(), sums.count);
        }
    }
}
