//! Symbolic expressions: build, print, parse and evaluate them on columns of data.
//!
//! An [`Expr`] is a flat post-order array of [`Node`]s, a [`Tree`] a borrowed slice of one (as `str` is to `String`):
//! every subtree is a contiguous slice, so crossover is a splice and evaluation a walk from left to right.
//! A [`Forest`] keeps many trees in one piece of memory.
//! [`Op`] is the operator table; [`Columns`] holds data; a [`Machine`] evaluates, on the vectors of the processor at hand;
//! a [`Gradient`] differentiates with respect to the constants.
//!
//! ```
//! use sr_expr::{Columns, Expr, Semantics};
//!
//! let expr: Expr = "x0*x0 + sin(x1)".parse()?;
//! assert_eq!(expr.to_string(), "((x0 * x0) + sin(x1))");
//! let data = Columns::from_rows(&[[3.0, 0.0], [1.0, 0.0]]);
//! assert_eq!(sr_expr::predict(&expr, &data, Semantics::Ieee), [9.0, 1.0]);
//! # Ok::<(), sr_expr::ParseError>(())
//! ```
//!
//! Under [`Semantics::Protected`] some operators are guarded, and what [`Tree::display`] prints says so; a [`Formula`] is such a
//! text read back, with its semantics:
//!
//! ```
//! use sr_expr::{Columns, Expr, Formula, Semantics};
//!
//! let expr: Expr = "log(x0)".parse()?;
//! let text = expr.display(Semantics::Protected).to_string();
//! assert_eq!(text, "plog(x0)");
//! assert_eq!(text.parse::<Formula>()?, Formula { expr, semantics: Some(Semantics::Protected) });
//! # Ok::<(), sr_expr::ParseError>(())
//! ```
//!
//! This crate does no I/O and no search, and evaluation never fails: bad numbers are NaN or infinite values.

mod columns;
mod export;
mod expr;
mod forest;
mod gradient;
pub mod hash;
mod kernel;
mod machine;
pub mod map;
mod math;
mod op;
mod operators;
mod parse;
mod print;
mod program;
mod real;
pub mod reference;
pub mod rules;
mod simd;
mod simplify;
mod structure;
#[cfg(feature = "testing")]
pub mod testing;
pub mod units;

pub use columns::Columns;
pub use export::{Export, GroupConstants, Target};
pub use expr::{Expr, ExprError, Node, Tree};
pub use forest::{Forest, TreeBuilder};
pub use gradient::{Gradient, NormalEquations};
pub use machine::{Loss, Machine, Sums, predict};
pub use op::{Op, Semantics};
pub use parse::{Formula, ParseError};
pub use print::{Printed, python_float};
pub use program::Program;
pub use real::Real;
pub use simplify::Simplified;
pub use sr_simd::Level;
