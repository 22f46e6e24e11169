//! Problem files: a record file of kind `problems`, see `docs/formats.md`.

use std::fmt;
use std::path::Path;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use sr_codec::{Header, Kind, Reader, Writer};
use sr_expr::{Columns, Expr, Op};

use crate::primitives::names;
use crate::problem::mix;
use crate::{Error, Problem, RandomParams, Sampler};

/// Version of the records of problem files.
pub const FORMAT_VERSION: u32 = 1;

/// Problems and what they have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemSet {
    /// The header of the file.
    pub params: SetParams,
    /// Ids differ.
    pub problems: Vec<Problem>,
}

/// What the header of a problem file says. There is no time and no path in it: equal runs give equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetParams {
    /// Operators that later stages use unless they are told otherwise; a problem may have its own.
    #[serde(with = "names")]
    pub operators: Vec<Op>,
    /// Constants, likewise; none means that later stages use no constants.
    pub constants: Vec<f64>,
    /// The seed of points and formulas.
    pub seed: u64,
    /// How the problems were made.
    pub origin: Origin,
}

/// How a problem set was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// By [`Generator`](crate::Generator). Not how many: more problems begin with the same bytes.
    Random(RandomParams),
    /// By [`suite`](crate::suite).
    Suite {
        /// Its name.
        name: String,
        /// Where it was published.
        citation: String,
    },
    /// By [`from_csv`](crate::from_csv).
    Csv {
        /// The column that is y.
        target: String,
        /// The columns that are `x0`, `x1`, …
        variables: Vec<String>,
    },
    /// By [`from_parquet`](crate::from_parquet).
    Parquet {
        /// The column that is y.
        target: String,
        /// The columns that are `x0`, `x1`, …
        variables: Vec<String>,
    },
    /// By [`from_formulas`](crate::from_formulas).
    Formulas {
        /// Points of each problem.
        points: u32,
        /// `[low, high]` of every variable.
        range: [f64; 2],
    },
}

impl ProblemSet {
    /// Reads a problem file.
    ///
    /// # Errors
    /// If it cannot be read, is no problem file, or is damaged or cut; the message names the record.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut reader = Reader::<SetParams>::open(path, Kind::Problems, FORMAT_VERSION)?;
        let params = reader.header().params.clone();
        let mut problems = Vec::new();
        while let Some(record) = reader.next_record::<Record>()? {
            let id = record.id.clone();
            let bad = |reason| Error::BadRecord { path: path.into(), record: problems.len(), id, reason };
            problems.push(record.decode().map_err(bad)?);
        }
        Ok(ProblemSet { params, problems })
    }

    /// Writes a problem file. A file of that name stays as it is until the new one is complete.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let header = Header { kind: Kind::Problems, version: FORMAT_VERSION, params: &self.params };
        let mut writer = Writer::create(path, &header)?;
        for problem in &self.problems {
            writer.append(&Record::encode(problem))?;
        }
        writer.finish()?;
        Ok(())
    }

    /// Whether the problem is somebody's own table, a CSV or Parquet file, whose formula nobody knows.
    pub fn is_own_data(&self) -> bool {
        matches!(self.params.origin, Origin::Csv { .. } | Origin::Parquet { .. })
    }

    /// 64 bits of all ids and data, in order.
    pub fn fingerprint(&self) -> u64 {
        self.problems.iter().map(Problem::fingerprint).fold(self.problems.len() as u64, mix)
    }
}

/// A problem on disk.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    source: Option<String>,
    rows: u64,
    variables: u64,
    /// 32-bit floats, little-endian, column by column.
    x: Bytes,
    /// 64-bit floats, little-endian.
    y: Bytes,
    #[serde(with = "names")]
    operators: Vec<Op>,
    constants: Vec<f64>,
    sampler: Sampler,
    seed: u64,
}

impl Record {
    fn encode(problem: &Problem) -> Self {
        Record {
            id: problem.id.clone(),
            source: problem.source.as_ref().map(Expr::to_string),
            rows: problem.x.n_rows() as u64,
            variables: problem.x.n_columns() as u64,
            x: Bytes(problem.x.values().flat_map(|&x| (x as f32).to_le_bytes()).collect()),
            y: Bytes(problem.y.iter().flat_map(|y| y.to_le_bytes()).collect()),
            operators: problem.operators.clone(),
            constants: problem.constants.clone(),
            sampler: problem.sampler.clone(),
            seed: problem.seed,
        }
    }

    pub(crate) fn decode(self) -> Result<Problem, String> {
        let Record { id, source, rows, variables, x, y, operators, constants, sampler, seed } = self;
        let size = |bytes: u64, field: &str, found: usize| match rows.checked_mul(bytes) {
            Some(expected) if expected == found as u64 => Ok(()),
            _ => Err(format!("{rows} rows do not go with {found} bytes of {field}")),
        };
        size(8, "y", y.0.len())?;
        size(variables.saturating_mul(4), "x", x.0.len())?;
        sampler.check(variables as usize)?;
        let source = match source {
            Some(text) => Some(text.parse::<Expr>().map_err(|error| error.to_string())?),
            None => None,
        };
        if source.as_ref().is_some_and(|source| source.n_variables() as u64 > variables) {
            return Err(format!("the formula has more than the {variables} variables of x"));
        }
        let x: Vec<f64> = x.0.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect();
        let y: Vec<f64> = y.0.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
        let x = Columns::new(y.len(), variables as usize, x);
        Ok(Problem { id, source, x, y, operators, constants, sampler, seed })
    }
}

/// MessagePack's byte string; a plain `Vec<u8>` would be a list of numbers.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByteVisitor;

        impl Visitor<'_> for ByteVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }

        deserializer.deserialize_byte_buf(ByteVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn records_that_do_not_fit_together_are_refused() {
        let problem = &suite("simple", 0).unwrap().problems[3];
        let record = || Record::encode(problem);
        assert_eq!(record().decode().as_ref(), Ok(problem));
        let reason = |record: Record| record.decode().unwrap_err();
        assert!(reason(Record { rows: 49, ..record() }).contains("bytes of y"));
        assert!(reason(Record { rows: u64::MAX, ..record() }).contains("bytes of y"));
        assert!(reason(Record { variables: 3, ..record() }).contains("bytes of x"));
        assert!(reason(Record { variables: u64::MAX, ..record() }).contains("bytes of x"));
        assert!(reason(Record { sampler: Sampler::Uniform { ranges: vec![] }, ..record() }).contains("ranges"));
        assert!(reason(Record { source: Some("x0 +".into()), ..record() }).contains("expected"));
        assert!(reason(Record { source: Some("x2".into()), ..record() }).contains("more than the 2 variables"));
    }
}
