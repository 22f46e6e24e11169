//! Problems that are sampled from a list of formulas.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use sr_expr::{Formula, Node, Op, ParseError};

use crate::primitives::in_table_order;
use crate::problem::check_points;
use crate::{ARITH, Error, Problem, ProblemSet, Provenance, Sampler, SetParams};

/// The settings by which formulas become problems.
#[derive(Debug, Clone, PartialEq)]
pub struct FormulaOptions {
    /// The operators that searches may use. `None` means `+ - *` and all that occur in any of the formulas.
    pub operators: Option<Vec<Op>>,
    /// The constants that searches may use.
    pub constants: Vec<f64>,
    /// The number of points of each problem, at least 1. Default 100.
    pub points: u32,
    /// The range `[low, high]` in which every variable is uniform. Default −5 to 5.
    pub range: [f64; 2],
    /// The seed of the points.
    pub seed: u64,
    /// The names that formulas may use for `x0`, `x1`, …, such as the columns' names in what a search of a table
    /// prints. It is empty by default; `x0`, `x1`, … are read in any case.
    pub names: Vec<String>,
}

impl Default for FormulaOptions {
    fn default() -> Self {
        let names = Vec::new();
        FormulaOptions { operators: None, constants: vec![1.0], points: 100, range: [-5.0, 5.0], seed: 0, names }
    }
}

/// Makes a problem of each formula of a file. The file is text with one formula a line (`#` starts a comment line), or
/// `{"expressions": ["x0 + 1", …]}`. Formulas may have the usual infix, the E2E generator's (`x_0 mul x_1`), or guarded
/// operators as searches print them (`plog(x0)`), whose values are the guarded ones. A problem's id is the file's name
/// with a number, from 0: `formulas_000000`.
///
/// # Errors
/// Returns an error if the file cannot be read or has no formula, a formula cannot be parsed or has no finite value in
/// the range, or the options are out of their ranges.
pub fn from_formulas(path: &Path, options: &FormulaOptions) -> Result<ProblemSet, Error> {
    let &FormulaOptions { points, range, seed, ref constants, ref names, .. } = options;
    if points == 0 {
        return Err(Error::Setting { name: "points", value: 0.0, expected: "1 or more" });
    }
    let [low, high] = range;
    if !(low < high && (high - low).is_finite()) {
        return Err(Error::Range { low, high });
    }
    check_names(names)?;
    let formulas = read_formulas(path, names)?;
    let variables = formulas.iter().map(|formula| formula.expr.n_variables().max(1)).max().unwrap_or(1);
    check_points(points, variables, formulas.len())?;
    let operators = options.operators.clone().unwrap_or_else(|| {
        let node_op = |node: &Node| if let Node::Op(op) = node { Some(*op) } else { None };
        let used = formulas.iter().flat_map(|formula| formula.expr.nodes().iter().filter_map(node_op));
        ARITH.into_iter().chain(used).collect()
    });
    let operators = in_table_order(operators);
    let stem = stem(path)?;
    let problem = |(index, Formula { expr, semantics }): (usize, Formula)| {
        let source = (expr, semantics.unwrap_or_default());
        // A constant formula gets a variable too, which a search may find to be of no use.
        let sampler = Sampler::Uniform { ranges: vec![range; source.0.n_variables().max(1)] };
        let primitives = (operators.clone(), constants.clone());
        Problem::sampled(format!("{stem}_{index:06}"), source, sampler, points as usize, primitives, seed)
    };
    let problems = formulas.into_iter().enumerate().map(problem).collect::<Result<_, _>>()?;
    let origin = Provenance::Formulas { points, range };
    Ok(ProblemSet { params: SetParams { operators, constants: constants.clone(), seed, origin }, problems })
}

/// Reads names of variables, `height,width`, separated by commas. A name with a comma has to be in backticks, as
/// formulas print it; two backticks within stand for one of the name.
///
/// # Errors
/// Returns an error if a name is empty, does not end, or occurs twice.
pub fn parse_names(text: &str) -> Result<Vec<String>, Error> {
    let bad = |reason: String| Err(Error::Names { reason });
    let (mut names, mut rest) = (Vec::new(), text.trim_start());
    loop {
        let mut name = String::new();
        if let Some(mut quoted) = rest.strip_prefix('`') {
            loop {
                let Some((part, after)) = quoted.split_once('`') else {
                    return bad(format!("a name in backticks does not end in {text:?}"));
                };
                name.push_str(part);
                match after.strip_prefix('`') {
                    Some(after) => {
                        name.push('`');
                        quoted = after;
                    }
                    None => {
                        rest = after.trim_start();
                        break;
                    }
                }
            }
            if !rest.is_empty() && !rest.starts_with(',') {
                return bad(format!("expected a comma behind `{name}`, found {rest:?}"));
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            name.push_str(rest[..end].trim_end());
            rest = &rest[end..];
        }
        names.push(name);
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => break,
        }
    }
    check_names(&names)?;
    Ok(names)
}

fn check_names(names: &[String]) -> Result<(), Error> {
    for (index, name) in names.iter().enumerate() {
        let reason = match () {
            () if name.is_empty() => "one is empty".to_owned(),
            () if names[..index].contains(name) => format!("{name:?} stands there twice"),
            () => continue,
        };
        return Err(Error::Names { reason });
    }
    Ok(())
}

fn read_formulas(path: &Path, names: &[String]) -> Result<Vec<Formula>, Error> {
    #[derive(Deserialize)]
    struct Json {
        expressions: Vec<String>,
    }

    let bytes = fs::read(path).map_err(Error::io(path))?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() as u64;
        Error::Encoding { path: path.into(), line, byte: bytes[error.valid_up_to()] }
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let places: Vec<(String, String)> = if text.trim_start().starts_with('{') {
        let json: Json = serde_json::from_str(text).map_err(|source| Error::Json { path: path.into(), source })?;
        (1..).zip(json.expressions).map(|(n, formula)| (format!("expression {n}"), formula)).collect()
    } else {
        let lines = (1..).zip(text.lines().map(str::trim));
        let formulas = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        formulas.map(|(n, line): (usize, _)| (format!("line {n}"), line.into())).collect()
    };
    if places.is_empty() {
        return Err(Error::NoFormulas { path: path.into() });
    }
    let parse = |(place, formula): (String, String)| {
        let is_finite = |read: Formula| {
            let infinite = read.expr.constants().find(|constant| !constant.is_finite());
            infinite.map_or(Ok(read), |value| {
                let message = format!("{value} is no constant of a formula");
                let position = formula.find("inf").or(formula.find("nan")).unwrap_or(0);
                Err(ParseError { message, position, text: formula.clone() })
            })
        };
        let read = Formula::parse(&formula, names).and_then(is_finite);
        read.map_err(|source| Error::Formula { path: path.into(), place, source })
    };
    places.into_iter().map(parse).collect()
}

/// Returns the file's name without folder and extension.
///
/// # Errors
/// Returns an error if it is not UTF-8, because it becomes the name of problems.
pub(crate) fn stem(path: &Path) -> Result<String, Error> {
    match path.file_stem().map(|stem| stem.to_str()) {
        Some(Some(stem)) => Ok(stem.to_owned()),
        Some(None) => Err(Error::FileName { path: path.into() }),
        None => Ok("data".into()),
    }
}

#[cfg(test)]
mod tests {
    use sr_expr::Semantics;

    use super::*;

    fn formulas(text: &str, options: &FormulaOptions) -> Result<ProblemSet, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("laws.txt");
        fs::write(&path, text).unwrap();
        from_formulas(&path, options).map_err(|error| error.to_string())
    }

    #[test]
    fn formulas_come_as_text_or_json() {
        let options = FormulaOptions { seed: 3, ..Default::default() };
        let text = formulas("# two laws\nx0*sin(x1)\n\n 2 \n", &options).unwrap();
        let json = formulas(r#"{"expressions": ["(x_0 mul sin(x_1))", "2"]}"#, &options).unwrap();
        assert_eq!(text, json);
        assert_eq!(text.params.operators, [Op::Add, Op::Sub, Op::Mul, Op::Sin]);
        let [first, second] = &*text.problems else { panic!("two problems") };
        assert_eq!((first.id.as_str(), first.x.n_rows(), first.x.n_columns()), ("laws_000000", 100, 2));
        assert_eq!((second.id.as_str(), second.x.n_columns()), ("laws_000001", 1));
        assert!(second.y.iter().all(|&y| y == 2.0));
        let given = FormulaOptions { operators: Some(vec![Op::Add]), points: 5, range: [1.0, 2.0], ..options };
        let set = formulas("log(x0)", &given).unwrap();
        assert_eq!((set.problems[0].x.n_rows(), &*set.problems[0].operators), (5, &[Op::Add][..]));
    }

    #[test]
    fn a_byte_order_mark_is_no_formula() {
        let options = FormulaOptions::default();
        assert_eq!(formulas("\u{feff}x0\r\nx0 + 1\r\n", &options).unwrap().problems.len(), 2);
        assert_eq!(formulas("\u{feff}{\"expressions\": [\"x0\"]}", &options).unwrap().problems.len(), 1);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("laws.txt");
        fs::write(&path, b"x0\n# h\xf6he\n").unwrap();
        let message = from_formulas(&path, &options).unwrap_err().to_string();
        assert!(message.contains("line 2 is not UTF-8 (byte 0xf6)"), "{message}");
    }

    #[test]
    fn guarded_formulas_have_guarded_values() {
        let options = FormulaOptions { range: [-1.0, 1.0], points: 50, ..FormulaOptions::default() };
        let set = formulas("plog(x0)\nlog(x0)\nx0*x0\n", &options).unwrap();
        let [guarded, plain, neither] = &*set.problems else { panic!("three problems") };
        let values =
            |problem: &Problem| sr_expr::predict(problem.source.as_ref().unwrap(), &problem.x, problem.semantics);
        for (problem, semantics, text) in [
            (guarded, Semantics::Protected, "plog(x0)"),
            (plain, Semantics::Ieee, "log(x0)"),
            (neither, Semantics::Ieee, "(x0 * x0)"),
        ] {
            assert_eq!((problem.semantics, problem.formula().as_deref()), (semantics, Some(text)));
            assert_eq!(problem.y, values(problem));
        }
        assert!(guarded.x.values().any(|&x| x < 0.0) && plain.x.values().all(|&x| x > 0.0));
        let (x, y) = guarded.fresh_points(50, 0).unwrap();
        assert!(
            x.column(0).iter().zip(&y).any(|(x, y)| *x < 0.0 && (y - (-x).ln()).abs() < 1e-12),
            "fresh points are guarded too"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("laws.sr");
        set.write(&path).unwrap();
        assert_eq!(ProblemSet::read(&path).unwrap(), set);
    }

    #[test]
    fn formulas_with_names_of_columns_are_read() {
        let names = parse_names("height, `a+b`,`c,``d`").unwrap();
        assert_eq!(names, ["height", "a+b", "c,`d"]);
        let options = FormulaOptions { names, points: 20, ..FormulaOptions::default() };
        let set = formulas("(height + `a+b`)\npdiv(`c,``d`, x0)\n", &options).unwrap();
        let told: Vec<String> = set.problems.iter().filter_map(Problem::formula).collect();
        assert_eq!(told, ["(x0 + x1)", "pdiv(x2, x0)"]);
        let [sum, _] = &*set.problems else { panic!("two problems") };
        let (x0, x1) = (sum.x.column(0), sum.x.column(1));
        assert!(sum.y.iter().zip(x0.iter().zip(x1)).all(|(y, (a, b))| *y == a + b));
        assert!(formulas("width", &options).unwrap_err().contains("unknown name 'width'"));
        assert!(formulas("height", &FormulaOptions::default()).unwrap_err().contains("unknown name 'height'"));
        for (bad, expected) in [
            ("", "one is empty"),
            ("a,,b", "one is empty"),
            ("a,b, a", "\"a\" stands there twice"),
            ("`a", "a name in backticks does not end"),
            ("`a`b", "expected a comma behind `a`, found \"b\""),
        ] {
            let message = parse_names(bad).unwrap_err().to_string();
            assert!(message.starts_with("names of variables: ") && message.contains(expected), "{bad}: {message}");
        }
    }

    #[test]
    fn bad_formulas_are_named() {
        let options = FormulaOptions::default();
        for (text, expected) in [
            ("x0\n\nx0 +\n", "line 3: "),
            (r#"{"expressions": ["x0", "sinh(x0)"]}"#, "expression 2: unknown name 'sinh'"),
            (r#"{"formulas": ["x0"]}"#, "missing field `expressions`"),
            ("# nothing\n", "no formulas"),
            ("log(-1 - x0*x0)", "no finite value of log("),
            ("plog(x0) / x0", "line 1: the plain operator '/' in a formula with guarded ones"),
            ("x0\nx0 + 0*inf", "line 2: inf is no constant of a formula at byte 7"),
            ("1e400*x0", "'1e400' is beyond the largest number"),
        ] {
            let message = formulas(text, &options).expect_err(text);
            assert!(message.contains(expected), "{message}");
        }
        assert!(formulas("x0", &FormulaOptions { points: 0, ..options.clone() }).unwrap_err().contains("points"));
        let most = u32::MAX;
        let message = formulas("x0*x1", &FormulaOptions { points: most, ..options.clone() }).unwrap_err();
        assert!(message.contains("points is 4294967295, expected at most 44739242 with 2 variables"), "{message}");
        for (range, told) in
            [([1.0, 1.0], "1 to 1"), ([f64::NAN, 1.0], "NaN to 1"), ([f64::NEG_INFINITY, 0.0], "-inf to 0")]
        {
            let message = formulas("x0", &FormulaOptions { range, ..options.clone() }).unwrap_err();
            assert_eq!(message, format!("range is {told}, expected two finite numbers, the lower one first"));
        }
    }
}
