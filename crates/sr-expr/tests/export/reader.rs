//! Readers of what no system at hand evaluates: LaTeX, as people read it, and JSON.

use serde_json::Value;
use sr_expr::{Expr, Node, Op, Semantics};

/// Returns the value of a formula in LaTeX at a row; `columns` are the symbols of the columns.
pub(crate) fn latex(text: &str, columns: &[&str], row: &[f64]) -> Result<f64, String> {
    let mut reader = Latex { rest: text, columns, row };
    let value = reader.sum()?;
    if reader.rest.is_empty() { Ok(value) } else { Err(format!("'{}' is left", reader.rest)) }
}

struct Latex<'a> {
    rest: &'a str,
    columns: &'a [&'a str],
    row: &'a [f64],
}

impl Latex<'_> {
    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.take(text) { Ok(()) } else { Err(format!("expected {text} at '{}'", self.rest)) }
    }

    fn sum(&mut self) -> Result<f64, String> {
        let mut value = if self.take("-") { -self.product()? } else { self.product()? };
        loop {
            if self.take(" + ") {
                value += self.product()?;
            } else if self.take(" - ") {
                value -= self.product()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Result<f64, String> {
        let mut value = self.power()?;
        while self.take(" \\cdot ") || self.take(" \\times ") {
            value *= self.power()?;
        }
        Ok(value)
    }

    fn power(&mut self) -> Result<f64, String> {
        let (base, is_atom) = self.atom()?;
        if !self.take("^{") {
            return Ok(base);
        }
        if !is_atom {
            return Err(format!("a power of what is no atom, before '{}'", self.rest));
        }
        let exponent = self.sum()?;
        self.expect("}")?;
        if self.rest.starts_with('^') {
            return Err("a double superscript".into());
        }
        Ok(Op::Pow.apply(Semantics::Ieee, base, exponent))
    }

    /// Returns a value, and whether a power of it needs no parentheses.
    fn atom(&mut self) -> Result<(f64, bool), String> {
        for (column, value) in self.columns.iter().zip(self.row) {
            if self.take(column) {
                return Ok((*value, true));
            }
        }
        if self.take("\\left(") {
            let value = self.sum()?;
            return self.expect("\\right)").map(|()| (value, true));
        }
        if self.take("\\left|") {
            let value = self.sum()?;
            return self.expect("\\right|").map(|()| (value.abs(), true));
        }
        if self.take("\\frac{") {
            let above = self.sum()?;
            self.expect("}{")?;
            let below = self.sum()?;
            return self.expect("}").map(|()| (above / below, false));
        }
        if self.take("\\sqrt{") {
            let value = self.sum()?;
            return self.expect("}").map(|()| (value.sqrt(), true));
        }
        if self.take("\\infty") {
            return Ok((f64::INFINITY, true));
        }
        if self.take("\\mathrm{NaN}") {
            return Ok((f64::NAN, true));
        }
        if self.take("\\operatorname{") {
            let (name, rest) = self.rest.split_once('}').ok_or("no name")?;
            self.rest = rest;
            let op = Op::ALL.iter().find(|op| op.is_guarded() && op.name_in(Semantics::Protected) == name);
            return self.call(*op.ok_or_else(|| format!("unknown {name}"))?, Semantics::Protected);
        }
        let functions = [
            ("\\exp", Op::Exp),
            ("\\ln", Op::Log),
            ("\\sin", Op::Sin),
            ("\\cos", Op::Cos),
            ("\\tanh", Op::Tanh),
            ("\\tan", Op::Tan),
            ("\\arcsin", Op::Asin),
            ("\\arccos", Op::Acos),
            ("\\arctan", Op::Atan),
        ];
        for (name, op) in functions {
            if self.take(name) {
                return self.call(op, Semantics::Ieee);
            }
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        // A number with a power of ten is read as one, so that nothing is rounded twice.
        let power = rest.strip_prefix(" \\times 10^{").map(|power| (digits, power));
        let power = power.or_else(|| rest.strip_prefix("^{").filter(|_| digits == "10").map(|power| ("1", power)));
        let power = power.and_then(|(digits, power)| Some((digits, power.split_once('}')?)));
        let whole = power.and_then(|(digits, (exponent, rest))| Some((digits, exponent.parse::<i32>().ok()?, rest)));
        let (value, rest) = match whole {
            Some((digits, exponent, rest)) => (format!("{digits}e{exponent}").parse(), rest),
            None => (digits.parse(), rest),
        };
        let value = value.map_err(|_| format!("no operand at '{}'", self.rest))?;
        self.rest = rest;
        Ok((value, whole.is_none()))
    }

    fn call(&mut self, op: Op, semantics: Semantics) -> Result<(f64, bool), String> {
        self.expect("\\left(")?;
        let a = self.sum()?;
        let b = if op.arity() == 2 {
            self.expect(", ")?;
            self.sum()?
        } else {
            f64::NAN
        };
        self.expect("\\right)").map(|()| (op.apply(semantics, a, b), false))
    }
}

/// Returns the tree of a JSON expression. Its operators are those of the semantics.
pub(crate) fn json(value: &Value, names: &[String], semantics: Semantics) -> Expr {
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().expect("inf, -inf or nan"),
        value => value.as_f64().expect("a number"),
    };
    match value.as_object().expect("an object") {
        node if node.contains_key("const") => Expr::constant(number(&node["const"])),
        node if node.contains_key("var") => {
            let index = node["index"].as_u64().expect("an index");
            assert_eq!(node["var"], names[index as usize]);
            Expr::var(index as u16)
        }
        node => {
            let op = *Op::ALL.iter().find(|op| node["op"] == op.name_in(semantics)).expect("an operator");
            let arguments: Vec<Expr> =
                node["args"].as_array().expect("a list").iter().map(|a| json(a, names, semantics)).collect();
            let mut nodes: Vec<Node> = arguments.iter().flat_map(|argument| argument.nodes().to_vec()).collect();
            nodes.push(Node::Op(op));
            Expr::new(nodes).expect("as many arguments as the operator has")
        }
    }
}
