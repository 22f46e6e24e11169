//! Files of trees, which every side reads: one tree a line, in postfix order.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use sr_expr::{Expr, ExprError, Node, Op};

use crate::data::N_COLUMNS;

/// The trees of a file.
#[derive(Debug, Clone)]
pub struct TreeSet {
    /// The file's name without folder and extension.
    pub name: String,
    /// The trees, at least one.
    pub trees: Vec<Expr>,
}

impl TreeSet {
    /// Reads a file. Tokens are separated by spaces: `x0 x1 x2`, `c` and a number, `+ - * / sin cos exp log sqrt`.
    ///
    /// # Errors
    /// If the file cannot be read or has no trees; the error names file, line and token.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let tree = |(index, line)| parse(line).with_context(|| format!("{}, line {}", path.display(), index + 1));
        let trees = text.lines().enumerate().map(tree).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!trees.is_empty(), "{} holds no trees", path.display());
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(TreeSet { name, trees })
    }

    /// Returns the number of nodes of all trees together.
    pub fn nodes(&self) -> usize {
        self.trees.iter().map(|tree| tree.size()).sum()
    }

    /// Returns whether a tree has any operator but `+ - * /`.
    pub fn has_functions(&self) -> bool {
        let is_function = |node: &Node| matches!(node, Node::Op(op) if op.arity() == 1);
        self.trees.iter().any(|tree| tree.nodes().iter().any(is_function))
    }
}

fn parse(line: &str) -> anyhow::Result<Expr> {
    let tokens: Vec<&str> = line.split_whitespace().collect();
    let at = |index: usize| format!("token {} (\"{}\")", index + 1, tokens[index]);
    let nodes = tokens.iter().enumerate().map(|(index, token)| node(token).with_context(|| at(index)));
    let nodes = nodes.collect::<anyhow::Result<Vec<_>>>()?;
    Expr::new(nodes).map_err(|error| match error {
        ExprError::MissingOperand { node, .. } => anyhow::Error::new(error).context(at(node)),
        ExprError::ManyRoots { .. } => anyhow::Error::new(error).context(at(tokens.len() - 1)),
        error => error.into(),
    })
}

fn node(token: &str) -> anyhow::Result<Node> {
    const OPS: [Op; 9] = [Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sin, Op::Cos, Op::Exp, Op::Log, Op::Sqrt];
    if let Some(&op) = OPS.iter().find(|op| op.name() == token) {
        return Ok(Node::Op(op));
    }
    if let Some(index) = token.strip_prefix('x').and_then(|index| index.parse::<u16>().ok()) {
        ensure!(usize::from(index) < N_COLUMNS, "the data has variables x0 to x{}", N_COLUMNS - 1);
        return Ok(Node::Var(index));
    }
    match token.strip_prefix('c').and_then(|value| value.parse::<f64>().ok()) {
        Some(value) if value.is_finite() => Ok(Node::Const(value)),
        _ => bail!("neither a variable (x0), nor a constant (c1.5), nor one of + - * / sin cos exp log sqrt"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: &str) -> String {
        format!("{:#}", parse(line).expect_err(line))
    }

    #[test]
    fn postfix_is_read() {
        assert_eq!(parse("x2 c-1.5 / sin x0 -").expect("a tree").to_string(), "(sin((x2 / -1.5)) - x0)");
    }

    #[test]
    fn errors_name_the_token() {
        assert!(error("x0 x1 tan +").starts_with("token 3 (\"tan\"): neither"));
        assert!(error("x0 x3 +").starts_with("token 2 (\"x3\"): the data has"));
        assert!(error("x0 cnan +").starts_with("token 2 (\"cnan\")"));
        assert!(error("x0 + x1").starts_with("token 2 (\"+\"): node 1 (+) wants 2"));
        assert!(error("x0 x1").starts_with("token 2 (\"x1\"): 2 roots"));
        assert!(error("").contains("at least one node"));
    }
}
