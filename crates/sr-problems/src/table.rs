//! Problems from a user's table: text of any usual form, or Parquet.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use sr_expr::{Columns, Op, Semantics};
use strum::IntoStaticStr;

use crate::error::{counted, name, short};
use crate::formulas::stem;
use crate::primitives::in_table_order;
use crate::{ARITH, Error, Problem, ProblemSet, Provenance, Sampler, SetParams, parquet, text};

/// The number of bytes of a text that are read to detect its format. They hold a header and a few rows of any table.
pub(crate) const SAMPLE: u64 = 1 << 20;

/// The settings by which a table becomes a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct TableOptions {
    /// The column that is y.
    pub target: String,
    /// The columns that are variables, in this order. `None` means all others, in the order of the file. An element is
    /// a name, or several names separated by commas.
    pub features: Option<Vec<String>>,
    /// The columns that are no variables, written like `features`.
    pub drop: Vec<String>,
    /// The column of the rows' weights, which may not be negative. It is no variable.
    pub weights: Option<String>,
    /// The column of the standard errors of y, above 0: a row counts 1/σ² times, and so many times its weight if there are
    /// weights. It is no variable.
    pub sigma: Option<String>,
    /// The column that says to which group a row belongs, numbers or words. It is no variable.
    pub group: Option<String>,
    /// Whether the first row names the columns. Without a header they are `column1`, `column2`, … It is for text only.
    pub header: bool,
    /// The separator of fields. With `None` it is detected from header and first rows. It is for text only.
    pub separator: Option<Separator>,
    /// The decimal sign of numbers. It is for text only.
    pub decimal: Decimal,
    /// The treatment of rows with a missing value.
    pub missing: Missing,
    /// The operators that searches may use.
    pub operators: Vec<Op>,
    /// The constants that searches may use.
    pub constants: Vec<f64>,
}

impl TableOptions {
    /// Returns options for a table with a header in which every column but the target is a variable and a missing value
    /// is an error. Searches may use `+ - *` and the constant 1.
    pub fn new(target: impl Into<String>) -> Self {
        TableOptions {
            target: target.into(),
            features: None,
            drop: Vec::new(),
            weights: None,
            sigma: None,
            group: None,
            header: true,
            separator: None,
            decimal: Decimal::Point,
            missing: Missing::Refuse,
            operators: ARITH.to_vec(),
            constants: vec![1.0],
        }
    }
}

/// The separator of the fields of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Separator {
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// A tab; two tabs have an empty field between them.
    Tab,
    /// `|`
    Pipe,
    /// Any number of spaces and tabs.
    Blanks,
}

impl Separator {
    /// All separators. The first ones are preferred where a text can be read in several ways.
    pub const ALL: [Self; 5] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Pipe, Self::Blanks];

    /// Returns the name: `comma`, `semicolon`, `tab`, `pipe` or `blanks`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Pipe => b'|',
            Self::Blanks => b' ',
        }
    }
}

impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads a name, or the sign itself.
impl FromStr for Separator {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_it = |separator: &Self| separator.name() == text || text.as_bytes() == [separator.byte()];
        let found = Self::ALL.into_iter().find(is_it);
        found.or((text == "\\t").then_some(Self::Tab)).ok_or_else(|| {
            "expected one of , ; | or comma, semicolon, tab, pipe, blanks (runs of spaces and tabs)".to_owned()
        })
    }
}

/// The decimal sign of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decimal {
    /// `1.5`
    Point,
    /// `1,5`; the separator is something else then, and a point in a number is an error.
    Comma,
}

impl Decimal {
    /// Returns the character.
    pub fn sign(self) -> char {
        match self {
            Self::Point => '.',
            Self::Comma => ',',
        }
    }
}

impl FromStr for Decimal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "." | "point" => Ok(Self::Point),
            "," | "comma" => Ok(Self::Comma),
            _ => Err("expected . or , (or point, comma)".into()),
        }
    }
}

/// The treatment of a row with a missing value: an empty field, a null, NaN, or a word such as `NA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is an error, which names the first such row.
    Refuse,
    /// The row is left out and counted.
    Drop,
}

/// A problem set of one problem, and a report on the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The problem set.
    pub set: ProblemSet,
    /// The report on the file.
    pub report: TableReport,
    /// The group of each row, `[rows]`, if a column of groups was asked for.
    pub groups: Option<Vec<String>>,
}

/// The report on a table, for checking that it was read as intended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TableReport {
    /// The format of the text; `None` for Parquet.
    pub text: Option<TextFormat>,
    /// The column that is y.
    pub target: String,
    /// The columns that are `x0`, `x1`, …
    pub variables: Vec<String>,
    /// The column of weights.
    pub weights: Option<String>,
    /// The column of standard errors of y.
    pub sigma: Option<String>,
    /// The column of groups.
    pub group: Option<String>,
    /// The other columns.
    pub unused: Vec<String>,
    /// The number of rows of the problem.
    pub rows: usize,
    /// How rows with a missing value were treated.
    pub missing: Missing,
    /// The number of rows that were left out because a value is missing.
    pub dropped_rows: usize,
    /// These rows, counted from 0 among all rows of the table.
    pub dropped: Vec<usize>,
    /// The warnings.
    pub warnings: Vec<TableWarning>,
}

impl TableReport {
    /// Returns the row of the table that a row of the problem is, both counted from 0.
    pub fn row(&self, kept: usize) -> usize {
        // The rows before it that were left out; each moves it by one.
        self.dropped.iter().fold(kept, |row, &dropped| if dropped <= row { row + 1 } else { row })
    }
}

/// The format of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextFormat {
    /// The separator of fields.
    pub separator: Separator,
    /// The decimal sign.
    pub decimal: Decimal,
    /// Whether the first row named the columns.
    pub header: bool,
    /// The number of lines that begin with `#`, which were left out.
    pub comments: u64,
}

/// A warning that something is probably not as intended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TableWarning {
    /// A number is no 64-bit float.
    #[error(
        "column {}, row {row}: {} has more digits than a 64-bit float and becomes {kept:?}",
        name(column),
        short(text)
    )]
    LostDigits {
        /// The column's name.
        column: String,
        /// The first such row, counted from 1.
        row: usize,
        /// The number as it is in the file.
        text: String,
        /// The float that it became.
        kept: f64,
    },
    /// Lines that look like rows begin with `#`, so they are left out as comments.
    #[error(
        "line {line} begins with # and is left out as a comment, but it has as many fields as a row ({}); if it is one, \
         put quotes around its first field",
        counted(*count, "such line")
    )]
    CommentLikeRow {
        /// The first such line, counted from 1.
        line: u64,
        /// The number of such lines.
        count: u64,
    },
    /// A quoted field spans several lines.
    #[error("a quoted field goes from line {line} to line {to}; if that is no text of several lines, a quote is stray")]
    SpanningField {
        /// The line on which it begins, counted from 1.
        line: u64,
        /// The line on which it ends.
        to: u64,
    },
    /// A column has only one value.
    #[error("column {} is {value:?} in every row", name(column))]
    Constant {
        /// The column's name.
        column: String,
        /// The value.
        value: f64,
    },
    /// A column has the name that another variable has in formulas.
    #[error(
        "column {} is the variable x{index}: formulas with the names of columns have it in backticks, `{}`, those without as \
         x{index}",
        name(column),
        short(column)
    )]
    OtherVariable {
        /// The column's name.
        column: String,
        /// The index of the column among the variables.
        index: usize,
    },
    /// A variable has a name that suggests the error of y or a weight.
    #[error(
        "column {} is a variable, but its name is that of an error or weight; leave it out with --drop, or use weights \
         with --weights",
        name(column)
    )]
    ErrorColumn {
        /// The column's name.
        column: String,
    },
    /// A variable counts the rows and has the name of an index.
    #[error("column {} is a variable, but it only counts the rows; leave it out with --drop", name(column))]
    RowNumber {
        /// The column's name.
        column: String,
    },
    /// A column holds durations.
    #[error("column {} holds durations, which are counted in {unit}", name(column))]
    Duration {
        /// The column's name.
        column: String,
        /// The unit of the durations.
        unit: String,
    },
}

/// Reads a user's table as a set of one problem. The file is Parquet if it begins like Parquet, and text otherwise.
///
/// y is the target. Every other column is a variable, `x0`, `x1`, … in file order, unless `options` says otherwise; the
/// set's header keeps their names. All numbers are 64-bit floats. Fields may be separated by commas, semicolons, tabs,
/// pipes or blanks, quoted, and have blanks around them. Lines that begin with `#` are comments; `true` and `false` are
/// 1 and 0.
///
/// The problem has the file's name. No seed affects its data, but the name is part of the key of a search's random
/// streams, so a search of a renamed file takes another path.
///
/// # Errors
/// Returns an error if the file cannot be read, has no rows or ragged ones, two columns of one name or a row index
/// among the variables, if a column that was asked for does not exist, or a field is not a finite number. The message
/// says what to do.
pub fn from_table(path: &Path, options: &TableOptions) -> Result<Table, Error> {
    let id = stem(path)?;
    found(path, options, Wanted::Problem)?.into_table(path, id, options)
}

/// Columns of a table, by their names.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NamedColumns {
    /// The columns, `[rows, columns]`, in the order in which they were asked for. All numbers are finite.
    pub x: Columns,
    /// The number of rows, also where no column was asked for.
    pub rows: usize,
    /// The group of each row as its place in [`GroupColumn::groups`], `[rows]`; empty if no column of groups was asked for.
    pub groups: Vec<usize>,
    /// The rows that were left out because a value is missing, counted from 0 among all rows of the table.
    pub dropped: Vec<usize>,
    /// The format of the text; `None` for Parquet.
    pub text: Option<TextFormat>,
    /// The warnings.
    pub warnings: Vec<TableWarning>,
}

/// A column of groups, of which a table that a formula is applied to may have no others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupColumn<'a> {
    /// The column's name.
    pub name: &'a str,
    /// The groups that there are.
    pub groups: &'a [String],
}

/// Reads the columns of a table that have these names, wherever they stand; all others are passed over, so that they
/// may hold anything. It is for a table that a formula is applied to. The file is read as by [`from_table`], but the
/// roles of `options` (target, features, drop, weights, standard errors, groups) have no effect.
///
/// - groups: the column of groups, if the formula has constants that differ between them
///
/// # Errors
/// Returns an error if the file cannot be read, has no rows or ragged ones, there is no column or more than one of a
/// name, a field of these columns is not a finite number, or the group of a row is not one of those that there are.
pub fn columns_of_table(
    path: &Path,
    names: &[String],
    groups: Option<GroupColumn<'_>>,
    options: &TableOptions,
) -> Result<NamedColumns, Error> {
    let Found { mut values, rows, dropped, text, warnings, .. } = found(path, options, Wanted::Columns(names, groups))?;
    if rows == 0 {
        return Err(Error::NoRows { path: path.into(), dropped: dropped.len() });
    }
    let groups = groups.and_then(|_| values.pop()).unwrap_or_default();
    let groups = groups.into_iter().map(|number| number as usize).collect();
    let x = Columns::from_fn(rows, values.len(), |row, column| values[column][row]);
    Ok(NamedColumns { x, rows, groups, dropped, text, warnings })
}

fn found(path: &Path, options: &TableOptions, wanted: Wanted<'_>) -> Result<Found, Error> {
    // The file is opened once and read forwards, so that it may be a pipe.
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut start = Vec::new();
    file.by_ref().take(SAMPLE).read_to_end(&mut start).map_err(Error::io(path))?;
    if start.starts_with(parquet::MAGIC) {
        parquet::read(path, file, options, wanted)
    } else {
        text::read(path, start, file, options, wanted)
    }
}

/// What is wanted of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// Target, variables and weights, as the options say.
    Problem,
    /// The columns of these names, as the variables, and that of the groups.
    Columns(&'a [String], Option<GroupColumn<'a>>),
}

/// The numbers that stand for groups.
pub(crate) struct Numbered {
    numbers: HashMap<String, usize>,
    /// Whether there are no others.
    is_closed: bool,
}

impl Numbered {
    /// Without groups that are wanted, they count from 0 in the order in which they are met.
    pub(crate) fn new(wanted: Wanted<'_>) -> Self {
        let groups = match wanted {
            Wanted::Columns(_, Some(column)) => Some(column.groups),
            _ => None,
        };
        let numbers = groups.into_iter().flatten().enumerate().map(|(number, group)| (group.clone(), number));
        Numbered { numbers: numbers.collect(), is_closed: groups.is_some() }
    }

    /// Returns whether no groups but some are wanted.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Returns the number of a group; `None` if it is none of those that are wanted.
    pub(crate) fn of(&mut self, group: &str) -> Option<usize> {
        match self.numbers.get(group) {
            Some(&number) => Some(number),
            None if self.is_closed => None,
            None => {
                let number = self.numbers.len();
                self.numbers.insert(group.to_owned(), number);
                Some(number)
            }
        }
    }

    /// Returns the groups in the order of their numbers.
    pub(crate) fn into_groups(self) -> Vec<String> {
        let mut groups = vec![String::new(); self.numbers.len()];
        self.numbers.into_iter().for_each(|(group, number)| groups[number] = group);
        groups
    }

    /// Returns the error of a row whose group is none of those that are wanted.
    pub(crate) fn unknown(&self, path: &Path, row: usize, line: Option<u64>, column: &str, group: &str) -> Error {
        const SHOWN: usize = 10;
        let mut groups: Vec<(&String, &usize)> = self.numbers.iter().collect();
        groups.sort_by_key(|&(_, number)| number);
        let mut expected: Vec<String> = groups.iter().take(SHOWN).map(|(group, _)| (*group).clone()).collect();
        if groups.len() > SHOWN {
            expected.push(format!("and {} more", groups.len() - SHOWN));
        }
        let (path, column, expected) = (path.into(), column.into(), expected.join(", "));
        Error::UnknownGroup { path, row, line, column, group: group.into(), expected }
    }
}

/// The content of a table of either format.
pub(crate) struct Found {
    pub(crate) names: Vec<String>,
    pub(crate) roles: Roles,
    /// The columns of [`Roles::used`], `[rows]` each, all finite.
    pub(crate) values: Vec<Vec<f64>>,
    /// The number of rows that were kept, also where no column is used.
    pub(crate) rows: usize,
    /// The groups that the values of their column count from 0.
    pub(crate) labels: Vec<String>,
    pub(crate) dropped: Vec<usize>,
    pub(crate) text: Option<TextFormat>,
    pub(crate) warnings: Vec<TableWarning>,
}

impl Found {
    fn into_table(self, path: &Path, id: String, options: &TableOptions) -> Result<Table, Error> {
        let Found { names, roles, mut values, labels, rows, dropped, text, mut warnings } = self;
        let dropped_rows = dropped.len();
        if rows == 0 {
            return Err(Error::NoRows { path: path.into(), dropped: dropped_rows });
        }
        let mut used = roles.used();
        let groups = roles.group.map(|_| {
            used.pop();
            let label = |value: f64| labels[value as usize].clone();
            values.pop().expect("the last one used").into_iter().map(label).collect::<Vec<String>>()
        });
        let sigma = roles.sigma.map(|_| {
            used.pop();
            values.pop().expect("the last one used")
        });
        let weights = roles.weights.map(|index| (names[index].clone(), values.pop().expect("the last one used")));
        if let Some((column, weights)) = &weights
            && weights.iter().all(|&weight| weight == 0.0)
        {
            return Err(Error::NoWeight { path: path.into(), column: column.clone() });
        }
        warnings.extend(used.iter().zip(&values).filter_map(|(&index, values)| {
            let value = values[0];
            let is_constant = values.len() > 1 && values.iter().all(|&other| other == value);
            is_constant.then(|| TableWarning::Constant { column: names[index].clone(), value })
        }));
        let y = values.remove(0);
        let variables: Vec<String> = roles.variables.iter().map(|&index| names[index].clone()).collect();
        for (index, (column, values)) in variables.iter().zip(&values).enumerate() {
            warnings.extend(suspicion(index, column, values, &options.target));
        }
        let mut is_used = vec![false; names.len()];
        used.iter()
            .chain(&roles.group)
            .chain(&roles.weights)
            .chain(&roles.sigma)
            .for_each(|&index| is_used[index] = true);
        let unused =
            names.iter().zip(is_used).filter(|(_, is_used)| !is_used).map(|(column, _)| column.clone()).collect();
        let report = TableReport {
            target: options.target.clone(),
            weights: weights.as_ref().map(|(column, _)| column.clone()),
            sigma: options.sigma.clone(),
            group: options.group.clone(),
            rows: y.len(),
            variables: variables.clone(),
            text,
            unused,
            missing: options.missing,
            dropped_rows,
            dropped,
            warnings,
        };

        let x = Columns::from_fn(y.len(), values.len(), |row, column| values[column][row]);
        let operators = in_table_order(options.operators.clone());
        let problem = Problem {
            id,
            source: None,
            semantics: Semantics::Ieee,
            x,
            y,
            weights: by_sigma(weights.map(|(_, weights)| weights), sigma),
            operators: operators.clone(),
            constants: options.constants.clone(),
            sampler: Sampler::Fixed,
            seed: 0,
        };
        let target = options.target.clone();
        let origin = match text {
            Some(_) => Provenance::Csv { target, variables },
            None => Provenance::Parquet { target, variables },
        };
        let params = SetParams { operators, constants: options.constants.clone(), seed: 0, origin };
        Ok(Table { set: ProblemSet { params, problems: vec![problem] }, report, groups })
    }
}

/// Returns weights divided by σ², in units of the largest, so that all are finite.
fn by_sigma(weights: Option<Vec<f64>>, sigma: Option<Vec<f64>>) -> Option<Vec<f64>> {
    let Some(sigma) = sigma else { return weights };
    let least = sigma.iter().copied().fold(f64::INFINITY, f64::min);
    let mut product: Vec<f64> = sigma.into_iter().map(|sigma| (least / sigma).powi(2)).collect();
    if let Some(weights) = weights {
        product.iter_mut().zip(weights).for_each(|(product, weight)| *product *= weight);
    }
    Some(product)
}

/// Returns a warning if a variable's name is suspicious.
fn suspicion(index: usize, column: &str, values: &[f64], target: &str) -> Option<TableWarning> {
    let own = column.trim().strip_prefix('x').map(|rest| rest.strip_prefix('_').unwrap_or(rest));
    if own.is_some_and(|rest| rest.parse::<usize>().is_ok_and(|number| number != index)) {
        return Some(TableWarning::OtherVariable { column: column.into(), index });
    }
    let letters =
        |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    let (word, target) = (letters(column), letters(target));
    const ERROR: [&str; 9] = ["err", "error", "stderr", "sigma", "std", "unc", "uncertainty", "weight", "weights"];
    let is_error = ERROR.iter().any(|&error| {
        let rest = word.strip_prefix(error).or_else(|| word.strip_suffix(error));
        rest.is_some_and(|rest| rest.is_empty() || rest == target)
    });
    let also = [format!("e{target}"), format!("{target}se"), format!("{target}sd")];
    if is_error && !word.is_empty() || also.contains(&word) {
        return Some(TableWarning::ErrorColumn { column: column.into() });
    }
    const INDEX: [&str; 8] = ["index", "id", "rownames", "rowname", "row", "rowid", "level0", "no"];
    let counts = || values.windows(2).all(|pair| pair[1] == pair[0] + 1.0) && matches!(values[0], 0.0 | 1.0);
    (INDEX.contains(&&*word) && values.len() > 1 && counts()).then(|| TableWarning::RowNumber { column: column.into() })
}

/// The roles of a table's columns, as their indices.
#[derive(Debug, PartialEq)]
pub(crate) struct Roles {
    /// `None` where only columns are wanted.
    pub(crate) target: Option<usize>,
    pub(crate) variables: Vec<usize>,
    pub(crate) weights: Option<usize>,
    pub(crate) sigma: Option<usize>,
    pub(crate) group: Option<usize>,
}

impl Roles {
    /// Finds the columns' roles. `is_index` returns whether the file marks a column as its row index.
    pub(crate) fn of(
        path: &Path,
        names: &[String],
        options: &TableOptions,
        wanted: Wanted<'_>,
        is_index: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let at = |asked: &str| -> Vec<usize> { (0..names.len()).filter(|&index| names[index] == asked).collect() };
        let missing = |asked: &str, role| {
            let (asked, columns) = (asked.into(), names.to_vec());
            Error::NoColumn { path: path.into(), asked, role, columns }
        };
        let equal = |positions: Vec<usize>, may_go| Error::EqualNames {
            path: path.into(),
            column: names[positions[0]].clone(),
            positions: positions.into_iter().map(|index| index + 1).collect(),
            may_go,
        };
        let one = |asked: &str, role| match &*at(asked) {
            [] => Err(missing(asked, role)),
            &[index] => Ok(index),
            several => Err(equal(several.to_vec(), false)),
        };
        if let Wanted::Columns(columns, groups) = wanted {
            let variables =
                columns.iter().map(|column| one(column, "a variable of the formula")).collect::<Result<_, _>>()?;
            let group = groups.map(|groups| one(groups.name, "the groups of the formula")).transpose()?;
            return Ok(Roles { target: None, variables, weights: None, sigma: None, group });
        }
        // A whole element is tried first, because a name may contain commas.
        let split = |element: &str, role| -> Result<Vec<Vec<usize>>, Error> {
            let found = |asked: &str| match at(asked) {
                found if found.is_empty() => Err(missing(asked, role)),
                found => Ok(found),
            };
            match at(element) {
                whole if whole.is_empty() => element.split(',').map(|part| found(part.trim())).collect(),
                whole => Ok(vec![whole]),
            }
        };
        let twice = |index: usize, first, second| {
            Err(Error::TwoRoles { path: path.into(), column: names[index].clone(), first, second })
        };

        let mut dropped = vec![false; names.len()];
        for element in &options.drop {
            for index in split(element, "to be left out")?.into_iter().flatten() {
                dropped[index] = true;
            }
        }
        let target = one(&options.target, "the target")?;
        if dropped[target] {
            return twice(target, "the target", "left out");
        }
        let weights = options.weights.as_deref().map(|asked| one(asked, "the weights")).transpose()?;
        match weights {
            Some(index) if index == target => return twice(index, "the target", "the weights"),
            Some(index) if dropped[index] => return twice(index, "the weights", "left out"),
            _ => {}
        }
        let sigma = options.sigma.as_deref().map(|asked| one(asked, "the standard errors")).transpose()?;
        let group = options.group.as_deref().map(|asked| one(asked, "the groups")).transpose()?;
        let roles = [
            (Some(target), "the target"),
            (weights, "the weights"),
            (sigma, "the standard errors"),
            (group, "the groups"),
        ];
        for (place, &(index, role)) in roles.iter().enumerate().skip(2) {
            let Some(index) = index else { continue };
            if let Some(&(_, first)) = roles[..place].iter().find(|(other, _)| *other == Some(index)) {
                return twice(index, first, role);
            }
            if dropped[index] {
                return twice(index, role, "left out");
            }
        }
        let mut taken = vec![false; names.len()];
        let variables = match &options.features {
            Some(features) => {
                let mut variables = Vec::new();
                for element in features {
                    for positions in split(element, "a variable")? {
                        let &[index] = &*positions else { return Err(equal(positions, false)) };
                        match () {
                            () if index == target => return twice(index, "the target", "a variable"),
                            () if Some(index) == weights => return twice(index, "the weights", "a variable"),
                            () if Some(index) == sigma => return twice(index, "the standard errors", "a variable"),
                            () if Some(index) == group => return twice(index, "the groups", "a variable"),
                            () if dropped[index] => return twice(index, "a variable", "left out"),
                            () if taken[index] => return twice(index, "a variable", "another one"),
                            () => variables.push(index),
                        }
                        taken[index] = true;
                    }
                }
                variables
            }
            None => {
                let is_role = |index: usize| roles.iter().any(|(other, _)| *other == Some(index));
                let is_variable = |&index: &usize| !is_role(index) && !dropped[index];
                (0..names.len()).filter(is_variable).collect()
            }
        };
        if !(1..=usize::from(u16::MAX)).contains(&variables.len()) {
            return Err(Error::Variables { path: path.into(), found: variables.len() });
        }
        if options.features.is_none() {
            if let Some(&index) =
                variables.iter().find(|&&index| looks_like_index(&names[index]) || is_index(&names[index]))
            {
                let (column, position) = (names[index].clone(), index + 1);
                return Err(Error::RowIndex { path: path.into(), column, position });
            }
            let mut sorted = variables.clone();
            sorted.sort_by_key(|&index| &names[index]);
            if let Some(pair) = sorted.windows(2).find(|pair| names[pair[0]] == names[pair[1]]) {
                return Err(equal(at(&names[pair[0]]), true));
            }
        }
        Ok(Roles { target: Some(target), variables, weights, sigma, group })
    }

    /// Returns the columns whose numbers are needed: target, variables, weights, standard errors, groups.
    pub(crate) fn used(&self) -> Vec<usize> {
        let variables = self.variables.iter().copied();
        self.target.into_iter().chain(variables).chain(self.weights).chain(self.sigma).chain(self.group).collect()
    }

    /// Returns whether a column of [`used`](Self::used) is a variable of a problem, which may be left out.
    pub(crate) fn is_variable(&self, slot: usize) -> bool {
        self.target.is_some() && (1..=self.variables.len()).contains(&slot)
    }

    /// Returns what is wrong with a number in a column of [`used`](Self::used).
    pub(crate) fn fault(&self, slot: usize, value: f64) -> Option<&'static str> {
        let weights = usize::from(self.target.is_some()) + self.variables.len();
        let sigma = weights + usize::from(self.weights.is_some());
        if self.weights.is_some() && slot == weights && value < 0.0 {
            return Some("is a negative weight");
        }
        (self.sigma.is_some() && slot == sigma && value <= 0.0).then_some("is no standard error, which is above 0")
    }
}

/// Returns whether pandas or R gives the row index this name, in a file or on reading that file again.
fn looks_like_index(name: &str) -> bool {
    let numbered = |prefix: &str, suffix: &str| {
        let number = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
        number.is_some_and(|number| number.parse::<f64>().is_ok())
    };
    name.trim().is_empty() || numbered("Unnamed: ", "") || numbered("__index_level_", "__")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn options() -> TableOptions {
        TableOptions::new("y")
    }

    fn read_bytes(bytes: &[u8], options: &TableOptions) -> Result<Table, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flow.csv");
        fs::write(&path, bytes).unwrap();
        from_table(&path, options).map_err(|error| error.to_string())
    }

    fn read(text: &str, options: &TableOptions) -> Result<Table, String> {
        read_bytes(text.as_bytes(), options)
    }

    /// Variables' names, columns of x, and y.
    fn content(table: &Table) -> (Vec<&str>, Vec<&[f64]>, &[f64]) {
        let problem = &table.set.problems[0];
        let names = table.set.variable_names().unwrap().iter().map(String::as_str).collect();
        (names, (0..problem.x.n_columns()).map(|column| problem.x.column(column)).collect(), &problem.y)
    }

    fn separator(table: &Table) -> Separator {
        table.report.text.unwrap().separator
    }

    #[test]
    fn columns_keep_their_order_and_all_numbers_their_digits() {
        let table =
            read("\u{feff}speed, y ,area\n0.1,0.1,3\n-2e3,2,1e300\n1700000001,-0.5,1e-50\n", &options()).unwrap();
        let x: [&[f64]; 2] = [&[0.1, -2000.0, 1_700_000_001.0], &[3.0, 1e300, 1e-50]];
        assert_eq!(content(&table), (vec!["speed", "area"], x.to_vec(), &[0.1, 2.0, -0.5][..]));
        assert_eq!(table.set.problems[0].id, "flow");
        assert!(table.set.is_own_data() && table.set.problems[0].is_own_data());
        assert!(table.set.problems[0].instance().is_ok());
        let origin = Provenance::Csv { target: "y".into(), variables: vec!["speed".into(), "area".into()] };
        assert_eq!(table.set.params.origin, origin);
        assert_eq!(table.report.warnings, []);
    }

    #[test]
    fn the_separator_is_found_in_header_and_rows() {
        use Separator::*;
        for (text, expected) in [
            ("x,y\n1,2\n2,4\n", Comma),
            ("x;y\n1;2\n2;4\n", Semicolon),
            ("x\ty\n1\t2\n2\t4\n", Tab),
            ("x|y\n1|2\n2|4\n", Pipe),
            ("x | y\n1 | 2\n2 | 4\n", Pipe),
            ("x y\n1 2\n2 4\n", Blanks),
            ("  x     y\n  1.0   2\n 2.0 \t 4  \n", Blanks),
            // Consistent in blanks as well, but then the fields are no numbers.
            ("x, y\n1, 2\n2, 4\n", Comma),
            ("x; y\n1; 2\n2; 4\n", Semicolon),
            ("x;\"y\"\n1;2\n2;4", Semicolon),
            // The last line counts without its end too.
            ("a\tn,m\tx\ty\n1\t2\t1\t2\n1\t2\t2\t4", Tab),
            // What separates the words of another column separates no columns.
            ("x;y;what\n1;2;a, b\n2;4;c, d\n", Semicolon),
        ] {
            let options = TableOptions { features: Some(vec!["x".into()]), ..options() };
            let table = read(text, &options).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(content(&table), (vec!["x"], vec![&[1.0, 2.0][..]], &[2.0, 4.0][..]), "{text}");
            assert_eq!(separator(&table), expected, "{text}");
        }
        // It can be said where it cannot be found.
        let comma = TableOptions { separator: Some(Comma), drop: vec!["a;b".into()], ..options() };
        assert_eq!(content(&read("a;b,x,y\n1;2,3,4\n", &comma).unwrap()).1, [&[3.0]]);
        for (text, separator) in [(";", Semicolon), ("\t", Tab), ("\\t", Tab), ("blanks", Blanks), ("comma", Comma)] {
            assert_eq!(text.parse(), Ok(separator));
        }
        assert!("::".parse::<Separator>().is_err());
    }

    #[test]
    fn quotes_blanks_and_line_ends_are_not_part_of_a_field() {
        for text in [
            "x, \"y\"\n1, \"2\"\n2, \"4\"\n",
            "\"x\" , \"y\"\r\n\" 1\",\" 2\"\r\n \"2\" ,4",
            "\u{feff}\"x\",\"y\"\n1,2\n2,4\n",
            "x,y\r1,2\r2,4\r",
            "# a comment, with a comma\nx,y\n\n1,2\n   # another\n2,4\n\n",
            "\"x\" \"y\"\n\"1\" 2\n2 \"4\"\n",
        ] {
            let table = read(text, &options()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(content(&table), (vec!["x"], vec![&[1.0, 2.0][..]], &[2.0, 4.0][..]), "{text:?}");
        }
        let table = read("\u{feff}\"a,b\",\"y\"\r\n1,2\r\n2,4\r\n", &options()).unwrap();
        assert_eq!(content(&table).0, ["a,b"]);
        let table = read("\"say \"\"x\"\"\",\"of\ntwo\",y\n1,2,3\n", &options()).unwrap();
        assert_eq!(content(&table).0, ["say \"x\"", "of\ntwo"]);
        assert_eq!(read("# one\nx,y\n#2,3\n1,2\n", &options()).unwrap().report.text.unwrap().comments, 2);
        // A quote that opens in one row and is closed by the stray one of another swallows what is between them.
        let stray = TableOptions { drop: vec!["note".into()], ..options() };
        let message = read("x,y,note\n1,2,a\n3,4,\"b\n5,6,c\n7,8,\"d\n", &stray).unwrap_err();
        assert!(
            message.contains("line 5: there is text behind the closing quote of a field that line 3 opens"),
            "{message}"
        );
        let message = read("x,\"y\"z,y\n1,2,3\n", &options()).unwrap_err();
        assert!(message.contains("line 1: there is text behind the closing quote of a field"), "{message}");
        // A spreadsheet's error is a value, not a comment, in any language.
        for error in ["#DIV/0!", "#WERT!", "#BEZUG!", "#ZAHL!", "#SPILL!", "#¡DIV/0!", "#ИМЯ?", "#NAME?"] {
            let message = read(&format!("x,y\n1,2\n{error},2\n3,5\n"), &options()).unwrap_err();
            let expected = format!("row 2 (line 3), column x: \"{error}\" is not a finite number");
            assert!(message.contains(&expected), "{message}");
        }
        for missing in ["#N/A", "#NV", "#N/D", "#Н/Д"] {
            let message = read(&format!("x,y\n1,2\n{missing},2\n3,5\n"), &options()).unwrap_err();
            assert!(message.contains("row 2 (line 3), column x") && message.contains("missing"), "{message}");
        }
        let comma = TableOptions { decimal: Decimal::Comma, ..options() };
        let table = read("x,y\n\"1,5\",\"2,5\"\n\"2,5\",\"3,5\"\n", &comma).unwrap();
        assert_eq!(content(&table), (vec!["x"], vec![&[1.5, 2.5][..]], &[2.5, 3.5][..]));
        let message = read("x,y\n1,2\n#DIV/0!,2\n", &options()).unwrap_err();
        assert!(message.contains("row 2 (line 3), column x: \"#DIV/0!\" is not a finite number"), "{message}");
        assert_eq!(
            read("x,y\n1,2\n#N/A,2\n", &TableOptions { missing: Missing::Drop, ..options() }).unwrap().report.rows,
            1
        );
    }

    #[test]
    fn decimal_commas_are_read_on_demand_only() {
        let comma = TableOptions { decimal: Decimal::Comma, ..options() };
        for text in ["x;y\n1,5;2,25\n-2,0;4,0e0\n", "x\ty\n1,5\t2,25\n-2\t4\n", "x y\n1,5 2,25\n-2 4\n"] {
            let table = read(text, &comma).unwrap();
            assert_eq!(content(&table), (vec!["x"], vec![&[1.5, -2.0][..]], &[2.25, 4.0][..]), "{text}");
            let message = read(text, &options()).unwrap_err();
            assert!(
                message.contains("\"1,5\" is not a finite number; if the comma is the decimal sign, say --decimal ,")
            );
        }
        let message = read("x;y\n1.5;2\n", &comma).unwrap_err();
        assert!(message.contains("\"1.5\" has a point, but the decimal sign is a comma"), "{message}");
        let both = TableOptions { separator: Some(Separator::Comma), ..comma };
        assert!(read("x,y\n1,2\n", &both).unwrap_err().contains("the comma cannot be"));
    }

    #[test]
    fn missing_values_are_named_or_their_rows_left_out() {
        let drop = TableOptions { missing: Missing::Drop, ..options() };
        for word in
            ["", "NA", "n/a", "NaN", "nan", "null", "NULL", "None", "-", "?", ".", "#N/A", "<NA>", "NaT", "\"\""]
        {
            let text = format!("x,y\n1,2\n{word},4\n4,8\n5,{word}\n");
            let message = read(&text, &options()).unwrap_err();
            assert!(message.contains("row 2 (line 3), column x: the value is missing"), "{word}: {message}");
            assert!(message.contains("--missing drop"), "{message}");
            let table = read(&text, &drop).unwrap();
            assert_eq!(content(&table).1, [&[1.0, 4.0]], "{word}");
            assert_eq!((table.report.rows, table.report.dropped_rows), (2, 2));
        }
        let text = "x,y,w\n1,2,\n,4,1\n";
        assert_eq!(
            read(text, &TableOptions { drop: vec!["w".into()], ..drop.clone() }).unwrap().report.dropped_rows,
            1
        );
        let message = read(text, &drop).unwrap_err();
        assert!(message.contains("no rows of data are left: each of the 2 has a missing value"), "{message}");
        // What is wrong is not missing.
        assert!(
            read("x,y\n1,2\ninf,\n", &drop).unwrap_err().contains("row 2 (line 3), column x: \"inf\" is not a finite")
        );
    }

    #[test]
    fn the_only_row_counts_in_the_search_for_the_separator() {
        for end in ["", "\n", "\r\n"] {
            let table = read(&format!("a\tn,m\ty\n1\t2\t3{end}"), &options()).unwrap();
            assert_eq!((content(&table).0, separator(&table)), (vec!["a", "n,m"], Separator::Tab), "{end:?}");
        }
    }

    #[test]
    fn a_blank_line_of_one_column_is_a_missing_value_unless_no_row_follows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.csv");
        let columns = |text: &str, missing| {
            fs::write(&path, text).unwrap();
            let options = TableOptions { missing, ..TableOptions::new("") };
            columns_of_table(&path, &["a".to_owned()], None, &options).map_err(|error| error.to_string())
        };
        for (blank, line) in [("\n", 3), ("  \r\n", 3), ("\"\"\n", 3), ("# no\n\n# no\n", 4), ("# no\n\t \n\n", 4)] {
            let text = format!("a\n1\n{blank}4\n\n # no\n\n");
            let message = columns(&text, Missing::Refuse).unwrap_err();
            let expected = format!("row 2 (line {line}), column a: the value is missing (\"\")");
            assert!(message.contains(&expected), "{blank:?}: {message}");
            let found = columns(&text, Missing::Drop).unwrap();
            let dropped: &[usize] = if blank.ends_with("\n\n") && line == 4 { &[1, 2] } else { &[1] };
            assert_eq!((found.x.column(0), &*found.dropped), (&[1.0, 4.0][..], dropped), "{blank:?}");
        }
        // The lines of rows behind it are right.
        let message = columns("a\n1\n\n#\n\nword\n", Missing::Drop).unwrap_err();
        assert!(message.contains("row 4 (line 6), column a: \"word\" is not a finite number"), "{message}");
        // Blank lines before the header and at the end are none of a row's, nor are those in quotes or between several
        // columns.
        assert_eq!(columns("\n\na\n1\n2\n\n\n", Missing::Refuse).unwrap().rows, 2);
        assert_eq!(columns("\"b\n\n\",a\n1,2\n\n3,4\n", Missing::Refuse).unwrap().rows, 2);
    }

    #[test]
    fn columns_are_chosen_by_name() {
        let text = "id,x,w,\"a,b\",y\n7,1,0.5,3,2\n8,2,0,4,4\n";
        let with = |features: &[&str], drop: &[&str]| TableOptions {
            features: (!features.is_empty()).then(|| features.iter().map(|&name| name.into()).collect()),
            drop: drop.iter().map(|&name| name.into()).collect(),
            ..options()
        };
        let names = |options: &TableOptions| read(text, options).map(|table| table.report.variables);
        assert_eq!(names(&with(&["w,x"], &[])).unwrap(), ["w", "x"]);
        assert_eq!(names(&with(&["w", "a,b"], &[])).unwrap(), ["w", "a,b"]);
        assert_eq!(names(&with(&[], &["id", "a,b"])).unwrap(), ["x", "w"]);
        let table = read(text, &with(&["x"], &[])).unwrap();
        assert_eq!(table.report.unused, ["id", "w", "a,b"]);
        let weighted = TableOptions { weights: Some("w".into()), ..options() };
        let table = read(text, &weighted).unwrap();
        assert_eq!(
            (content(&table).0, table.set.problems[0].weights.as_deref()),
            (vec!["id", "x", "a,b"], Some(&[0.5, 0.0][..]))
        );
        assert_eq!(table.report.weights.as_deref(), Some("w"));

        for (options, expected) in [
            (with(&["z"], &[]), "there is no column \"z\" (a variable); the columns are id, x, w, \"a,b\", y"),
            (with(&[], &["z"]), "there is no column \"z\" (to be left out)"),
            (with(&["y"], &[]), "column y cannot be the target and a variable"),
            (with(&["x,x"], &[]), "column x cannot be a variable and another one"),
            (with(&["x"], &["x"]), "column x cannot be a variable and left out"),
            (with(&[], &["y"]), "column y cannot be the target and left out"),
            (with(&[], &["id,x,w", "a,b"]), "0 columns beside the target"),
            (TableOptions { weights: Some("y".into()), ..options() }, "column y cannot be the target and the weights"),
            (TableOptions { weights: Some("q".into()), ..options() }, "there is no column \"q\" (the weights)"),
            (TableOptions { weights: Some("w".into()), ..with(&["w"], &[]) }, "the weights and a variable"),
        ] {
            let message = names(&options).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        for (text, expected) in [
            ("x,w,y\n1,1,1\n2,-1,1\n", "row 2 (line 3), column w: \"-1\" is a negative weight"),
            ("x,w,y\n1,0,1\n2,0,1\n", "column w: every weight is 0"),
        ] {
            assert!(read(text, &weighted).unwrap_err().contains(expected));
        }
    }

    #[test]
    fn standard_errors_are_weights_and_groups_are_labels() {
        let text = "x,s,w,run,y\n1,0.5,1,north,1\n2,1,2,south 2,3\n3,2,0,north,4\n";
        let both = TableOptions { sigma: Some("s".into()), weights: Some("w".into()), ..options() };
        let all = TableOptions { group: Some("run".into()), ..both.clone() };
        let table = read(text, &all).unwrap();
        assert_eq!(content(&table).0, ["x"]);
        // 1/σ² relative to the largest, by the weight.
        assert_eq!(table.set.problems[0].weights.as_deref(), Some(&[1.0, 0.5, 0.0][..]));
        assert_eq!(table.groups.as_deref(), Some(&["north", "south 2", "north"].map(String::from)[..]));
        assert_eq!((table.report.sigma.as_deref(), table.report.group.as_deref()), (Some("s"), Some("run")));
        let sigma = TableOptions { weights: None, drop: vec!["w,run".into()], ..both.clone() };
        let alone = read(text, &sigma).unwrap();
        assert_eq!(alone.set.problems[0].weights.as_deref(), Some(&[1.0, 0.25, 0.0625][..]));
        assert_eq!(alone.groups, None);
        for (text, options, expected) in [
            (
                "x,s,y\n1,1,1\n2,0,1\n",
                sigma.clone(),
                "row 2 (line 3), column s: \"0\" is no standard error, which is above 0",
            ),
            ("x,s,y\n1,-1,1\n", sigma.clone(), "row 1 (line 2), column s: \"-1\" is no standard error"),
            ("x,s,y\n1,nan,1\n", sigma.clone(), "row 1 (line 2), column s"),
            ("x,t,y\n1,1,1\n", sigma.clone(), "there is no column \"s\" (the standard errors)"),
            ("x,s,w,run,y\n1,1,1,,1\n", all.clone(), "row 1 (line 2), column run"),
            ("x,s,w,run,y\n1,1,1,NA,1\n", all.clone(), "row 1 (line 2), column run: the value is missing (\"NA\")"),
            (
                "x,s,w,run,y\n1,1,1,\"nan\",1\n",
                all.clone(),
                "row 1 (line 2), column run: the value is missing (\"nan\")",
            ),
            ("x,s,w,y\n1,1,1,1\n", all.clone(), "there is no column \"run\" (the groups)"),
            (
                text,
                TableOptions { group: Some("s".into()), ..all.clone() },
                "column s cannot be the standard errors and the groups",
            ),
            (
                text,
                TableOptions { sigma: Some("y".into()), ..all.clone() },
                "column y cannot be the target and the standard errors",
            ),
            (
                text,
                TableOptions { drop: vec!["run".into()], ..all.clone() },
                "column run cannot be the groups and left out",
            ),
            (
                text,
                TableOptions { features: Some(vec!["run".into()]), ..all },
                "column run cannot be the groups and a variable",
            ),
        ] {
            let options = TableOptions { drop: if text.contains("run") { options.drop } else { vec![] }, ..options };
            let message = read(text, &options).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn names_that_cannot_be_told_apart_and_row_indices_are_refused() {
        for (text, expected) in [
            (
                "x,x,y\n1,5,6\n",
                "2 columns are called \"x\" (columns 1, 2); rename them, or leave all of that name out with --drop x",
            ),
            ("y,x,y\n1,2,3\n", "2 columns are called \"y\" (columns 1, 3); rename them"),
            (
                ",x,y\n0,1,2\n1,2,3\n",
                "column 1, called \"\", looks like a row index and not like a variable; leave it out with --drop ''",
            ),
            ("\"\" \"x\" \"y\"\n\"1\" 1 2\n", "column 1, called \"\", looks like a row index"),
            ("Unnamed: 0,x,y\n0,1,2\n", "--drop 'Unnamed: 0', or choose variables with --features"),
            ("x,y,__index_level_0__\n0,1,2\n", "column 3, called \"__index_level_0__\""),
        ] {
            let message = read(text, &options()).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        let drop = |name: &str| TableOptions { drop: vec![name.into()], ..options() };
        assert_eq!(content(&read(",x,y\n0,1,2\n", &drop("")).unwrap()).1, [&[1.0]]);
        assert_eq!(content(&read("x,a,x,y\n1,5,2,6\n", &drop("x")).unwrap()).1, [&[5.0]]);
        let chosen = TableOptions { features: Some(vec!["Unnamed: 0".into()]), ..options() };
        assert_eq!(content(&read("Unnamed: 0,x,y\n7,1,2\n", &chosen).unwrap()).1, [&[7.0]]);
    }

    #[test]
    fn a_table_without_a_header_is_read_on_demand_only() {
        let text = "10,10,13.3,10\n11,10,13.3,10.1\n12,10,13.3,10.2\n";
        let message = read(text, &TableOptions::new("10")).unwrap_err();
        let expected =
            "the first row holds only numbers (10, 10, 13.3, 10); if the file has no header, say --no-header";
        assert!(message.contains(expected), "{message}");
        assert_eq!(read("1,5;2\n2,5;3\n", &options()).unwrap_err().matches("only numbers").count(), 1);
        let headless = TableOptions { header: false, ..TableOptions::new("column4") };
        let table = read(text, &headless).unwrap();
        let x: [&[f64]; 3] = [&[10.0, 11.0, 12.0], &[10.0; 3], &[13.3; 3]];
        assert_eq!(content(&table), (vec!["column1", "column2", "column3"], x.to_vec(), &[10.0, 10.1, 10.2][..]));
        let message = read("a,1.5,2\nb,2.5,3\n", &options()).unwrap_err();
        assert!(message.contains("the columns are a, 1.5, 2; if the file has no header, say --no-header"), "{message}");
    }

    #[test]
    fn what_is_probably_not_meant_is_told() {
        let warnings = |text: &str| -> Vec<String> {
            read(text, &options()).unwrap().report.warnings.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            warnings("x,y\n9007199254740993,1\n9007199254740994,2\n"),
            ["column x, row 1: 9007199254740993 has more digits than a 64-bit float and becomes 9007199254740992.0"]
        );
        assert_eq!(
            warnings("x,y\n1,1e-400\n2,2\n3,0e-5\n"),
            ["column y, row 1: 1e-400 has more digits than a 64-bit float and becomes 0.0"]
        );
        assert_eq!(warnings("x,y\n9007199254740992,1\n90071992547409920,0.0000\n"), [""; 0]);
        assert_eq!(warnings("x,z,y\n1,0,1\n2,0,1\n"), ["column y is 1.0 in every row", "column z is 0.0 in every row"]);
        assert_eq!(
            warnings("a+b,a,2x,x0,y\n1,2,3,4,3\n2,4,1,1,6\n"),
            [
                "column x0 is the variable x3: formulas with the names of columns have it in backticks, `x0`, those without as x3"
            ]
        );
        assert_eq!(warnings("x0,x1,x_2,y\n1,2,3,4\n2,3,5,6\n"), [""; 0]);
        let [comment, error] = &*warnings("d N y yerr\n2 100 0.192 0.041\n#64 40 17.3 0.5\n4 400 0.107 0.020\n") else {
            panic!()
        };
        assert!(error.contains("column yerr is a variable, but its name is that of an error"), "{error}");
        let expected =
            "line 3 begins with # and is left out as a comment, but it has as many fields as a row (1 such line)";
        assert!(comment.contains(expected), "{comment}");
        assert_eq!(
            warnings("id,x,y\n#1,1,2\n#2,2,4\n3,3,5\n4,4,6\n")[0].split(';').next(),
            Some(
                "line 2 begins with # and is left out as a comment, but it has as many fields as a row (2 such lines)"
            )
        );
        assert_eq!(warnings("# x, y\nx,y\n# of 3, all good, but one\n1,2\n2,3\n"), [""; 0]);
        assert_eq!(
            read("x,y,note\n1,2,a\n3,4,\"b\nc\"\n", &TableOptions { drop: vec!["note".into()], ..options() })
                .unwrap()
                .report
                .warnings[0]
                .to_string(),
            "a quoted field goes from line 3 to line 4; if that is no text of several lines, a quote is stray"
        );
        let [index] = &*warnings("rownames,girth,y\n1,8.3,10.3\n2,8.6,10.2\n3,8.8,10.2\n") else { panic!() };
        assert!(index.contains("column rownames is a variable, but it only counts the rows"), "{index}");
        assert_eq!(warnings("t,y\n1,8\n2,9\n"), [""; 0]);
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.csv");
        let columns = |text: &str, names: &[&str]| {
            fs::write(&path, text).unwrap();
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            columns_of_table(&path, &names, None, &TableOptions::new("")).map_err(|error| error.to_string())
        };
        let found = columns("c,note,a\n1,x,2\n3,,4\n", &["a", "c"]).unwrap();
        assert_eq!((found.x.column(0), found.x.column(1), found.rows), (&[2.0, 4.0][..], &[1.0, 3.0][..], 2));
        let none = columns("note\nx\ny\n", &[]).unwrap();
        assert_eq!((none.rows, none.x.n_rows(), none.x.n_columns()), (2, 2, 0));
        for (text, expected) in [
            ("c,b\n1,2\n", "there is no column \"a\" (a variable of the formula); the columns are c, b"),
            ("a,a\n1,2\n", "2 columns are called \"a\" (columns 1, 2); rename them"),
            ("a\nhello\n", "row 1 (line 2), column a: \"hello\" is not a finite number"),
            ("a,c\n1,2,3\n", "row 1 (line 2) has 3 fields, expected 2"),
            ("a,c\n1\n", "row 1 (line 2) has 1 field, expected 2"),
            ("a\n", "no rows of data"),
        ] {
            let message = columns(text, &["a"]).unwrap_err();
            assert!(message.contains(expected) && !message.contains("--drop"), "{message}");
        }
    }

    #[test]
    fn groups_of_a_formula_are_found_by_their_names_and_others_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.csv");
        let groups = ["south", "north 2"].map(String::from);
        let columns = |text: &str, missing| {
            fs::write(&path, text).unwrap();
            let column = GroupColumn { name: "run", groups: &groups };
            let options = TableOptions { missing, ..TableOptions::new("") };
            columns_of_table(&path, &["a".to_owned()], Some(column), &options).map_err(|error| error.to_string())
        };
        let found = columns("run,a\nnorth 2,1\n south ,2\nnorth 2,3\n", Missing::Refuse).unwrap();
        assert_eq!((found.groups, found.x.column(0)), (vec![1, 0, 1], &[1.0, 2.0, 3.0][..]));
        // What is missing is no group.
        for word in ["NA", "null", "NaN", "None", "#N/A", "?", "\"\""] {
            let text = format!("run,a\nsouth,1\n{word},2\n");
            let message = columns(&text, Missing::Refuse).unwrap_err();
            assert!(message.contains("row 2 (line 3), column run: the value is missing"), "{message}");
            let found = columns(&text, Missing::Drop).unwrap();
            assert_eq!((found.groups, found.dropped), (vec![0], vec![1]), "{word}");
        }
        // A row that is left out may be of any group.
        let found = columns("run,a\nwest,\nsouth,2\n", Missing::Drop).unwrap();
        assert_eq!((found.groups, found.dropped.len()), (vec![0], 1));
        for (text, expected) in [
            (
                "run,a\nsouth,1\n\nwest,2\neast,3\n",
                "row 2 (line 4), column run: \"west\" is no group of the fit, whose groups are south, north 2",
            ),
            ("run,a\n,1\n", "row 1 (line 2), column run: the value is missing"),
            ("a\n1\n", "there is no column \"run\" (the groups of the formula)"),
        ] {
            let message = columns(text, Missing::Refuse).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn booleans_are_0_and_1() {
        let table = read("x,y\nTrue,1\nfalse,2\nTRUE,3\n", &options()).unwrap();
        assert_eq!(content(&table).1, [&[1.0, 0.0, 1.0]]);
    }

    #[test]
    fn bad_data_is_named() {
        for (text, expected) in [
            (
                "x,y\n1,2\n\nhello,3\n",
                "row 2 (line 4), column x: \"hello\" is not a finite number; a column that is no variable is left out with --drop x",
            ),
            ("\u{feff}x,y\r\n1,2\r\n\r\nhello,3\r\n", "row 2 (line 4), column x: \"hello\""),
            ("x,\"y\n\"\n1,2\n\n#\nhello,3\n", "row 2 (line 6), column x: \"hello\""),
            ("\"x\nx\",y\n1,2\n\n#\nhello,3", "row 2 (line 6), column \"x\\nx\": \"hello\""),
            ("x,y\n1,-inf\n", "row 1 (line 2), column y: \"-inf\" is not a finite number"),
            ("x,y\n1e400,3\n", "column x: \"1e400\" is not a finite number"),
            ("x,y\n1_000,3\n", "column x: \"1_000\" is not a finite number"),
            ("x,y\n0x10,3\n", "column x: \"0x10\" is not a finite number"),
            ("x,y\n1,2\n1,2,3\n", "row 2 (line 3) has 3 fields, expected 2; the separator is comma"),
            ("x;y\n1;2;3\n", "row 1 (line 2) has 3 fields, expected 2; the separator is semicolon"),
            (
                "\"x\" \"y\"\n\"1\" 3 4\n\"2\" 5 6\n",
                "row 1 (line 2) has 3 fields, expected 2; the separator is blanks, and a name may be missing",
            ),
            ("sep=;\nx;y\n1;2\n", "line 1 says sep= to a spreadsheet; delete it"),
            ("x,z\n1,2\n", "there is no column \"y\" (the target); the columns are x, z"),
            ("y\n1\n", "0 columns beside the target"),
            ("x,y\n", "no rows of data"),
            ("", "the file is empty"),
            ("\u{feff}", "the file is empty"),
            ("\n# nothing\n\n", "there are only blank lines and comments"),
            ("x,y\n1,\"2\n3,4\n", "the quote that line 2 opens is not closed"),
            ("PK\u{3}\u{4}rest", "an Excel workbook"),
            ("x,y\n1\0,2\0\n", "NUL bytes"),
        ] {
            let message = read(text, &options()).expect_err(text);
            assert!(message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1);
        }
        let missing = from_table(Path::new("no/such.csv"), &options()).unwrap_err().to_string();
        assert!(missing.starts_with("no/such.csv: cannot read"), "{missing}");
    }

    #[test]
    fn only_variables_are_left_out() {
        let message = read("x,y\n1,low\n", &options()).unwrap_err();
        assert!(message.ends_with("row 1 (line 2), column y: \"low\" is not a finite number"), "{message}");
        // What else could be left out does not include the target.
        let message = read("x,y,z\na,low,b\n", &options()).unwrap_err();
        let expected = "column x: \"a\" is not a finite number; column z holds words too; columns that are no variables are \
                        left out with --drop 'x,z'";
        assert!(message.ends_with(expected), "{message}");
        let weighted = TableOptions { weights: Some("w".into()), ..options() };
        let message = read("x,w,y\n1,low,2\n", &weighted).unwrap_err();
        assert!(message.ends_with("column w: \"low\" is not a finite number"), "{message}");
    }

    #[test]
    fn text_that_is_not_utf_8_is_named() {
        for (bytes, expected) in [
            (
                &b"x,h\xf6he,y\n1,2,3\n"[..],
                "line 1 is not UTF-8 (byte 0xf6), perhaps Latin-1 or Windows-1252; convert it",
            ),
            (b"x,y\n1,2\n\xa02,4\n", "line 3 is not UTF-8 (byte 0xa0)"),
            (b"\xff\xfex\0,\0y\0\n\0", "UTF-16"),
        ] {
            let message = read_bytes(bytes, &options()).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        // Where no name and no number is, it does not matter.
        let drop = TableOptions { drop: vec!["what".into()], ..options() };
        assert_eq!(read_bytes(b"x,what,y\n1,h\xf6he,3\n", &drop).unwrap().report.rows, 1);
    }

    #[test]
    fn wide_tables_are_read_and_too_wide_ones_refused_in_a_short_line() {
        let wide = |columns: usize| {
            let header: Vec<String> = (0..columns).map(|index| format!("c{index}")).chain(["y".into()]).collect();
            let row = |value: usize| vec![value.to_string(); columns + 1].join(",");
            format!("{}\n{}\n{}\n", header.join(","), row(1), row(2))
        };
        assert_eq!(read(&wide(65_535), &options()).unwrap().report.variables.len(), 65_535);
        let message = read(&wide(65_536), &options()).unwrap_err();
        assert!(message.contains("65536 columns beside the target, expected 1 to 65535"), "{message}");
        let message = read(&wide(300), &TableOptions::new("z")).unwrap_err();
        assert!(message.contains("c19 and 281 more") && message.len() < 300, "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_read_and_a_name_that_is_no_text_refused() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(OsStr::from_bytes(b"h\xf6he.csv"));
        fs::write(&path, "x,y\n1,2\n").unwrap();
        assert!(from_table(&path, &options()).unwrap_err().to_string().contains("name is not UTF-8"));

        let pipe = folder.path().join("pipe.csv");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo starts");
        assert!(made.success());
        std::thread::scope(|scope| {
            scope.spawn(|| fs::write(&pipe, "x,y\n1,2\n3,4\n").unwrap());
            assert_eq!(content(&from_table(&pipe, &options()).unwrap()).1, [&[1.0, 3.0]]);
        });
    }
}
