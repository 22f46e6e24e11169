//! JSON: the tree, operators before their operands, as one object on one line.

use std::fmt::{Formatter, Result};

use super::names::own;
use super::{Export, groups};
use crate::{Node, python_float};

pub(super) fn write(export: &Export<'_>, f: &mut Formatter<'_>) -> Result {
    enum Part {
        Node(usize),
        Text(&'static str),
    }
    let columns: Vec<String> = (0..export.n_columns()).map(|column| own(column, export.names)).collect();
    let names: Vec<String> = columns.iter().map(|name| string(name)).collect();
    f.write_str("{\"format\": \"sr-expression\", \"version\": 1, ")?;
    if let Some(title) = export.title {
        write!(f, "\"title\": {}, ", string(title))?;
    }
    let semantics = export.semantics;
    write!(f, "\"semantics\": \"{}\", \"variables\": [{}], \"expression\": ", semantics.name(), names.join(", "))?;
    let nodes = export.tree.nodes();
    let starts = export.tree.subtree_starts();
    let mut parts = vec![Part::Node(nodes.len() - 1)];
    while let Some(part) = parts.pop() {
        let node = match part {
            Part::Text(text) => {
                f.write_str(text)?;
                continue;
            }
            Part::Node(node) => node,
        };
        match nodes[node] {
            Node::Var(index) => write!(f, "{{\"var\": {}, \"index\": {index}}}", names[usize::from(index)])?,
            Node::Const(value) => write!(f, "{{\"const\": {}}}", number(value))?,
            Node::Op(op) => {
                write!(f, "{{\"op\": \"{}\", \"args\": [", op.name_in(semantics))?;
                parts.extend([Part::Text("]}"), Part::Node(node - 1)]);
                if op.arity() == 2 {
                    parts.extend([Part::Text(", "), Part::Node(starts[node - 1] - 1)]);
                }
            }
        }
    }
    if let Some(table) = groups::field(export, &columns) {
        write!(f, ", \"groups\": {table}")?;
    }
    f.write_str("}\n")
}

/// Returns a number, as a string if it is not finite: JSON has no such numbers.
pub(super) fn number(value: f64) -> String {
    if value.is_finite() { python_float(value) } else { format!("\"{}\"", python_float(value)) }
}

/// Returns text as a string of JSON.
pub(super) fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
