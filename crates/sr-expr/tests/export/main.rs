//! Exported texts, read and evaluated by the systems that they are for.
//!
//! What needs Python, rustc or a C compiler is skipped with a line that says so where there is none; in CI that is a
//! failure (`sr_testing::skipped`).

mod deep;
mod groups;
mod names;
mod reader;
mod systems;
mod values;

use sr_expr::{Expr, Semantics, Target};

fn export(text: &str, target: Target, semantics: Semantics) -> String {
    let expr: Expr = text.parse().expect(text);
    expr.export(target, semantics).to_string()
}

/// The last line of what is exported: the expression of LaTeX and SymPy.
fn line(text: &str, target: Target, semantics: Semantics) -> String {
    export(text, target, semantics).lines().last().expect("a line").to_owned()
}

#[test]
fn latex_has_the_fewest_parentheses_that_keep_the_meaning() {
    for (text, latex) in [
        ("x0-(x1-x2)", r"x_{0} - \left(x_{1} - x_{2}\right)"),
        ("x0+(x1+x2)", r"x_{0} + x_{1} + x_{2}"),
        ("x0-x1-x2", r"x_{0} - x_{1} - x_{2}"),
        ("x0/(x1/x2)", r"\frac{x_{0}}{\frac{x_{1}}{x_{2}}}"),
        ("x0^(x1^x2)", r"x_{0}^{x_{1}^{x_{2}}}"),
        ("(x0^x1)^x2", r"\left(x_{0}^{x_{1}}\right)^{x_{2}}"),
        ("-x0^2", r"-x_{0}^{2}"),
        ("(-x0)^2", r"\left(-x_{0}\right)^{2}"),
        ("(-1.0)^x0", r"\left(-1\right)^{x_{0}}"),
        ("2^-x0", r"2^{-x_{0}}"),
        ("x0*(-2)", r"x_{0} \cdot \left(-2\right)"),
        ("x0 + -2*x1", r"x_{0} - 2 \cdot x_{1}"),
        ("x0 - -2.5/x1", r"x_{0} + \frac{2.5}{x_{1}}"),
        ("-1/x0", r"-\frac{1}{x_{0}}"),
        ("neg(neg(x0))", r"x_{0}"),
        ("neg(x0 + x1)*x2", r"-\left(x_{0} + x_{1}\right) \cdot x_{2}"),
        ("(x0 + x1)*(x0 - x1)", r"\left(x_{0} + x_{1}\right) \cdot \left(x_{0} - x_{1}\right)"),
        ("sin(x0)^2", r"\left(\sin\left(x_{0}\right)\right)^{2}"),
        ("x0*x0*x0 + pow2(x1)", r"x_{0}^{3} + x_{1}^{2}"),
        ("(x0 + 1)*(x0 + 1)", r"\left(x_{0} + 1\right)^{2}"),
        ("abs(x0)^0.5", r"\left|x_{0}\right|^{0.5}"),
        ("sqrt(x0/x1)", r"\sqrt{\frac{x_{0}}{x_{1}}}"),
        ("exp(neg(x0))", r"\exp\left(-x_{0}\right)"),
        // JuMP.jl#2293
        ("x0^4.0", r"x_{0}^{4}"),
        ("x0^-0.5", r"x_{0}^{-0.5}"),
        ("x0^10", r"x_{0}^{10}"),
        ("x0^(x1+1)", r"x_{0}^{x_{1} + 1}"),
        ("1e-05*x0", r"10^{-5} \cdot x_{0}"),
        ("1.5e-05*x0", r"1.5 \times 10^{-5} \cdot x_{0}"),
        ("x0^(1e+16)", r"x_{0}^{10^{16}}"),
        ("x0/2.718281828459045", r"\frac{x_{0}}{2.718281828459045}"),
    ] {
        assert_eq!(line(text, Target::Latex, Semantics::Ieee), latex, "{text}");
    }
}

#[test]
fn mathml_is_that_of_latex_in_elements() {
    for (text, mathml) in [
        ("x0-(x1-x2)", "{0}<mo>−</mo><mrow><mo>(</mo>{1}<mo>−</mo>{2}<mo>)</mo></mrow>"),
        ("-x0^2", "<mo>−</mo><msup><mrow>{0}</mrow><mrow><mn>2</mn></mrow></msup>"),
        ("-1/x0", "<mo>−</mo><mfrac><mrow><mn>1</mn></mrow><mrow>{0}</mrow></mfrac>"),
        ("x0 + -2*x1", "{0}<mo>−</mo><mn>2</mn><mo>⋅</mo>{1}"),
        (
            "sin(x0)^-2",
            "<msup><mrow><mrow><mo>(</mo><mrow><mi>sin</mi><mo>&#8289;</mo><mrow><mo>(</mo>{0}<mo>)</mo></mrow></mrow>\
             <mo>)</mo></mrow></mrow><mrow><mo>−</mo><mn>2</mn></mrow></msup>",
        ),
        ("sqrt(abs(x0))", "<msqrt><mrow><mo>|</mo>{0}<mo>|</mo></mrow></msqrt>"),
        ("1.5e-07*x0", "<mn>1.5</mn><mo>×</mo><msup><mn>10</mn><mrow><mo>−</mo><mn>7</mn></mrow></msup><mo>⋅</mo>{0}"),
    ] {
        let variable = |text: String, number: usize| {
            text.replace(&format!("{{{number}}}"), &format!("<msub><mi>x</mi><mn>{number}</mn></msub>"))
        };
        let expected = (0..3).fold(format!("<math display=\"block\"><mrow>{mathml}</mrow></math>"), variable);
        assert_eq!(line(text, Target::MathMl, Semantics::Ieee), expected, "{text}");
    }
    assert!(
        export("x0/x1", Target::MathMl, Semantics::Protected)
            .starts_with("<!-- pdiv(a, b) = a / b, and a / 1e-10 where |b| is less than 1e-10 -->\n<math")
    );
}

#[test]
fn sympy_text_keeps_what_python_would_read_in_another_way() {
    for (text, sympy) in [
        ("x0-(x1-x2)", "x0 - (x1 - x2)"),
        ("x0/(x1/x2)", "x0/(x1/x2)"),
        ("x0/x1/x2", "x0/x1/x2"),
        ("x0/(x1*x2)", "x0/(x1*x2)"),
        ("x0^(x1^x2)", "x0**x1**x2"),
        ("(x0^x1)^x2", "(x0**x1)**x2"),
        ("-x0^2", "-x0**2"),
        ("(-x0)^2", "(-x0)**2"),
        ("(-1.0)^x0", "(-1)**x0"),
        ("2^-x0", "2**-x0"),
        ("x0*x0*x0", "x0**3"),
        ("(x0 + x1)*(x0 + x1)", "(x0 + x1)**2"),
        ("1/3*x0", "1/3*x0"),
        ("x0 + -1.5", "x0 - 1.5"),
        ("x0 - (-1.5)*x1", "x0 + 1.5*x1"),
        // SymPy computes powers of integers to the last digit.
        ("10^10^10*x0", "10.0**10.0**10.0*x0"),
        ("x0^100000", "x0**100000.0"),
        // srbench#112
        ("log(abs(-0.2)) + x0^2", "log(Abs(-0.2)) + x0**2"),
        ("atan(asin(inv(x0)))", "atan(asin(1/x0))"),
    ] {
        assert_eq!(line(text, Target::Sympy, Semantics::Ieee), sympy, "{text}");
    }
    for (text, sympy) in [
        ("x0/x1", "x0/Piecewise((1e-10, Abs(x1) < 1e-10), (x1, True))"),
        ("-x0/(x1+1)", "(-x0)/Lambda(d, Piecewise((1e-10, Abs(d) < 1e-10), (d, True)))(x1 + 1)"),
        ("sqrt(log(exp(x0)))", "sqrt(Abs(log(Max(Abs(exp(Max(-14, Min(14, x0)))), 1e-12))))"),
        ("tan(x0)", "Max(-1000000, Min(1000000, tan(x0)))"),
    ] {
        assert_eq!(line(text, Target::Sympy, Semantics::Protected), sympy, "{text}");
    }
}

#[test]
fn functions_are_whole_and_define_the_guarded_operators_that_they_use() {
    let text = "x0*x0 / (log(x1) + 1/3)";
    assert_eq!(
        export(text, Target::Numpy, Semantics::Protected),
        "\
import numpy as np


def _plog(a):
    return np.log(np.maximum(np.abs(a), 1e-12))


def _pdiv(a, b):
    return a / np.where(np.abs(b) < 1e-10, 1e-10, b)


def f(x0, x1):
    x0 = np.asarray(x0, dtype=float)
    x1 = np.asarray(x1, dtype=float)
    return _pdiv(x0 * x0, _plog(x1) + _pdiv(1.0, 3.0))
"
    );
    assert_eq!(
        export(text, Target::Rust, Semantics::Ieee),
        "\
pub fn f(x0: f64, x1: f64) -> f64 {
    x0 * x0 / (f64::ln(x1) + 1.0 / 3.0)
}
"
    );
    assert_eq!(
        export("pow3(x0 + 1) / exp(x2)", Target::Rust, Semantics::Protected),
        "\
#[allow(unused_variables)]
pub fn f(x0: f64, x1: f64, x2: f64) -> f64 {
    fn cube(a: f64) -> f64 { a * a * a }
    fn pexp(a: f64) -> f64 { a.clamp(-14.0, 14.0).exp() }
    fn pdiv(a: f64, b: f64) -> f64 { a / if b.abs() < 1e-10 { 1e-10 } else { b } }
    pdiv(cube(x0 + 1.0), pexp(x2))
}
"
    );
    assert_eq!(
        export("1/3*sqrt(x1)", Target::C, Semantics::Protected),
        "\
#include <math.h>

#ifndef SR_PDIV
#define SR_PDIV
static double sr_pdiv(double a, double b) { return a / (fabs(b) < 1e-10 ? 1e-10 : b); }
#endif

#ifndef SR_PSQRT
#define SR_PSQRT
static double sr_psqrt(double a) { return sqrt(fabs(a)); }
#endif

double f(double x0, double x1) {
    (void)x0;
    return sr_pdiv(1.0, 3.0) * sr_psqrt(x1);
}
"
    );
    assert_eq!(
        export("x0 / -1.5", Target::Latex, Semantics::Protected),
        "\
% \\operatorname{pdiv}\\left(a, b\\right) = \\begin{cases} \\frac{a}{10^{-10}} & \\left|b\\right| < 10^{-10} \\\\ \
\\frac{a}{b} & \\text{otherwise} \\end{cases}
\\operatorname{pdiv}\\left(x_{0}, -1.5\\right)
"
    );
    assert_eq!(
        export("sin(x0) / 1e-7", Target::Json, Semantics::Protected),
        "{\"format\": \"sr-expression\", \"version\": 1, \"semantics\": \"protected\", \"variables\": [\"x0\"], \
         \"expression\": {\"op\": \"pdiv\", \"args\": [{\"op\": \"sin\", \"args\": [{\"var\": \"x0\", \"index\": 0}]}, \
         {\"const\": 1e-07}]}}\n"
    );
}

#[test]
fn targets_are_read_by_name() {
    for target in Target::ALL {
        assert_eq!(target.name().parse(), Ok(target));
        assert_eq!(target.to_string(), target.name());
    }
    assert_eq!("python".parse::<Target>(), Err("expected one of latex, mathml, sympy, numpy, rust, c, json".into()));
}

#[test]
fn titles_are_comments_on_one_line() {
    let expr: Expr = "x0 + 1".parse().expect("a formula");
    for title in ["quartic, seed 1", "a\nb", "ends in \\", "??/", "\u{202e}\u{2028}", "*/ // \"\"\" %"] {
        for target in Target::ALL {
            let plain = expr.export(target, Semantics::Ieee).to_string();
            let titled = expr.export(target, Semantics::Ieee).with_title(title).to_string();
            match target {
                Target::Json => {
                    let value: serde_json::Value = serde_json::from_str(&titled).expect("JSON");
                    assert_eq!(value["title"], title);
                }
                Target::Sympy => {
                    let before = plain.trim_end();
                    assert!(titled.starts_with(&format!("{before}  # ")) && titled.lines().count() == 1, "{titled}");
                }
                _ => {
                    let (first, rest) = titled.split_once('\n').expect("two lines");
                    assert!(rest == plain && !first.ends_with(['\\', '/']), "{titled}");
                    assert!(!first.contains(char::is_control) && !first.contains('\u{202e}'), "{titled}");
                }
            }
        }
    }
}
