//! Records that labels are added to.

use super::{Encoder, FitnessRule, Record};
use crate::trajectory::check_label_set;
use crate::{LabelSet, RecordError, Trajectory};

/// A stored record and its trajectory, to which labels can be added without writing all of it again.
#[derive(Debug)]
pub struct Opened {
    trajectory: Trajectory,
    /// The encoder in the state in which it had written the generations. It is `None` if the record has labels, because
    /// labels share some of its columns, and replaced ones would leave gaps.
    encoder: Option<Encoder>,
}

impl Opened {
    pub(crate) fn new(record: Record, rule: FitnessRule) -> Result<Self, RecordError> {
        let (trajectory, scored) = record.decode_scored(rule)?;
        let n_individuals = trajectory.generations.n_individuals();
        let encoder = record.labels.is_empty().then(|| Encoder::reopen(record, scored, n_individuals));
        Ok(Opened { trajectory, encoder })
    }

    /// Makes one whose generations will be written again.
    pub(crate) fn of_trajectory(trajectory: Trajectory) -> Self {
        Opened { trajectory, encoder: None }
    }

    /// Returns the trajectory.
    pub fn trajectory(&self) -> &Trajectory {
        &self.trajectory
    }

    /// Adds labels, as [`Trajectory::add_labels`] does, and returns the record. If it had no labels, its bytes for the
    /// generations are unchanged.
    ///
    /// # Errors
    /// Returns an error if the labels break a rule of [`Trajectory`], or an expression is too large.
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
