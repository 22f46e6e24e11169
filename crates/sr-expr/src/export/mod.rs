//! Expressions as texts of other systems, one file a target.
//!
//! All targets but JSON share [`infix`]: a target says what each node is (a sum, a power, a call), and the writer puts
//! signs and the fewest parentheses that keep the meaning. Names of columns become identifiers in [`names`].

mod c;
mod groups;
mod infix;
mod json;
mod latex;
mod mathml;
mod names;
mod numpy;
mod rust;
mod sympy;

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::{Semantics, Tree};
use names::Identifiers;

/// A system that exported expressions are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Mathematics of LaTeX with amsmath, without dollar signs.
    Latex,
    /// A `math` element, which HTML pages can have.
    MathMl,
    /// One line for `sympy.sympify`.
    Sympy,
    /// A Python function of NumPy arrays.
    Numpy,
    /// A Rust function of `f64`.
    Rust,
    /// A C99 function of `double`.
    C,
    /// A JSON object, on one line.
    Json,
}

impl Target {
    /// All targets.
    pub const ALL: [Target; 7] =
        [Target::Latex, Target::MathMl, Target::Sympy, Target::Numpy, Target::Rust, Target::C, Target::Json];

    /// Returns the name that flags use: `latex`, `mathml`, `sympy`, `numpy`, `rust`, `c` or `json`.
    pub fn name(self) -> &'static str {
        match self {
            Target::Latex => "latex",
            Target::MathMl => "mathml",
            Target::Sympy => "sympy",
            Target::Numpy => "numpy",
            Target::Rust => "rust",
            Target::C => "c",
            Target::Json => "json",
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads a name of [`Target::name`].
impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Target::ALL.into_iter().find(|target| target.name() == text);
        found.ok_or_else(|| format!("expected one of {}", Target::ALL.map(Target::name).join(", ")))
    }
}

impl Tree {
    /// Returns the expression as text for another system, with the values that it has under these semantics.
    ///
    /// Constants have the digits that read back to the same 64 bits. The guarded operators of
    /// [`Semantics::Protected`] are defined in the text. Texts for [`Target::Numpy`], [`Target::Rust`] and
    /// [`Target::C`] are functions of all columns, in their order, that compile alone or one after another.
    ///
    /// ```
    /// use sr_expr::{Expr, Semantics, Target};
    ///
    /// let expr: Expr = "x0*x0 / (x1 - -1.5)".parse()?;
    /// let names = ["θ", "flow rate"].map(String::from);
    /// let export = |target| expr.export(target, Semantics::Ieee).with_names(&names).to_string();
    /// assert_eq!(export(Target::Latex), "% \\theta: \"θ\"\n\\frac{\\theta^{2}}{\\mathrm{flow\\ rate} + 1.5}\n");
    /// assert_eq!(export(Target::Sympy), "theta**2/(flow_rate + 1.5)  # theta: \"θ\", flow_rate: \"flow rate\"\n");
    /// # Ok::<(), sr_expr::ParseError>(())
    /// ```
    pub fn export(&self, target: Target, semantics: Semantics) -> Export<'_> {
        Export { tree: self, target, semantics, names: &[], function: "f", title: None, groups: None }
    }
}

/// An expression to be written as text of another system, see [`Tree::export`].
///
/// Writing takes O(size + columns) and no recursion: depth is limited by memory alone. In functions, what is nested
/// deeply is a local variable of its own, so that compilers can read it; texts of LaTeX, MathML, SymPy and JSON are as deep as
/// the expression.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    tree: &'a Tree,
    target: Target,
    semantics: Semantics,
    names: &'a [String],
    function: &'a str,
    title: Option<&'a str>,
    groups: Option<GroupConstants<'a>>,
}

/// The values of the last variables of an expression, which are constants that differ between groups of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupConstants<'a> {
    /// The name of the groups, that of their column.
    pub name: &'a str,
    /// The groups, `[groups]`.
    pub groups: &'a [String],
    /// The values of each group, `[groups, constants]`: those of the last variables, in their order.
    pub values: &'a [Vec<f64>],
}

impl<'a> Export<'a> {
    /// Sets the names of the columns `x0`, `x1`, …; a column beyond them keeps its own.
    ///
    /// Any text may be a name. [`Export::identifiers`] are what the target has in its place, and the text says which
    /// is which where they differ.
    pub fn with_names(self, names: &'a [String]) -> Self {
        Export { names, ..self }
    }

    /// Sets the name of the function, `f` by default. It is changed to an identifier as names of columns are.
    pub fn with_function(self, function: &'a str) -> Self {
        Export { function, ..self }
    }

    /// Sets a title, which is a comment above the text, and a field in JSON.
    pub fn with_title(self, title: &'a str) -> Self {
        Export { title: Some(title), ..self }
    }

    /// Adds a table of the last variables' values in each group: a constant in the languages, an array in LaTeX, a
    /// table in MathML, a comment in SymPy, and a field in JSON.
    pub fn with_groups(self, groups: GroupConstants<'a>) -> Self {
        Export { groups: Some(groups), ..self }
    }

    /// Returns for each column what stands for it in the text: distinct, and no word that has a meaning there.
    pub fn identifiers(&self) -> Vec<String> {
        Identifiers::new(self.target, self.names, self.n_columns()).columns
    }

    fn n_columns(&self) -> usize {
        self.names.len().max(self.tree.n_variables())
    }

    /// Returns the title as one line that no target takes for anything but a comment.
    fn title_line(&self) -> Option<String> {
        let line: String = self.title?.chars().flat_map(printable).collect();
        // A backslash at the end of a line goes on with the comment in C, as does the trigraph for it.
        Some(if line.ends_with('\\') || line.ends_with('/') { line + " ." } else { line })
    }

    /// Returns the lines that say which identifier stands for which column, of those with one of these indices.
    fn mapping(&self, identifiers: &Identifiers, columns: impl IntoIterator<Item = usize>) -> Vec<String> {
        let mapped = columns.into_iter().filter(|&column| identifiers.is_mapped[column]);
        mapped.map(|column| format!("{}: {:?}", identifiers.columns[column], self.names[column])).collect()
    }

    /// Returns for each column whether the expression has it.
    fn used(&self) -> Vec<bool> {
        let mut used = vec![false; self.n_columns()];
        for node in self.tree.nodes() {
            if let crate::Node::Var(index) = node {
                used[usize::from(*index)] = true;
            }
        }
        used
    }

    /// Returns the columns that the expression has.
    fn used_columns(&self) -> impl Iterator<Item = usize> {
        self.used().into_iter().enumerate().filter_map(|(column, is_used)| is_used.then_some(column))
    }
}

/// Returns a character as it may stand in a comment: line ends, and what changes the direction of text, are escaped.
fn printable(c: char) -> impl Iterator<Item = char> {
    let is_plain = c.is_alphanumeric() || matches!(c, ' ' | '"' | '\'' | '\\');
    let (plain, escaped) = if is_plain { (Some(c), None) } else { (None, Some(c.escape_debug())) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

impl Display for Export<'_> {
    /// Writes the text, which ends with a line end.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Latex => latex::write(self, f),
            Target::MathMl => mathml::write(self, f),
            Target::Sympy => sympy::write(self, f),
            Target::Numpy => numpy::write(self, f),
            Target::Rust => rust::write(self, f),
            Target::C => c::write(self, f),
            Target::Json => json::write(self, f),
        }
    }
}

/// Writes lines as comments.
fn comments(f: &mut Formatter<'_>, sign: &str, lines: impl IntoIterator<Item = String>) -> fmt::Result {
    lines.into_iter().try_for_each(|line| writeln!(f, "{sign} {line}"))
}

/// Returns a function's head: on one line, or with one parameter a line if that would be too long.
fn head(open: &str, parameters: &[String], close: &str) -> String {
    const WIDTH: usize = 100;
    let line = format!("{open}{}{close}", parameters.join(", "));
    if line.chars().count() <= WIDTH {
        return line;
    }
    format!("{open}\n    {}\n{close}", parameters.join(",\n    "))
}
