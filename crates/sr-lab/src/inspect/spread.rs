//! Minimum, mean and maximum of many values.

use serde_json::{Value, json};

/// Minimum, mean and maximum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    n: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Spread { n: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Spread {
    pub(super) fn add(&mut self, value: f64) {
        self.n += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    pub(super) fn mean(&self) -> f64 {
        self.sum / self.n as f64
    }

    /// Returns the statistics as JSON; null if there are no values.
    pub(super) fn json(&self) -> Value {
        match self.n {
            0 => Value::Null,
            _ => json!({ "min": self.min, "mean": self.mean(), "max": self.max }),
        }
    }
}
