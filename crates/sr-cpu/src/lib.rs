//! A GPT-Neo-style transformer on a CPU: losses, gradients, updates and decoding on plain slices of f32.
//!
//! A tensor framework makes a separate pass over memory for each operation, on rows that are padded to one length. Here
//! a pass goes through [`Rows`] without padding. [`Run`]s say which positions see each other, so that nothing is
//! computed only to be masked. Matrix products take weights that were packed once ([`product`]), and the backward pass
//! is written by hand. `sr-model` has the same model on the framework, which is the reference in tests and runs on a
//! GPU.
//!
//! A pass runs on one thread; to use several cores, give each its own rows. No bit of a row's result depends on the
//! rows beside it, nor on the machine: AVX-512, AVX2 and plain code do the same operations in the same order.
//!
//! ```
//! use sr_cpu::{Activation, Label, Pass, Row, Rows, Run, Shape, Weights};
//!
//! let shape = Shape {
//!     vocabulary: 10,
//!     positions: 8,
//!     features: 0,
//!     marks: 0,
//!     width: 4,
//!     layers: 1,
//!     heads: 2,
//!     hidden: 8,
//!     scale: 1.0,
//!     activation: Activation::Gelu,
//!     epsilon: 1e-5,
//! };
//! let weights = Weights::new(shape, vec![0.0; shape.n_weights()]);
//! let rows = Rows {
//!     rows: vec![Row { prefix: 0, tokens: 3, runs: vec![Run { start: 0, len: 3, sees: 0, causal: true }] }],
//!     tokens: vec![1, 2, 3],
//!     positions: vec![0, 1, 2],
//!     labels: vec![Label { token: 1, label: 3, weight: 1.0 }],
//!     ..Rows::default()
//! };
//! let loss = Pass::default().loss(&weights, &rows);
//! assert!((loss - 10.0f64.ln()).abs() < 1e-6, "weights of 0 know nothing");
//! ```

mod attention;
mod decode;
mod math;
mod optimiser;
mod pass;
mod points;
pub mod product;
mod rows;
mod shape;
mod weights;

pub use decode::{Growth, Next, Prefixes, PromptCache, Siblings};
pub use math::{log_sum_exp, sum_of_squares};
pub use optimiser::{AdamStep, adamw, orthogonalised};
pub use pass::Pass;
pub use points::{Embedded, Embedder, EmbedderShape};
pub use rows::{Label, Row, Rows, Run};
pub use shape::{Activation, Shape};
pub use weights::{Transposes, Weights};
