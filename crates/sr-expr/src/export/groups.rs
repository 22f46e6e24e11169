//! The table of constants that differ between groups of rows, behind an expression.

use std::fmt::{Formatter, Result};

use super::infix::Syntax;
use super::{Export, Target, json, latex, mathml, names};
use crate::python_float;

/// Writes the table, if there is one. In SymPy it is part of the only line, see [`comment`].
pub(super) fn write(export: &Export<'_>, identifiers: &[String], f: &mut Formatter<'_>) -> Result {
    let Some(table) = export.groups else { return Ok(()) };
    let n_own = table.values.first().map_or(0, Vec::len);
    let own = &identifiers[identifiers.len().saturating_sub(n_own)..];
    let function = names::function(export.target, export.function);
    let rows = || table.groups.iter().zip(table.values);
    let title = format!("{} of each group of {:?}", own.join(", "), table.name);
    match export.target {
        Target::Latex => {
            let number = |value: &f64| match latex::number(*value) {
                Syntax::Number(text, is_negative, _) => format!("{}{text}", if is_negative { "-" } else { "" }),
                _ => unreachable!("a number has the syntax of one"),
            };
            let row = |name: &str, cells: Vec<String>| {
                let cells: Vec<String> = std::iter::once(latex::verbatim(name)).chain(cells).collect();
                cells.join(" & ")
            };
            writeln!(f, "\\qquad\n\\begin{{array}}{{l{}}}", "r".repeat(n_own))?;
            write!(f, "{} \\\\ \\hline", row(table.name, own.to_vec()))?;
            for (place, (group, values)) in rows().enumerate() {
                let end = if place == 0 { "" } else { " \\\\" };
                write!(f, "{end}\n{}", row(group, values.iter().map(number).collect()))?;
            }
            f.write_str("\n\\end{array}\n")
        }
        Target::MathMl => {
            let row = |name: &str, cells: Vec<String>| {
                let cells: Vec<String> = std::iter::once(mathml::verbatim(name)).chain(cells).collect();
                format!("<mtr><mtd>{}</mtd></mtr>", cells.join("</mtd><mtd>"))
            };
            write!(f, "<math><mtable>{}", row(table.name, own.to_vec()))?;
            for (group, values) in rows() {
                f.write_str(&row(group, values.iter().map(|&value| mathml::signed(value)).collect()))?;
            }
            f.write_str("</mtable></math>\n")
        }
        Target::Numpy => {
            writeln!(f, "\n\n# {title}\n{function}_constants = {{")?;
            for (group, values) in rows() {
                // A comma behind the last one, or one number alone would be no tuple.
                let values: String =
                    values.iter().map(|&value| format!("{}, ", number(value, "np.nan", "np.inf"))).collect();
                writeln!(
                    f,
                    "    {}: ({}),",
                    json::string(group),
                    values.trim_end_matches(if n_own > 1 { ", " } else { " " })
                )?;
            }
            f.write_str("}\n")
        }
        Target::Rust => {
            let name = format!("{}_CONSTANTS", function.to_uppercase());
            writeln!(f, "\n/// {title}.\npub const {name}: [(&str, [f64; {n_own}]); {}] = [", table.groups.len())?;
            for (group, values) in rows() {
                writeln!(f, "    ({group:?}, [{}]),", list(values, "f64::NAN", "f64::INFINITY"))?;
            }
            f.write_str("];\n")
        }
        Target::C => {
            writeln!(f, "\n// {title}\nconst struct {{ const char *group; double constants[{n_own}]; }}")?;
            writeln!(f, "{function}_constants[{}] = {{", table.groups.len())?;
            for (group, values) in rows() {
                writeln!(f, "    {{{}, {{{}}}}},", c_string(group), list(values, "NAN", "INFINITY"))?;
            }
            f.write_str("};\n")
        }
        // Part of the only line.
        Target::Sympy | Target::Json => Ok(()),
    }
}

/// Returns the table as a comment on the same line.
pub(super) fn comment(export: &Export<'_>, identifiers: &[String]) -> Option<String> {
    let table = export.groups?;
    let n_own = table.values.first().map_or(0, Vec::len);
    let own = identifiers[identifiers.len().saturating_sub(n_own)..].join(", ");
    let row = |(group, values): (&String, &Vec<f64>)| format!("{group:?}: {}", list(values, "nan", "oo"));
    let rows: Vec<String> = table.groups.iter().zip(table.values).map(row).collect();
    Some(format!("{own} by {:?}: {}", table.name, rows.join(", ")))
}

/// Returns the table as a field of the object.
pub(super) fn field(export: &Export<'_>, columns: &[String]) -> Option<String> {
    let table = export.groups?;
    let n_own = table.values.first().map_or(0, Vec::len);
    let strings = |names: &[String]| names.iter().map(|name| json::string(name)).collect::<Vec<_>>().join(", ");
    let row = |(group, values): (&String, &Vec<f64>)| {
        let values: Vec<String> = values.iter().map(|&value| json::number(value)).collect();
        format!("{{\"group\": {}, \"values\": [{}]}}", json::string(group), values.join(", "))
    };
    let rows: Vec<String> = table.groups.iter().zip(table.values).map(row).collect();
    let (name, own) = (json::string(table.name), strings(&columns[columns.len().saturating_sub(n_own)..]));
    Some(format!("{{\"name\": {name}, \"constants\": [{own}], \"values\": [{}]}}", rows.join(", ")))
}

fn list(values: &[f64], nan: &str, infinity: &str) -> String {
    values.iter().map(|&value| number(value, nan, infinity)).collect::<Vec<_>>().join(", ")
}

/// Returns a number with a point or an exponent.
fn number(value: f64, nan: &str, infinity: &str) -> String {
    match value {
        value if value.is_nan() => nan.to_owned(),
        f64::INFINITY => infinity.to_owned(),
        f64::NEG_INFINITY => format!("-{infinity}"),
        value => python_float(value),
    }
}

/// Returns text as a string of C.
fn c_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            // `??` may begin another character.
            '"' | '\\' | '?' => quoted.extend(['\\', c]),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\{:03o}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
