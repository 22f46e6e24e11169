//! Training examples made from trajectories (one-step, autoregressive) or problems (direct).
//!
//! A [`OneStep`] is a state of a search with the children to learn from it, each by itself or all in one text. A
//! [`Direct`] example is a problem with its formula. [`convert_trace`] and [`convert_problems`] write a folder of
//! examples, [`Corpus`] reads a file of it. Training and validation examples never share a problem, nor the skeleton of
//! a formula: [`Split`] decides on the sides. [`Exclude`] keeps formulas, such as those of a test, out of the training
//! side.
//!
//! ```text
//! OUT/train.sr  OUT/val.sr          corpora
//! OUT/train.jsonl  OUT/val.jsonl    the same examples as text, on request
//! ```
//!
//! Examples name their problem and its file; points stay in the problem set, where [`Problems`] finds them.
//!
//! ```
//! use sr_corpus::{Corpus, Direct, Example, Options, Problems, convert_problems};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let (set, out) = (folder.path().join("nguyen.sr"), folder.path().join("corpus"));
//! sr_problems::suite("nguyen", 1)?.write(&set)?;
//! let problems = Problems::open(&set)?;
//! let counts = convert_problems(&problems, &Options { val_fraction: 0.3, ..Options::default() }, &out, || {})?;
//! assert_eq!(counts.train + counts.val, 12);
//!
//! for example in Corpus::open(out.join("val.sr"))? {
//!     let Example::Direct(Direct { problem, target }) = example? else { panic!("not a direct example") };
//!     assert_eq!(problems.get(&problem)?.source.as_ref(), Some(&*target));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! This crate makes no tokens and no tensors: `sr-prompt` writes the text of an example when it is trained on.

mod convert;
mod error;
mod example;
mod file;
mod jsonl;
mod problems;
mod split;
mod stages;

pub use convert::{
    Counts, Exclude, Excluded, Options, Shape, SplitBy, Targets, convert_problems, convert_trace, direct_example,
    one_step_examples,
};
pub use error::{Error, Result};
pub use example::{Direct, Example, Individual, OneStep, ProblemRef, Target};
pub use file::{CORPUS_VERSION, Corpus, CorpusHeader, CorpusWriter};
pub use problems::{Problems, find_problems};
pub use split::{Side, Split};
pub use sr_prompt::Context;
pub use sr_prompt::Mode;
