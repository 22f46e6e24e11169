//! What can go wrong with problem sets.

use std::io;
use std::path::{Path, PathBuf};

use sr_expr::{Op, ParseError};

/// Why a problem set could not be made, read or written. Each message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Operators and constants.
    /// An operator that the table does not have.
    #[error("unknown operator \"{name}\"; expected arith, full or a list of {}", known_operators())]
    UnknownOperator {
        /// What was written.
        name: String,
    },
    /// The list of operators is empty.
    #[error("no operators; expected arith, full or a list of {}", known_operators())]
    NoOperators,
    /// A constant that is no finite number.
    #[error("constant \"{text}\" is not a finite number")]
    BadConstant {
        /// What was written.
        text: String,
    },

    // Settings of the random generator.
    /// A setting is out of its range.
    #[error("{name} is {value}, expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The range.
        expected: &'static str,
    },
    /// Random trees are binary trees with unary operators put into them.
    #[error("random expressions need a binary operator among the operators")]
    NoBinaryOperator,
    /// The `e2e` preset writes `a + b * u`, which has to be expressible.
    #[error("the e2e preset writes affine constants and needs + and * among the operators")]
    NoAffineOperators,
    /// Nothing valid was found: the operators hardly ever give finite values or use all variables, or nearly all that
    /// can be made of them is excluded.
    #[error(
        "problem {index}: none of {attempts} expressions is finite everywhere, uses all {n_variables} variables and is \
         not excluded"
    )]
    NoExpression {
        /// The problem's number.
        index: u32,
        /// Expressions tried.
        attempts: u32,
        /// Its number of variables.
        n_variables: u16,
    },

    // Suites and formulas.
    /// There is no such suite.
    #[error("unknown suite \"{name}\"; expected one of {}", crate::suite_names().collect::<Vec<_>>().join(", "))]
    UnknownSuite {
        /// What was asked for.
        name: String,
    },
    /// What was to be excluded is neither a suite nor a file.
    #[error("\"{name}\" is neither a file nor a suite; the suites are {}", crate::suite_names().collect::<Vec<_>>().join(", "))]
    NoSuchSource {
        /// What was asked for.
        name: String,
    },
    /// A problem set whose formulas were to be excluded has none.
    #[error("{name}: no formulas to exclude")]
    NothingToExclude {
        /// The set.
        name: String,
    },
    /// A formula has no finite value where it is sampled.
    #[error("{id}: no finite value of {formula} for row {row} in {tries} draws")]
    NoFiniteRow {
        /// The problem.
        id: String,
        /// Its formula.
        formula: String,
        /// The row, counted from 1.
        row: usize,
        /// Points tried.
        tries: u32,
    },
    /// A line of a list of formulas, or an element of its JSON form, is no expression.
    #[error("{}: {place}: {source}", path.display())]
    Formula {
        /// The file.
        path: PathBuf,
        /// `line 3` or `expression 3`, counted from 1.
        place: String,
        /// What was expected.
        source: ParseError,
    },
    /// The file begins like JSON but is not `{"expressions": ["x0 + 1", …]}`.
    #[error("{}: expected {{\"expressions\": [\"…\", …]}}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What was found.
        source: serde_json::Error,
    },
    /// A list of formulas without one.
    #[error("{}: no formulas", path.display())]
    NoFormulas {
        /// The file.
        path: PathBuf,
    },

    // Data of one's own.
    /// The operating system refused.
    #[error("{}: cannot read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is no CSV, such as for bytes that are no UTF-8.
    #[error("{}: {source}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What was found.
        source: csv::Error,
    },
    /// The file is no Parquet file, is damaged, or is compressed in a way that is not read.
    #[error("{}: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What was found.
        source: parquet::errors::ParquetError,
    },
    /// A column of a Parquet file holds something else than numbers.
    #[error("{}: column {column} holds {found}, expected numbers", path.display())]
    NotNumeric {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// What it holds.
        found: &'static str,
    },
    /// There is nothing below the header.
    #[error("{}: no rows of data", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// The target is no column, or more than one.
    #[error("{}: {found} columns are called \"{target}\"; the columns are {}", path.display(), columns.join(", "))]
    Target {
        /// The file.
        path: PathBuf,
        /// The column asked for.
        target: String,
        /// Columns of that name: 0, or more than 1.
        found: usize,
        /// All columns.
        columns: Vec<String>,
    },
    /// There are no variables beside the target, or more than an expression can name.
    #[error("{}: {found} columns beside the target, expected 1 to {}", path.display(), u16::MAX)]
    Variables {
        /// The file.
        path: PathBuf,
        /// Columns less the target.
        found: usize,
    },
    /// A row has more or fewer fields than the header.
    #[error("{}: row {row} (line {line}) has {found} fields, expected {expected}", path.display())]
    RaggedRow {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// The line of the file, counted from 1.
        line: u64,
        /// Columns of the header.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// A field is text, empty, null, NaN, infinite, or (a variable) too large for 32 bits.
    #[error("{}: row {row}{}, column {column}: \"{text}\" is not a finite number", path.display(), in_line(*line))]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// The line of the file, counted from 1, if it has lines.
        line: Option<u64>,
        /// The column's name.
        column: String,
        /// The field.
        text: String,
    },

    // Problem files.
    /// The file cannot be read or written, or is no problem set.
    #[error(transparent)]
    File(#[from] sr_codec::Error),
    /// The record is whole, but what it says does not fit together.
    #[error("{}: record {record} (counted from 0), problem \"{id}\": {reason}", path.display())]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// The record.
        record: usize,
        /// The problem's id.
        id: String,
        /// What does not fit.
        reason: String,
    },
}

impl Error {
    /// For `map_err`: an [`Error::Io`] of this file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Error::Io { path: path.to_owned(), source }
    }

    /// For `map_err`: an [`Error::Parquet`] of this file.
    pub(crate) fn parquet(path: &Path) -> impl Fn(parquet::errors::ParquetError) -> Self {
        move |source| Error::Parquet { path: path.to_owned(), source }
    }
}

fn in_line(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(" (line {line})"))
}

fn known_operators() -> String {
    Op::ALL.iter().map(|op| op.name()).collect::<Vec<_>>().join(",")
}
