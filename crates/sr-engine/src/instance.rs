//! What a search is given: data and primitives, and never the formula behind them.

use std::sync::Arc;

use sr_expr::{Columns, Op};

/// The terminals and operators that expressions are built from.
#[derive(Debug, Clone, PartialEq)]
pub struct PrimitiveSet {
    ops: Vec<Op>,
    constants: Vec<f64>,
    n_variables: u16,
}

/// Why an instance cannot be searched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// Neither a variable nor a constant: no expression exists.
    #[error("a primitive set needs at least one variable or constant")]
    NoTerminals,
    /// A listed constant is NaN or infinite.
    #[error("constant {value} is not finite")]
    ConstantNotFinite {
        /// The constant.
        value: f64,
    },
    /// X and y disagree.
    #[error("X has {x_rows} rows, y has {y_rows}")]
    Rows {
        /// Rows of X.
        x_rows: usize,
        /// Rows of y.
        y_rows: usize,
    },
    /// X lacks columns.
    #[error("X has {columns} columns, the primitive set {n_variables} variables")]
    Variables {
        /// Columns of X.
        columns: usize,
        /// Variables of the primitive set.
        n_variables: u16,
    },
}

impl PrimitiveSet {
    /// Operators are put into table order and repeats dropped, so that equal sets are equal.
    ///
    /// # Errors
    /// If there is no terminal, or a constant is not finite.
    pub fn new(mut ops: Vec<Op>, constants: Vec<f64>, n_variables: u16) -> Result<Self, InstanceError> {
        if n_variables == 0 && constants.is_empty() {
            return Err(InstanceError::NoTerminals);
        }
        if let Some(&value) = constants.iter().find(|c| !c.is_finite()) {
            return Err(InstanceError::ConstantNotFinite { value });
        }
        ops.sort_unstable();
        ops.dedup();
        Ok(PrimitiveSet { ops, constants, n_variables })
    }

    /// All operators, in table order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Operators with `arity` operands, in table order.
    pub fn ops_of(&self, arity: usize) -> impl Iterator<Item = Op> + Clone + '_ {
        self.ops.iter().copied().filter(move |op| op.arity() == arity)
    }

    /// Listed constants.
    pub fn constants(&self) -> &[f64] {
        &self.constants
    }

    /// Number of variables.
    pub fn n_variables(&self) -> u16 {
        self.n_variables
    }
}

/// One problem as a search sees it.
#[derive(Debug, Clone)]
pub struct Instance {
    id: Arc<str>,
    x: Columns,
    y: Vec<f64>,
    primitives: PrimitiveSet,
}

impl Instance {
    /// - id: names the problem; random streams are keyed by it
    /// - x: `[rows, variables]`; y: `[rows]`
    ///
    /// # Errors
    /// If the rows of x and y differ in number or x lacks a variable. Bad numbers are no error: such points count as
    /// invalid.
    pub fn new(id: &str, x: Columns, y: Vec<f64>, primitives: PrimitiveSet) -> Result<Self, InstanceError> {
        if x.n_rows() != y.len() {
            return Err(InstanceError::Rows { x_rows: x.n_rows(), y_rows: y.len() });
        }
        if x.n_columns() < usize::from(primitives.n_variables) {
            return Err(InstanceError::Variables { columns: x.n_columns(), n_variables: primitives.n_variables });
        }
        Ok(Instance { id: id.into(), x, y, primitives })
    }

    /// The problem's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The inputs, `[rows, variables]`.
    pub fn x(&self) -> &Columns {
        &self.x
    }

    /// The target, `[rows]`.
    pub fn y(&self) -> &[f64] {
        &self.y
    }

    /// Terminals and operators.
    pub fn primitives(&self) -> &PrimitiveSet {
        &self.primitives
    }
}
