//! Trajectories: what a search did, generation by generation, in memory and on disk.
//!
//! A [`Recorder`] watches a search and makes its [`Trajectory`]: every individual with its score, origin, parents and
//! edit. A [`TraceWriter`] writes trajectories to a file under a [`TraceHeader`], a [`TraceReader`] reads them one by
//! one, [`merge_traces`] joins the shards of a run. The individuals of a trajectory lie flat in memory and are read through
//! [`GenerationRecord`] and [`IndividualRecord`]; [`GenerationsBuilder`] makes new ones. [`LabelSet`]s hold what an
//! expert would have done in the same states. They are kept beside what the search did and never replace it.
//!
//! ```
//! use std::sync::Arc;
//! use sr_engine::{Expert, Instance, PrimitiveSet, Search, SearchConfig};
//! use sr_expr::{Columns, Op};
//! use sr_trace::{Recorder, TraceHeader, TraceReader, TraceWriter};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("trace.sr");
//! let x = Columns::from_rows(&[[1.0], [2.0], [3.0], [4.0]]);
//! let primitives = PrimitiveSet::new(vec![Op::Add, Op::Mul], vec![1.0], 1)?;
//! let instance = Arc::new(Instance::new("quadratic", x, vec![3.0, 7.0, 13.0, 21.0], primitives)?);
//! let config = SearchConfig { generations: 5, early_stop_mse: None, ..SearchConfig::basic() };
//!
//! let mut search = [Search::new(instance.clone(), config.clone(), 1)?];
//! let mut recorder = [Recorder::new(1)];
//! let outcome = sr_engine::run(&mut search, &mut Expert, &mut recorder).expect("the expert never fails").remove(0);
//! let [recorder] = recorder;
//! let trajectory = recorder.finish(&outcome)?;
//!
//! let header = TraceHeader::of_expert("problems.sr", instance.primitives(), &config, "basic", 1);
//! let mut writer = TraceWriter::create(&path, &header)?;
//! writer.append(&trajectory)?;
//! writer.finish()?;
//!
//! let read = TraceReader::open(&path)?.next_trajectory()?.ok_or("one trajectory")?;
//! assert_eq!(read, trajectory);
//! assert_eq!(read.generations.len(), 5);
//! assert_eq!(read.lineage()[4], [read.generations.last().best_index]);
//! # Ok(())
//! # }
//! ```
//!
//! The layout of the files is written down in `docs/formats.md`. This crate does not run searches.

mod columns;
mod error;
pub mod expressions;
mod file;
mod gain;
mod header;
mod interner;
mod record;
mod record_v1;
mod recorder;
mod searched;
mod trajectory;

pub use error::{Error, RecordError, Result};
pub use file::{Stored, TraceReader, TraceWriter, merge_traces, merge_traces_of};
pub use gain::{Gain, LEAST_GAIN, decades};
pub use header::{PolicyKind, SamplingSettings, TRACE_VERSION, TraceHeader};
pub use record::{Opened, Record};
pub use recorder::Recorder;
pub use searched::OtherProblem;
pub use sr_codec::Packed;
pub use trajectory::{
    Candidates, GenerationRecord, Generations, GenerationsBuilder, IndividualRecord, Label, LabelParams, LabelSet,
    Labels, Progress, SamplingCounts, StateLabels, TargetScale, Trajectory, state_hash,
};
