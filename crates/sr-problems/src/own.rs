//! Problems from files of one's own: data with a target column, or formulas to be sampled.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use sr_expr::{Columns, Formula, Node, Op, ParseError, Semantics};

use crate::primitives::in_table_order;
use crate::sampler::to_f32;
use crate::{ARITH, Error, Origin, Problem, ProblemSet, Sampler, SetParams, parquet};

/// A set of one problem: the numbers of a file of one's own, Parquet if it begins like one and CSV otherwise.
///
/// `target` is y in 64 bits; every other column is a variable in 32 bits, `x0`, `x1`, … in file order (the set's header
/// keeps their names). The problem is called like the file; no seed touches it.
///
/// # Errors
/// If the file cannot be read, has no rows or ragged ones, `target` is not exactly one column, or a field is not a
/// finite number; what is missing or invalid has to be decided on by whoever knows the data.
pub fn from_table(path: &Path, target: &str, operators: Vec<Op>, constants: Vec<f64>) -> Result<ProblemSet, Error> {
    let mut start = Vec::new();
    let file = fs::File::open(path).map_err(Error::io(path))?;
    file.take(parquet::MAGIC.len() as u64).read_to_end(&mut start).map_err(Error::io(path))?;
    let read = if start == parquet::MAGIC { from_parquet } else { from_csv };
    read(path, target, operators, constants)
}

/// As [`from_table`], of a CSV file with a header row.
///
/// # Errors
/// As [`from_table`].
pub fn from_csv(path: &Path, target: &str, operators: Vec<Op>, constants: Vec<f64>) -> Result<ProblemSet, Error> {
    let own = || path.to_owned();
    let csv_error = |source: csv::Error| Error::Csv { path: own(), source };
    let bytes = fs::read(path).map_err(Error::io(path))?;
    // Ragged rows are let through here, because the reader's own message does not name the row of data.
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(&*bytes);
    let columns: Vec<String> = reader.headers().map_err(csv_error)?.iter().map(String::from).collect();
    let target_index = target_index(path, &columns, target)?;

    let mut values: Vec<Vec<f64>> = vec![Vec::new(); columns.len()];
    for (row, record) in (1..).zip(reader.records()) {
        let record = record.map_err(csv_error)?;
        let line = || line_of(&record, &bytes);
        if record.len() != columns.len() {
            return Err(Error::RaggedRow {
                path: own(),
                row,
                line: line(),
                expected: columns.len(),
                found: record.len(),
            });
        }
        for (index, text) in record.iter().enumerate() {
            match text.parse().map(|value| kept(value, index == target_index)) {
                Ok(value) if value.is_finite() => values[index].push(value),
                _ => {
                    let (column, text) = (columns[index].clone(), text.into());
                    return Err(Error::NotANumber { path: own(), row, line: Some(line()), column, text });
                }
            }
        }
    }
    let variables = columns.into_iter().filter(|column| column != target).collect();
    let origin = Origin::Csv { target: target.into(), variables };
    one_problem(path, values, target_index, operators, constants, origin)
}

/// As [`from_table`], of a Parquet file whose columns are whole or decimal numbers, floats or booleans of any width.
///
/// # Errors
/// As [`from_table`], and for a column that holds anything else.
pub fn from_parquet(path: &Path, target: &str, operators: Vec<Op>, constants: Vec<f64>) -> Result<ProblemSet, Error> {
    let table = parquet::Table::open(path)?;
    let target_index = target_index(path, &table.columns, target)?;
    let mut values = table.read()?;
    for (index, column) in values.iter_mut().enumerate() {
        for (row, value) in (1..).zip(column) {
            let text = *value;
            *value = kept(text, index == target_index);
            if !value.is_finite() {
                let (column, text) = (table.columns[index].clone(), format!("{text:?}"));
                return Err(Error::NotANumber { path: path.into(), row, line: None, column, text });
            }
        }
    }
    let variables = table.columns.into_iter().filter(|column| column != target).collect();
    let origin = Origin::Parquet { target: target.into(), variables };
    one_problem(path, values, target_index, operators, constants, origin)
}

/// A number as problems keep it: y in 64 bits, a variable in 32.
fn kept(value: f64, is_target: bool) -> f64 {
    if is_target { value } else { to_f32(value) }
}

/// Which column is the target, if it is one and the others can be variables.
fn target_index(path: &Path, columns: &[String], target: &str) -> Result<usize, Error> {
    let found = columns.iter().filter(|column| *column == target).count();
    let index = match columns.iter().position(|column| column == target) {
        Some(index) if found == 1 => index,
        _ => return Err(Error::Target { path: path.into(), target: target.into(), found, columns: columns.to_vec() }),
    };
    match columns.len() - 1 {
        1..=0xffff => Ok(index),
        found => Err(Error::Variables { path: path.into(), found }),
    }
}

fn one_problem(
    path: &Path,
    mut values: Vec<Vec<f64>>,
    target_index: usize,
    operators: Vec<Op>,
    constants: Vec<f64>,
    origin: Origin,
) -> Result<ProblemSet, Error> {
    let operators = in_table_order(operators);
    let y = values.remove(target_index);
    if y.is_empty() {
        return Err(Error::NoRows { path: path.into() });
    }
    let params = SetParams { operators: operators.clone(), constants: constants.clone(), seed: 0, origin };
    let x = Columns::new(y.len(), values.len(), values.concat());
    let id = stem(path);
    let problem = Problem {
        id,
        source: None,
        semantics: Semantics::Ieee,
        x,
        y,
        operators,
        constants,
        sampler: Sampler::Fixed,
        seed: 0,
    };
    Ok(ProblemSet { params, problems: vec![problem] })
}

/// The line of a record, counted from 1. The reader's own count leaves out blank lines.
fn line_of(record: &csv::StringRecord, bytes: &[u8]) -> u64 {
    let start = record.position().map_or(0, |position| position.byte() as usize);
    let blank = bytes[start..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    1 + bytes[..start + blank].iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// How formulas become problems.
#[derive(Debug, Clone, PartialEq)]
pub struct FormulaOptions {
    /// Operators searches may use; `None`: `+ - *` and whatever occurs in any of the formulas.
    pub operators: Option<Vec<Op>>,
    /// Constants searches may use.
    pub constants: Vec<f64>,
    /// Points of each problem, at least 1. Default 100.
    pub points: u32,
    /// Every variable is uniform in `[low, high]`. Default −5 to 5.
    pub range: [f64; 2],
    /// The seed of the points.
    pub seed: u64,
}

impl Default for FormulaOptions {
    fn default() -> Self {
        FormulaOptions { operators: None, constants: vec![1.0], points: 100, range: [-5.0, 5.0], seed: 0 }
    }
}

/// A problem for each formula of a file: text with one a line (`#` starts a comment line), or
/// `{"expressions": ["x0 + 1", …]}`. Both the usual infix and the E2E generator's (`x_0 mul x_1`) are read, and formulas as searches with guarded operators
/// print them (`plog(x0)`), whose values are the guarded ones.
/// Problems are called like the file with a number, from 0: `formulas_000000`.
///
/// # Errors
/// If the file cannot be read or has no formula, a formula cannot be parsed or has no finite value in the range, or the
/// options are out of their ranges.
pub fn from_formulas(path: &Path, options: &FormulaOptions) -> Result<ProblemSet, Error> {
    let &FormulaOptions { points, range, seed, ref constants, .. } = options;
    if points == 0 {
        return Err(Error::Setting { name: "the number of points", value: 0.0, expected: "1 or more" });
    }
    let [low, high] = range;
    if !(low < high && (high - low).is_finite()) {
        return Err(Error::Setting { name: "the range's end", value: high, expected: "finite and above its start" });
    }
    let formulas = read_formulas(path)?;
    let operators = options.operators.clone().unwrap_or_else(|| {
        let node_op = |node: &Node| if let Node::Op(op) = node { Some(*op) } else { None };
        let used = formulas.iter().flat_map(|formula| formula.expr.nodes().iter().filter_map(node_op));
        ARITH.into_iter().chain(used).collect()
    });
    let operators = in_table_order(operators);
    let stem = stem(path);
    let problem = |(index, Formula { expr, semantics }): (usize, Formula)| {
        let source = (expr, semantics.unwrap_or_default());
        // A constant formula has a variable too, which a search may find to be of no use.
        let sampler = Sampler::Uniform { ranges: vec![range; source.0.n_variables().max(1)] };
        let primitives = (operators.clone(), constants.clone());
        Problem::sampled(format!("{stem}_{index:06}"), source, sampler, points as usize, primitives, seed)
    };
    let problems = formulas.into_iter().enumerate().map(problem).collect::<Result<_, _>>()?;
    let origin = Origin::Formulas { points, range };
    Ok(ProblemSet { params: SetParams { operators, constants: constants.clone(), seed, origin }, problems })
}

fn read_formulas(path: &Path) -> Result<Vec<Formula>, Error> {
    #[derive(Deserialize)]
    struct Json {
        expressions: Vec<String>,
    }

    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let places: Vec<(String, String)> = if text.trim_start().starts_with('{') {
        let json: Json = serde_json::from_str(&text).map_err(|source| Error::Json { path: path.into(), source })?;
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
        let read = formula.parse().and_then(is_finite);
        read.map_err(|source| Error::Formula { path: path.into(), place, source })
    };
    places.into_iter().map(parse).collect()
}

/// The file's name without folder and extension.
fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "data".into(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(text: &str) -> Result<ProblemSet, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flow.csv");
        fs::write(&path, text).unwrap();
        from_csv(&path, "y", ARITH.to_vec(), vec![1.0]).map_err(|error| error.to_string())
    }

    fn formulas(text: &str, options: &FormulaOptions) -> Result<ProblemSet, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("laws.txt");
        fs::write(&path, text).unwrap();
        from_formulas(&path, options).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_keep_their_order_and_the_target_its_digits() {
        let set = csv("\u{feff}speed, y ,area\n0.1,0.1,3\n-2e3,2,4\n").unwrap();
        let problem = &set.problems[0];
        assert_eq!(problem.id, "flow");
        assert_eq!(problem.x.column(0), [f64::from(0.1_f32), -2000.0]);
        assert_eq!(problem.x.column(1), [3.0, 4.0]);
        assert_eq!(problem.y, [0.1, 2.0]);
        assert_eq!(
            set.params.origin,
            Origin::Csv { target: "y".into(), variables: vec!["speed".into(), "area".into()] }
        );
        assert!(problem.instance().is_ok());
    }

    #[test]
    fn bad_data_is_named() {
        for (text, expected) in [
            ("x,y\n1,2\n\nhello,3\n", "row 2 (line 4), column x: \"hello\""),
            ("\u{feff}x,y\r\n1,2\r\n\r\nhello,3\r\n", "row 2 (line 4), column x: \"hello\""),
            ("x,y\n1,NaN\n", "row 1 (line 2), column y: \"NaN\""),
            ("x,y\n,3\n", "column x: \"\""),
            ("x,y\n1e300,3\n", "column x: \"1e300\""),
            ("x,y\n1,2\n1,2,3\n", "row 2 (line 3) has 3 fields, expected 2"),
            ("x,z\n1,2\n", "0 columns are called \"y\"; the columns are x, z"),
            ("y,x,y\n1,2,3\n", "2 columns are called \"y\""),
            ("y\n1\n", "0 columns beside the target"),
            ("x,y\n", "no rows of data"),
            ("", "0 columns are called \"y\""),
        ] {
            let message = csv(text).expect_err(text);
            assert!(message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1);
        }
        let missing = from_csv(Path::new("no/such.csv"), "y", vec![], vec![]).unwrap_err().to_string();
        assert!(missing.starts_with("no/such.csv: cannot read"), "{missing}");
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
        assert!(formulas("x0", &FormulaOptions { range: [1.0, 1.0], ..options }).unwrap_err().contains("range"));
    }
}
