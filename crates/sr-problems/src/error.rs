//! The errors of problem sets.

use std::io;
use std::path::{Path, PathBuf};

use sr_expr::{Op, ParseError};

/// The reason why a problem set could not be made, read or written. Each message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Operators and constants.
    /// There is no such operator.
    #[error("unknown operator \"{name}\"; expected arith, full or a list of {}", known_operators())]
    UnknownOperator {
        /// The name that was written.
        name: String,
    },
    /// The list of operators is empty.
    #[error("no operators; expected arith, full or a list of {}", known_operators())]
    NoOperators,
    /// A constant is no finite number, or so small that it would be 0.
    #[error("constant \"{text}\" is not a finite number that 64-bit floats have")]
    BadConstant {
        /// The text that was written.
        text: String,
    },

    // Settings of the random generator.
    /// A setting is out of its range.
    #[error("{name} is {value}, expected {expected}")]
    Setting {
        /// The name of the setting.
        name: &'static str,
        /// The value of the setting.
        value: f64,
        /// The range of allowed values.
        expected: &'static str,
    },
    /// A range has no numbers in it, or is beyond the numbers that there are.
    #[error("range is {low} to {high}, expected two finite numbers, the lower one first")]
    Range {
        /// The lower end.
        low: f64,
        /// The upper end.
        high: f64,
    },
    /// A problem has more points than a record of a file can hold.
    #[error(
        "points is {points}, expected at most {most} with {}: a problem has to fit 1 GiB",
        counted(*variables as u64, "variable")
    )]
    TooManyPoints {
        /// The number of points of a problem.
        points: u32,
        /// The number of variables of the problem, or the most that it may have.
        variables: usize,
        /// The largest number of points.
        most: u64,
    },
    /// The set has more problems of so many points than are made at once.
    #[error(
        "{} of {}: expected less than {} GiB in all",
        counted(*problems as u64, "problem"), counted(*points as u64, "point"), crate::problem::MAX_SET_BYTES >> 30
    )]
    TooLarge {
        /// The number of problems of the set.
        problems: usize,
        /// The number of points of each.
        points: u32,
    },
    /// There is no binary operator, which every random tree starts from.
    #[error("random expressions need a binary operator among the operators")]
    NoBinaryOperator,
    /// Addition or multiplication is missing. The `e2e` preset needs both to write `a + b * u`.
    #[error("the e2e preset writes affine constants and needs + and * among the operators")]
    NoAffineOperators,
    /// No valid expression was found. The operators hardly ever give finite values or use all variables, or nearly all
    /// expressions are excluded.
    #[error(
        "problem {index}: none of {attempts} expressions is finite everywhere, uses {} and is not excluded",
        if *n_variables == 1 { "its variable".to_owned() } else { format!("all {n_variables} variables") }
    )]
    NoExpression {
        /// The index of the problem.
        index: u32,
        /// The number of expressions tried.
        attempts: u32,
        /// The number of variables of the problem.
        n_variables: u16,
    },

    // Suites and formulas.
    /// There is no such suite.
    #[error("unknown suite \"{name}\"; expected one of {}", crate::suite_names().collect::<Vec<_>>().join(", "))]
    UnknownSuite {
        /// The name that was asked for.
        name: String,
    },
    /// A source of formulas to exclude is neither a suite nor a file.
    #[error("\"{name}\" is neither a file nor a suite; the suites are {}", crate::suite_names().collect::<Vec<_>>().join(", "))]
    NoSuchSource {
        /// The name that was given.
        name: String,
    },
    /// A problem set whose formulas are to be excluded has no formulas.
    #[error("{name}: no formulas to exclude")]
    NothingToExclude {
        /// The name of the set.
        name: String,
    },
    /// A formula has no finite value where it is sampled.
    #[error("{id}: no finite value of {formula} for row {row} in {tries} draws")]
    NoFiniteRow {
        /// The problem's id.
        id: String,
        /// The problem's formula.
        formula: String,
        /// The row, counted from 1.
        row: usize,
        /// The number of points tried.
        tries: u32,
    },
    /// A line of a list of formulas, or an element of its JSON form, is no formula.
    #[error("{}: {place}: {source}", path.display())]
    Formula {
        /// The file.
        path: PathBuf,
        /// The place, `line 3` or `expression 3`, counted from 1.
        place: String,
        /// The parse error.
        source: ParseError,
    },
    /// Names of variables are invalid or cannot be told apart.
    #[error("names of variables: {reason}")]
    Names {
        /// The reason.
        reason: String,
    },
    /// The file begins like JSON but is not `{"expressions": ["x0 + 1", …]}`.
    #[error("{}: expected {{\"expressions\": [\"…\", …]}}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The JSON error.
        source: serde_json::Error,
    },
    /// A list has no formulas.
    #[error("{}: no formulas", path.display())]
    NoFormulas {
        /// The file.
        path: PathBuf,
    },

    // Data of one's own.
    /// The operating system returned an error.
    #[error("{}: cannot read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file's name is not UTF-8, so it cannot be the name of a problem.
    #[error("{}: the file's name is not UTF-8, and problems are called like their file; rename it", path.display())]
    FileName {
        /// The file.
        path: PathBuf,
    },
    /// The file is empty, or has nothing but blank lines and comments.
    #[error("{}: {found}, expected a header and rows of numbers", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// The content of the file, as text.
        found: &'static str,
    },
    /// The file is neither text nor Parquet, or it is text in a form that is not read.
    #[error("{}: {found}", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The format that it seems to have, and what to do.
        found: &'static str,
    },
    /// A name or a number is not UTF-8.
    #[error(
        "{}: line {line} is not UTF-8 (byte 0x{byte:02x}), perhaps Latin-1 or Windows-1252; convert it, such as with \
         iconv -f WINDOWS-1252 -t UTF-8",
        path.display()
    )]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The first byte that does not belong there.
        byte: u8,
    },
    /// The text is no table: a quote is not closed, or a line has no end.
    #[error("{}: {reason}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The file is no CSV.
    #[error("{}: {source}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The CSV error.
        source: csv::Error,
    },
    /// The file is no Parquet file or is damaged.
    #[error("{}: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The Parquet error.
        source: parquet::errors::ParquetError,
    },
    /// A Parquet file is compressed in a way that is not read.
    #[error(
        "{}: column {} is compressed with {codec}, which is not read; write it with snappy, gzip, zstd, lz4 or none",
        path.display(), name(column)
    )]
    Compression {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// The compression.
        codec: &'static str,
    },
    /// A column of a Parquet file holds something other than numbers.
    #[error(
        "{}: column {} holds {found}, expected numbers{}",
        path.display(), name(column), left_out(column, *is_variable)
    )]
    NotNumeric {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// The type of its values.
        found: &'static str,
        /// Whether the column is a variable, which may be left out.
        is_variable: bool,
    },
    /// A column of groups of a Parquet file holds something other than numbers or text.
    #[error(
        "{}: column {} holds {found}, and groups of a Parquet file are numbers or text; save the table as CSV, where groups \
         may be anything",
        path.display(), name(column)
    )]
    NoLabels {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// The type of its values.
        found: &'static str,
    },
    /// An option is for text, and the file is Parquet.
    #[error("{}: {option} is for tables of text, and this is a Parquet file", path.display())]
    TextOption {
        /// The file.
        path: PathBuf,
        /// The option.
        option: &'static str,
    },
    /// The separator and the decimal sign are both commas.
    #[error("the comma cannot be the decimal sign and the separator at once")]
    TwoCommas,
    /// The table has no rows, or none that is left.
    #[error("{}: no rows of data{}", path.display(), all_dropped(*dropped))]
    NoRows {
        /// The file.
        path: PathBuf,
        /// The number of rows that were left out because a value is missing.
        dropped: usize,
    },
    /// The first row holds nothing but numbers, so it is no header.
    #[error(
        "{}: the first row holds only numbers ({}); if the file has no header, say --no-header, and the columns are \
         column1, column2, …",
        path.display(), list(columns)
    )]
    NumericHeader {
        /// The file.
        path: PathBuf,
        /// The fields of the row.
        columns: Vec<String>,
    },
    /// A column that was asked for does not exist.
    #[error(
        "{}: there is no column {asked:?} ({role}){}; the columns are {}{}",
        path.display(), meant(asked, columns), list(columns), headless(columns)
    )]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        asked: String,
        /// The role that the column was to have.
        role: &'static str,
        /// All columns.
        columns: Vec<String>,
    },
    /// Two columns that are used cannot be told apart.
    #[error(
        "{}: {} columns are called {column:?} (columns {}); rename them{}",
        path.display(), positions.len(), numbers(positions),
        if *may_go { format!(", or leave all of that name out with --drop {}", flag(column)) } else { String::new() }
    )]
    EqualNames {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
        /// The positions of the columns, counted from 1.
        positions: Vec<usize>,
        /// Whether nobody asked for them by this name, so that they may be left out.
        may_go: bool,
    },
    /// A column was given two roles.
    #[error("{}: column {} cannot be {first} and {second} at once", path.display(), name(column))]
    TwoRoles {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// The first role.
        first: &'static str,
        /// The second role.
        second: &'static str,
    },
    /// A column is the row index of pandas or R, which they write unless told otherwise.
    #[error(
        "{}: column {position}, called {column:?}, looks like a row index and not like a variable; leave it out with \
         --drop {}, or choose variables with --features",
        path.display(), flag(column)
    )]
    RowIndex {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
        /// The position of the column, counted from 1.
        position: usize,
    },
    /// There are no variables beside the target, or more than an expression can name.
    #[error("{}: {found} columns beside the target, expected 1 to {}", path.display(), u16::MAX)]
    Variables {
        /// The file.
        path: PathBuf,
        /// The number of columns that would be variables.
        found: usize,
    },
    /// A row has more or fewer fields than the header.
    #[error(
        "{}: row {row} (line {line}) has {}, expected {expected}; the separator is {separator}{}",
        path.display(), counted(*found as u64, "field"), nameless(*expected, *found)
    )]
    RaggedRow {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// The line of the file, counted from 1.
        line: u64,
        /// The number of columns of the header.
        expected: usize,
        /// The number of fields of the row.
        found: usize,
        /// The separator of the fields.
        separator: crate::Separator,
    },
    /// A value is empty, null, NaN, or a word such as `NA`.
    #[error(
        "{}: row {row}{}, column {}: the value is missing ({text:?}); fill it in, or leave such rows out with \
         --missing drop",
        path.display(), in_line(*line), name(column)
    )]
    Missing {
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
    /// A field is text, or infinite, or too large for 64 bits; or a weight is negative.
    #[error(
        "{}: row {row}{}, column {}: {:?} {reason}{}",
        path.display(), in_line(*line), name(column), short(text), advice(text, column, also.as_deref())
    )]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// The line of the file, counted from 1, if it has lines.
        line: Option<u64>,
        /// The column's name.
        column: Box<str>,
        /// The field.
        text: Box<str>,
        /// The reason, such as `is not a finite number`.
        reason: &'static str,
        /// Other variables that hold words in this row; `None` if the column is no variable, which may be left out.
        also: Option<Box<[String]>>,
    },
    /// The group of a row is none of those that a formula has constants for.
    #[error(
        "{}: row {row}{}, column {}: {:?} is no group of the fit, whose groups are {expected}; take such rows out, or fit \
         a table that has them",
        path.display(), in_line(*line), name(column), short(group)
    )]
    UnknownGroup {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// The line of the file, counted from 1, if it has lines.
        line: Option<u64>,
        /// The column's name.
        column: String,
        /// The group of the row.
        group: String,
        /// The first groups that there are.
        expected: String,
    },
    /// Every weight is 0, so that no row counts.
    #[error("{}: column {}: every weight is 0", path.display(), name(column))]
    NoWeight {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
    },

    // Problem files.
    /// The file was written by a later version of this program.
    #[error("{}: problem sets of version {found} are not known, only 1 to {supported}; it was written by a newer program", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        found: u32,
        /// The newest version that is read.
        supported: u32,
    },
    /// A problem breaks a rule of its fields, so that it could not be read again.
    #[error("{}: cannot write problem \"{id}\": {reason}", path.display())]
    BadProblem {
        /// The file that was to be written.
        path: PathBuf,
        /// The problem's id.
        id: String,
        /// The reason.
        reason: String,
    },
    /// The file cannot be read or written, or is no problem set.
    #[error(transparent)]
    File(#[from] sr_codec::Error),
    /// The record is whole, but its parts do not fit together.
    #[error("{}: record {record} (counted from 0), problem \"{id}\": {reason}", path.display())]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// The index of the record.
        record: usize,
        /// The problem's id.
        id: String,
        /// The reason.
        reason: String,
    },
}

impl Error {
    /// Returns a function that makes an [`Error::Io`] of this file, for `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Error::Io { path: path.to_owned(), source }
    }

    /// Returns a function that makes an [`Error::Parquet`] of this file, for `map_err`.
    pub(crate) fn parquet(path: &Path) -> impl Fn(parquet::errors::ParquetError) -> Self {
        move |source| Error::Parquet { path: path.to_owned(), source }
    }
}

fn in_line(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(" (line {line})"))
}

fn all_dropped(dropped: usize) -> String {
    match dropped {
        0 => String::new(),
        1 => " are left: the only one has a missing value".into(),
        n => format!(" are left: each of the {n} has a missing value"),
    }
}

/// The largest number of names that a message lists.
const LISTED: usize = 20;

/// Lists the first columns, and says how many more there are.
fn list(columns: &[String]) -> String {
    let mut text = columns.iter().take(LISTED).map(|column| name(column)).collect::<Vec<_>>().join(", ");
    if columns.len() > LISTED {
        text += &format!(" and {} more", columns.len() - LISTED);
    }
    text
}

/// Returns a column's name, in quotes where it could be read as something else.
pub(crate) fn name(column: &str) -> String {
    let is_plain = !column.is_empty() && !column.contains(|c: char| c.is_control() || c.is_whitespace() || c == ',');
    if is_plain { short(column) } else { format!("{:?}", short(column)) }
}

/// Returns a column's name as a word of a shell.
fn flag(column: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_.:+-/%".contains(c);
    if !column.is_empty() && column.chars().all(is_plain) {
        short(column)
    } else {
        format!("'{}'", short(column).escape_debug())
    }
}

/// Returns the first 60 characters of a text.
pub(crate) fn short(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

fn numbers(positions: &[usize]) -> String {
    let mut text: Vec<String> = positions.iter().take(LISTED).map(usize::to_string).collect();
    if positions.len() > LISTED {
        text.push("…".into());
    }
    text.join(", ")
}

/// Returns a hint for a header that is one name short.
fn nameless(expected: usize, found: usize) -> &'static str {
    if found == expected + 1 {
        ", and a name may be missing in the header, as R leaves out that of row names"
    } else {
        ""
    }
}

/// Returns a hint for a missing column if one other begins like it, or differs in upper and lower case only.
fn meant(asked: &str, columns: &[String]) -> String {
    let asked = asked.trim().to_lowercase();
    let begins = |column: &&String| !asked.is_empty() && column.trim().to_lowercase().starts_with(&asked);
    let mut alike = columns.iter().filter(begins);
    match (alike.next(), alike.next()) {
        (Some(column), None) => format!("; did you mean {}", flag(column)),
        _ => String::new(),
    }
}

/// Returns a hint for a missing column if a name is a number, as in a file without a header.
fn headless(columns: &[String]) -> &'static str {
    let is_number = |column: &String| column.trim().parse::<f64>().is_ok_and(f64::is_finite);
    if columns.iter().any(is_number) { "; if the file has no header, say --no-header" } else { "" }
}

/// Returns whether a field is a word, which no separator or decimal sign makes a number.
pub(crate) fn is_word(text: &str) -> bool {
    text.contains(char::is_alphabetic) && text.trim().parse::<f64>().is_err()
}

/// Returns a hint for a column without numbers.
fn left_out(column: &str, is_variable: bool) -> String {
    if is_variable { format!("; leave it out with --drop {}", flag(column)) } else { String::new() }
}

/// Returns a number with its noun, in the singular or plural.
pub(crate) fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Returns a hint for a field that is no number.
fn advice(text: &str, column: &str, also: Option<&[String]>) -> String {
    if text.matches(',').count() == 1 && text.replace(',', ".").trim().parse::<f64>().is_ok() {
        return "; if the comma is the decimal sign, say --decimal ,".into();
    }
    match also {
        Some([]) if is_word(text) => {
            format!("; a column that is no variable is left out with --drop {}", flag(column))
        }
        Some(also) if is_word(text) => format!(
            "; {} {} words too; columns that are no variables are left out with --drop {}",
            if also.len() == 1 { "column" } else { "columns" }.to_owned() + " " + &list(also),
            if also.len() == 1 { "holds" } else { "hold" },
            flag(&[&[column.to_owned()], also].concat().join(","))
        ),
        _ => String::new(),
    }
}

fn known_operators() -> String {
    Op::ALL.iter().map(|op| op.name()).collect::<Vec<_>>().join(",")
}
