//! JSON: the tree, operators before their operands, as one object on one line.

use std::fmt::{Formatter, Result};

use super::Export;
use super::names::own;
use crate::{Node, python_float};

pub(super) fn write(export: &Export<'_>, f: &mut Formatter<'_>) -> Result {
    enum Part {
        Node(usize),
        Text(&'static str),
    }
    let names: Vec<String> = (0..export.n_columns()).map(|column| string(&own(column, export.names))).collect();
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
            // JSON has no numbers that are not finite.
            Node::Const(value) if value.is_finite() => write!(f, "{{\"const\": {}}}", python_float(value))?,
            Node::Const(value) => write!(f, "{{\"const\": \"{}\"}}", python_float(value))?,
            Node::Op(op) => {
                write!(f, "{{\"op\": \"{}\", \"args\": [", op.name_in(semantics))?;
                parts.extend([Part::Text("]}"), Part::Node(node - 1)]);
                if op.arity() == 2 {
                    parts.extend([Part::Text(", "), Part::Node(starts[node - 1] - 1)]);
                }
            }
        }
    }
    f.write_str("}\n")
}

/// Returns text as a string of JSON.
fn string(text: &str) -> String {
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
