//! Records that labels are added to.

use super::{Encoder, FitnessRule, Record};
use crate::trajectory::check_label_set;
use crate::{LabelSet, RecordError, Trajectory};

/// A record of a file with its trajectory, to which labels can be added without writing all of it again.
#[derive(Debug)]
pub struct Opened {
    trajectory: Trajectory,
    /// The encoder as it was when it had written the generations, unless they have to be written again: labels share
    /// some of their columns, so those that may have to give way would leave gaps.
    encoder: Option<Encoder>,
}

impl Opened {
    pub(crate) fn new(record: Record, rule: FitnessRule) -> Result<Self, RecordError> {
        let (trajectory, scored) = record.decode_scored(rule)?;
        let n_individuals = trajectory.generations.n_individuals();
        let encoder = record.labels.is_empty().then(|| Encoder::reopen(record, scored, n_individuals));
        Ok(Opened { trajectory, encoder })
    }

    /// One whose generations will be written again.
    pub(crate) fn of_trajectory(trajectory: Trajectory) -> Self {
        Opened { trajectory, encoder: None }
    }

    /// The trajectory.
    pub fn trajectory(&self) -> &Trajectory {
        &self.trajectory
    }

    /// The record of the trajectory with more labels, see [`Trajectory::add_labels`]. What the record says of the
    /// generations stays as it is, byte for byte, if it had no labels.
    ///
    /// # Errors
    /// If the labels break a rule of [`Trajectory`], or an expression is too large.
    pub fn with_labels(self, labels: LabelSet) -> Result<Record, RecordError> {
        let Opened { mut trajectory, encoder } = self;
        match encoder {
            None => {
                trajectory.add_labels(labels);
                Record::encode(&trajectory)
            }
            Some(encoder) => {
                check_label_set(&labels, &trajectory.generations)?;
                encoder.labelled(&trajectory, &[labels])
            }
        }
    }
}
