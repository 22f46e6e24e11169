//! Columns of any name, in all systems.

use std::collections::HashSet;

use proptest::prelude::*;
use sr_expr::{Expr, Node, Op, Semantics, Target, reference};

use crate::systems::{self, Work};

/// Names from reports on other systems, words that systems have a meaning for, and names that become the same.
const NAMES: &[&str] = &[
    // PySR#121, #558, #395; opengrid-dev#202; statsmodels#2862
    "N",
    "S",
    "I",
    "E",
    "O",
    "Q",
    "pi",
    "oo",
    "nan",
    "True",
    "beta",
    "gamma",
    "zeta",
    "lambda",
    "re",
    "im",
    "sign",
    "test",
    "Si",
    "Ei",
    "li",
    "ff",
    "rf",
    "rad",
    "var",
    "raise",
    "exec",
    "in",
    "as",
    "None",
    "print",
    "x₁",
    "θ",
    "ветер",
    "a+b",
    "a",
    "2x",
    "x0",
    "flow_rate_in",
    "T%",
    "a&b",
    "alpha",
    "primair+pv",
    // languages, and what the texts use
    "exp",
    "log",
    "sin",
    "sqrt",
    "pow",
    "Abs",
    "Max",
    "Piecewise",
    "Lambda",
    "d",
    "np",
    "numpy",
    "float",
    "def",
    "fn",
    "int",
    "double",
    "f64",
    "self",
    "Self",
    "crate",
    "union",
    "match",
    "type",
    "Some",
    "linux",
    "unix",
    "NAN",
    "fabs",
    "y0",
    "y1",
    "main",
    "f",
    "f0",
    "t1",
    "t2",
    "square",
    "cube",
    "pdiv",
    "_pdiv",
    "sr_pdiv",
    "plog",
    "e",
    "i",
    "j",
    "_",
    "__",
    "_T",
    // the same word
    "a_b",
    "a b",
    "a-b",
    "a_b_",
    "x",
    "x",
    "x_1",
    "x1",
    "x_{1}",
    "μ",
    "µ",
    "mu",
    "Größe",
    "Groesse",
    "é",
    "",
    " ",
    "+",
    "\n",
    "a\"b\\",
    "a`b",
    "#$%&",
    "{}~^\\",
    "\u{202e}abc",
    "日本",
    "x5",
    "x_5",
    "Δt",
    "m_e",
    "😀",
];

fn names() -> Vec<String> {
    NAMES.iter().map(|name| (*name).to_owned()).collect()
}

/// A sum in which each column has a factor of its own, and all functions occur.
fn expression(n_columns: usize) -> Expr {
    let mut sum = Expr::constant(0.5);
    for column in 0..n_columns {
        let factor = Expr::constant(1.0 + column as f64 / 7.0);
        sum = Expr::binary(Op::Add, &sum, &Expr::binary(Op::Mul, &factor, &Expr::var(column as u16)));
    }
    for (column, &op) in Op::ALL.iter().enumerate() {
        let (a, b) = (Expr::var(column as u16), Expr::var(column as u16 + 1));
        let term = if op.arity() == 1 { Expr::unary(op, &a) } else { Expr::binary(op, &a, &b) };
        sum = Expr::binary(Op::Add, &sum, &term);
    }
    // For the helpers of squares and cubes.
    let sum_of_two = Expr::binary(Op::Add, &Expr::var(0), &Expr::var(1));
    Expr::binary(Op::Add, &sum, &Expr::unary(Op::Pow3, &Expr::unary(Op::Pow2, &sum_of_two)))
}

fn row(n_columns: usize) -> Vec<f64> {
    (0..n_columns).map(|column| 0.25 + (column % 11) as f64 / 16.0).collect()
}

/// Checks that a function of all names has the right value.
fn check(target: Target, system: impl Fn(&std::path::Path, &Work<'_>) -> Option<Vec<Vec<f64>>>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (names, rows) = (names(), [row(NAMES.len())]);
    let expr = expression(names.len());
    let both = [Semantics::Ieee, Semantics::Protected];
    let text = |(index, semantics): (usize, &Semantics)| {
        expr.export(target, *semantics).with_names(&names).with_function(&format!("f_{index}")).to_string()
    };
    let texts = both.iter().enumerate().map(text).collect();
    let Some(values) = system(folder.path(), &Work { texts, rows: &rows }) else { return };
    for (semantics, values) in both.iter().zip(values) {
        let expected = reference::eval_row(&expr, &rows[0], *semantics);
        assert!((values[0] - expected).abs() <= 1e-12 * expected.abs(), "{target}: {} is not {expected}", values[0]);
    }
}

#[test]
fn columns_of_any_name_have_their_values_in_numpy() {
    check(Target::Numpy, systems::numpy);
}

#[test]
fn columns_of_any_name_have_their_values_in_rust() {
    check(Target::Rust, systems::rust);
}

#[test]
fn columns_of_any_name_have_their_values_in_c() {
    check(Target::C, systems::c);
}

#[test]
fn columns_of_any_name_have_their_values_in_sympy() {
    let names = names();
    let identifiers = Expr::var(0).export(Target::Sympy, Semantics::Ieee).with_names(&names).identifiers();
    check(Target::Sympy, |folder, work| systems::sympy(folder, work, &identifiers));
}

/// The list of words that SymPy has a meaning for is that of the version at hand, or a longer one.
#[test]
fn the_names_of_sympy_are_known() {
    let Some(python) = sr_testing::python(&["sympy"]) else { return };
    let script = "g = {}\nexec('from sympy import *', g)\nprint(*(n for n in g if not n.startswith('_')), sep='\\n')";
    let output = sr_testing::succeeds(std::process::Command::new(python).args(["-c", script]));
    let words = String::from_utf8(output.stdout).expect("text");
    let words: Vec<String> = words.lines().map(str::to_owned).collect();
    assert!(words.len() > 800);
    let identifiers = Expr::var(0).export(Target::Sympy, Semantics::Ieee).with_names(&words).identifiers();
    let same: Vec<&String> =
        words.iter().zip(&identifiers).filter(|(word, id)| word == id).map(|(word, _)| word).collect();
    assert!(same.is_empty(), "{same:?}");
}

/// PySR#121: with these locals the symbols have the names of the columns.
#[test]
fn symbols_of_sympy_can_have_the_names_of_columns() {
    let Some(python) = sr_testing::python(&["sympy"]) else { return };
    let names = ["N", "S", "I", "E"].map(String::from);
    let expr: Expr = "x0 + x1".parse().expect("a formula");
    let export = expr.export(Target::Sympy, Semantics::Ieee).with_names(&names);
    let text = export.to_string();
    assert_eq!(text, "N_ + S_  # N_: \"N\", S_: \"S\"\n");
    assert_eq!(export.identifiers(), ["N_", "S_", "I_", "E_"]);
    let script = format!(
        "from sympy import sympify, Symbol\n\
         own = {{'N_': Symbol('N'), 'S_': Symbol('S')}}\n\
         print(sorted(s.name for s in sympify('''{text}''', locals=own).free_symbols))"
    );
    let output = sr_testing::succeeds(std::process::Command::new(python).args(["-c", &script]));
    assert_eq!(String::from_utf8(output.stdout).expect("text").trim(), "['N', 'S']");
}

#[test]
fn functions_say_which_column_is_which() {
    let names = ["N", "flow rate", "2x", "x1", "ветер"].map(String::from);
    let expr: Expr = "x0 + x1 + x2 + x3 + x4".parse().expect("a formula");
    let comments = |target, sign: &str| {
        let text = expr.export(target, Semantics::Ieee).with_names(&names).to_string();
        let lines = text.lines().filter_map(|line| line.strip_prefix(sign)).map(str::to_owned);
        lines.collect::<Vec<String>>()
    };
    let changed = ["flow_rate: \"flow rate\"", "x_2x: \"2x\"", "x4: \"ветер\""];
    assert_eq!(comments(Target::Numpy, "# "), changed);
    assert_eq!(comments(Target::Rust, "// "), changed);
    assert_eq!(comments(Target::C, "// "), changed);
    assert_eq!(comments(Target::Latex, "% "), ["x_{1}: \"x1\""]);
}

#[test]
fn columns_that_look_like_numbers_of_mathematics_are_said_to_be_columns() {
    let names = ["e", "pi", "speed", "i"].map(String::from);
    let expr: Expr = "exp(x0) + x1*x2 + x3".parse().expect("a formula");
    let text = expr.export(Target::Latex, Semantics::Ieee).with_names(&names).to_string();
    assert!(text.starts_with("% e: \"e\"\n% \\pi: \"pi\"\n% i: \"i\"\n"), "{text}");
    let text = expr.export(Target::MathMl, Semantics::Ieee).with_names(&names).to_string();
    assert!(text.contains("<!-- <mi>e</mi>: \"e\" -->") && !text.contains("\"speed\""), "{text}");
}

#[test]
fn latex_has_symbols_for_letters_and_upright_words() {
    let shown = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Expr::var(0).export(Target::Latex, Semantics::Ieee).with_names(&names).identifiers()
    };
    assert_eq!(
        shown(&["flow_rate_in", "T%", "a&b", "alpha", "x₁", "θ", "ветер", "x", "m_e", "theta_12", "Omega", "Alpha"]),
        [
            r"\mathrm{flow\_rate\_in}",
            r"\mathrm{T\%}",
            r"\mathrm{a\&b}",
            r"\alpha",
            r"x_{1}",
            r"\theta",
            r"\mathrm{\text{ветер}}",
            "x",
            "m_{e}",
            r"\theta_{12}",
            r"\Omega",
            r"\mathrm{Alpha}",
        ]
    );
    assert_eq!(
        shown(&["#$", "{}", "~^\\", "a b", "a-b", "a'", "x0", "speed2"]),
        [
            r"\mathrm{\#\$}",
            r"\mathrm{\{\}}",
            r"\mathrm{{\sim}{\wedge}{\backslash}}",
            r"\mathrm{a\ b}",
            r"\mathrm{a{-}b}",
            r"\mathrm{a{\prime}}",
            "x_{0}",
            r"\mathrm{speed2}",
        ]
    );
    // Names that look alike are told apart, and nothing is invisible.
    assert_eq!(
        shown(&["x1", "x_1", "x₁", "x1", "theta", "θ", "", "x_{6}"]),
        [
            "x_{1}",
            r"\mathrm{x\_1}",
            r"\mathrm{x\text{₁}}",
            r"\mathrm{x1}",
            r"\theta",
            r"\mathrm{\text{θ}}",
            "x_{6}",
            r"\mathrm{x\_\{6\}}",
        ]
    );
    assert_eq!(Expr::var(1).export(Target::Latex, Semantics::Ieee).identifiers(), ["x_{0}", "x_{1}"]);
}

#[test]
fn mathml_has_symbols_for_letters_and_upright_words() {
    let names = ["x1", "θ", "theta_12", "m_e", "flow rate", "a<b & c", "x0", "x_1", ""].map(String::from);
    let expr: Expr = "x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8".parse().expect("a formula");
    let export = expr.export(Target::MathMl, Semantics::Ieee).with_names(&names);
    assert_eq!(
        export.identifiers(),
        [
            "<msub><mi>x</mi><mn>1</mn></msub>",
            "<mi>θ</mi>",
            "<msub><mi>θ</mi><mn>12</mn></msub>",
            "<msub><mi>m</mi><mi>e</mi></msub>",
            "<mtext>flow\u{a0}rate</mtext>",
            "<mtext>a&lt;b\u{a0}&amp;\u{a0}c</mtext>",
            "<msub><mi>x</mi><mn>0</mn></msub>",
            "<mtext>x_1</mtext>",
            "<msub><mi>x</mi><mn>8</mn></msub>",
        ]
    );
    let text = export.to_string();
    let comments: Vec<&str> = text.lines().filter(|line| line.starts_with("<!--")).collect();
    assert_eq!(
        comments,
        [
            "<!-- <msub><mi>x</mi><mn>1</mn></msub>: \"x1\" -->",
            "<!-- <msub><mi>θ</mi><mn>12</mn></msub>: \"theta_12\" -->",
            "<!-- <msub><mi>m</mi><mi>e</mi></msub>: \"m_e\" -->",
            "<!-- <msub><mi>x</mi><mn>0</mn></msub>: \"x0\" -->",
            "<!-- <msub><mi>x</mi><mn>8</mn></msub>: \"\" -->",
        ]
    );
}

/// Braces that are not escaped are in pairs, and no character is left that LaTeX has a use for.
fn is_sound(latex: &str) -> bool {
    let mut depth = 0;
    let mut chars = latex.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '{' => depth += 1,
            '}' => depth -= 1,
            '%' | '&' | '#' | '$' | '~' => return false,
            c if c.is_control() => return false,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

/// Names that are short, so that some are equal.
fn any_names() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(".{0,4}|[a-c_ θx0-1]{0,3}|in|N|exp|x[0-9]", 0..12)
}

proptest! {
    #[test]
    fn identifiers_are_distinct_words(names in any_names()) {
        for target in Target::ALL.into_iter().filter(|&target| target != Target::Json) {
            let expr = Expr::new(vec![Node::Var(3)]).expect("a variable");
            let identifiers = expr.export(target, Semantics::Ieee).with_names(&names).identifiers();
            prop_assert_eq!(identifiers.len(), names.len().max(4));
            prop_assert_eq!(identifiers.iter().collect::<HashSet<_>>().len(), identifiers.len(), "{:?}", identifiers);
            for identifier in &identifiers {
                match target {
                    Target::Latex => prop_assert!(is_sound(identifier), "{}", identifier),
                    Target::MathMl => prop_assert!(roxmltree::Document::parse(identifier).is_ok(), "{}", identifier),
                    _ => {
                        prop_assert!(identifier.starts_with(|c: char| c.is_ascii_alphabetic()), "{}", identifier);
                        prop_assert!(identifier.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
                    }
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn mathml_is_well_formed_whatever_names_and_title(names in any_names(), title in ".{0,6}|[-a]{0,6}") {
        let expr: Expr = "x0/x1 + -x2^-3.5 - exp(x3)".parse().expect("a formula");
        for semantics in [Semantics::Ieee, Semantics::Protected] {
            let text = expr.export(Target::MathMl, semantics).with_names(&names).with_title(&title).to_string();
            prop_assert!(roxmltree::Document::parse(&text).is_ok(), "{}", text);
        }
    }
}

#[test]
fn many_equal_names_take_linear_time() {
    let names = vec!["x y".to_owned(); 65_536];
    for target in Target::ALL {
        let identifiers = Expr::var(0).export(target, Semantics::Ieee).with_names(&names).identifiers();
        assert_eq!(identifiers.len(), names.len());
    }
}
