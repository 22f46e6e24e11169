//! Problem files, which are record files of kind `problems`, see `docs/formats.md`.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use sr_codec::{Header, Kind, Reader, Writer, peek_header};
use sr_expr::hash::mix;
use sr_expr::{Columns, Formula, Op, ParseError, Semantics};

use crate::error::short;
use crate::primitives::names;
use crate::sampler::to_f32;
use crate::{Error, Problem, RandomParams, Sampler};

/// The version of problem files whose inputs are exact in 32 bits, as drawn inputs usually are.
pub const FORMAT_VERSION: u32 = 1;

/// The version of problem files with inputs of 64 bits or weights. It is the newest that is read.
pub const FORMAT_VERSION_WIDE: u32 = 2;

/// Problems and the header of their file.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemSet {
    /// The header of the file.
    pub params: SetParams,
    /// The problems, whose ids differ.
    pub problems: Vec<Problem>,
}

/// The header of a problem file. It holds no time and no path, so that equal runs give equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetParams {
    /// The operators that later stages use by default; a problem may have its own.
    #[serde(with = "names")]
    pub operators: Vec<Op>,
    /// The constants that later stages use by default; a problem may have its own.
    pub constants: Vec<f64>,
    /// The seed of points and formulas.
    pub seed: u64,
    /// The way in which the problems were made.
    pub origin: Provenance,
}

/// The way in which a problem set was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// Random problems of a [`Generator`](crate::Generator). Their number is not stored: a larger set begins with the
    /// same bytes.
    Random(RandomParams),
    /// A [`suite`](crate::suite).
    Suite {
        /// The name of the suite.
        name: String,
        /// The publication.
        citation: String,
    },
    /// A text such as CSV, read by [`from_table`](crate::from_table).
    Csv {
        /// The column that is y.
        target: String,
        /// The columns that are `x0`, `x1`, …
        variables: Vec<String>,
    },
    /// A Parquet file, read by [`from_table`](crate::from_table).
    Parquet {
        /// The column that is y.
        target: String,
        /// The columns that are `x0`, `x1`, …
        variables: Vec<String>,
    },
    /// Formulas, sampled by [`from_formulas`](crate::from_formulas).
    Formulas {
        /// The number of points of each problem.
        points: u32,
        /// The range `[low, high]` of every variable.
        range: [f64; 2],
    },
}

impl Provenance {
    /// Returns whether the data are a user's table, so that no formula behind them is known.
    pub fn is_own_data(&self) -> bool {
        matches!(self, Provenance::Csv { .. } | Provenance::Parquet { .. })
    }

    /// Returns the names of `x0`, `x1`, …, if they have names.
    pub fn variable_names(&self) -> Option<&[String]> {
        match self {
            Provenance::Csv { variables, .. } | Provenance::Parquet { variables, .. } => Some(variables),
            Provenance::Random(_) | Provenance::Suite { .. } | Provenance::Formulas { .. } => None,
        }
    }
}

impl ProblemSet {
    /// Reads a problem file.
    ///
    /// # Errors
    /// Returns an error if it cannot be read, is no problem file, or is damaged or cut; the message names the record.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let version = version_of(path)?;
        let mut reader = Reader::<SetParams>::open(path, Kind::Problems, version)?;
        let params = reader.header().params.clone();
        let (mut problems, mut ids) = (Vec::new(), HashSet::new());
        while let Some(record) = reader.next_record::<Record>()? {
            let id = record.id.clone();
            let bad = |reason| Error::BadRecord { path: path.into(), record: problems.len(), id: id.clone(), reason };
            if !ids.insert(id.clone()) {
                return Err(bad(SAME_ID.into()));
            }
            problems.push(record.decode(version).map_err(bad)?);
        }
        Ok(ProblemSet { params, problems })
    }

    /// Writes a problem file. A file of that name stays as it is until the new one is complete.
    ///
    /// Inputs are stored in 32 bits if all are exact so, and in 64 otherwise.
    ///
    /// # Errors
    /// Returns an error if writing fails, or if a problem breaks a rule of its fields or two have the same id. In the
    /// latter cases nothing is written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let mut ids = HashSet::new();
        for problem in &self.problems {
            let is_new = ids.insert(&*problem.id);
            let checked = if is_new { problem.check() } else { Err(SAME_ID.into()) };
            checked.map_err(|reason| Error::BadProblem { path: path.into(), id: problem.id.clone(), reason })?;
        }
        let version = self.format_version();
        let header = Header { kind: Kind::Problems, version, params: &self.params };
        let mut writer = Writer::create(path, &header)?;
        for problem in &self.problems {
            writer.append(&Record::encode(problem, version))?;
        }
        writer.finish()?;
        Ok(())
    }

    /// Returns the version of its file, [`FORMAT_VERSION`] or [`FORMAT_VERSION_WIDE`].
    pub fn format_version(&self) -> u32 {
        let is_exact = |&x: &f64| x.is_nan() || to_f32(x) == x;
        let is_narrow = |problem: &Problem| problem.weights.is_none() && problem.x.values().all(is_exact);
        if self.problems.iter().all(is_narrow) { FORMAT_VERSION } else { FORMAT_VERSION_WIDE }
    }

    /// Returns whether the problems are a user's table, so that no formula behind them is known.
    pub fn is_own_data(&self) -> bool {
        self.params.origin.is_own_data()
    }

    /// Returns the names of `x0`, `x1`, … in a set of a user's data, otherwise `None`.
    pub fn variable_names(&self) -> Option<&[String]> {
        self.params.origin.variable_names()
    }

    /// Returns a 64-bit hash of all ids and data, in order.
    pub fn fingerprint(&self) -> u64 {
        self.problems.iter().map(Problem::fingerprint).fold(self.problems.len() as u64, mix)
    }
}

/// The fault of the second of two problems with the same id.
pub(crate) const SAME_ID: &str = "another problem before it has the same id";

/// Returns the version with which a problem file has to be opened.
pub(crate) fn version_of(path: &Path) -> Result<u32, Error> {
    let header = peek_header(path)?;
    match header.version {
        // Other faults are reported when the file is opened.
        _ if header.kind != Kind::Problems => Ok(FORMAT_VERSION),
        found @ FORMAT_VERSION..=FORMAT_VERSION_WIDE => Ok(found),
        found => Err(Error::Newer { path: path.into(), found, supported: FORMAT_VERSION_WIDE }),
    }
}

/// The stored form of a problem.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    /// The formula, with guarded operators by their own names, `plog(x0)`.
    source: Option<String>,
    rows: u64,
    variables: u64,
    /// Little-endian floats, column by column: of 32 bits in version 1, of 64 in version 2.
    x: Bytes,
    /// Little-endian 64-bit floats.
    y: Bytes,
    /// Little-endian 64-bit floats, in version 2 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights: Option<Bytes>,
    #[serde(with = "names")]
    operators: Vec<Op>,
    constants: Vec<f64>,
    sampler: Sampler,
    seed: u64,
}

impl Record {
    fn encode(problem: &Problem, version: u32) -> Self {
        let x = problem.x.values();
        Record {
            id: problem.id.clone(),
            source: problem.formula(),
            rows: problem.x.n_rows() as u64,
            variables: problem.x.n_columns() as u64,
            x: match version {
                FORMAT_VERSION => Bytes(x.flat_map(|&x| (x as f32).to_le_bytes()).collect()),
                _ => Bytes::of(x),
            },
            y: Bytes::of(&problem.y),
            weights: problem.weights.as_ref().map(Bytes::of),
            operators: problem.operators.clone(),
            constants: problem.constants.clone(),
            sampler: problem.sampler.clone(),
            seed: problem.seed,
        }
    }

    pub(crate) fn decode(self, version: u32) -> Result<Problem, String> {
        let Record { id, source, rows, variables, x, y, weights, operators, constants, sampler, seed } = self;
        let size = |bytes: u64, field: &str, found: usize| match rows.checked_mul(bytes) {
            Some(expected) if expected == found as u64 => Ok(()),
            _ => Err(format!("{rows} rows do not go with {found} bytes of {field}")),
        };
        let width = if version == FORMAT_VERSION { 4 } else { 8 };
        size(8, "y", y.0.len())?;
        size(variables.saturating_mul(width), "x", x.0.len())?;
        if let Some(weights) = &weights {
            size(8, "weights", weights.0.len())?;
        }
        let (source, semantics) = match source {
            Some(text) => {
                let Formula { expr, semantics } = text.parse().map_err(|error: ParseError| {
                    format!("{} at byte {} of the formula {}", error.message, error.position, short(&text))
                })?;
                (Some(expr), semantics.unwrap_or_default())
            }
            None => (None, Semantics::default()),
        };
        let x = match version {
            FORMAT_VERSION => x.0.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect(),
            _ => x.floats(),
        };
        let (y, weights) = (y.floats(), weights.map(|weights| weights.floats()));
        let x = Columns::new(y.len(), variables as usize, x);
        let problem = Problem { id, source, semantics, x, y, weights, operators, constants, sampler, seed };
        problem.check_fields()?;
        Ok(problem)
    }
}

/// MessagePack's byte string; serde would write a plain `Vec<u8>` as a list of numbers.
struct Bytes(Vec<u8>);

impl Bytes {
    /// Stores 64-bit floats, little-endian.
    fn of<'a>(values: impl IntoIterator<Item = &'a f64>) -> Self {
        Bytes(values.into_iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn floats(&self) -> Vec<f64> {
        self.0.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
    }
}

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
        let record = || Record::encode(problem, FORMAT_VERSION);
        assert_eq!(record().decode(FORMAT_VERSION).as_ref(), Ok(problem));
        let reason = |record: Record| record.decode(FORMAT_VERSION).unwrap_err();
        assert!(reason(Record { rows: 49, ..record() }).contains("bytes of y"));
        assert!(reason(Record { rows: u64::MAX, ..record() }).contains("bytes of y"));
        assert!(reason(Record { variables: 3, ..record() }).contains("bytes of x"));
        assert!(reason(Record { variables: u64::MAX, ..record() }).contains("bytes of x"));
        assert!(reason(Record { sampler: Sampler::Uniform { ranges: vec![] }, ..record() }).contains("ranges"));
        assert!(reason(Record { source: Some("x0 +".into()), ..record() }).contains("expected"));
        assert!(reason(Record { source: Some("x2".into()), ..record() }).contains("more than the 2 variables"));
    }

    fn own(x: Vec<f64>, weights: Option<Vec<f64>>) -> ProblemSet {
        let mut set = suite("simple", 0).unwrap();
        set.problems.truncate(1);
        let problem = &mut set.problems[0];
        (problem.source, problem.sampler) = (None, Sampler::Fixed);
        problem.y = (0..x.len()).map(|row| row as f64 + 0.1).collect();
        (problem.x, problem.weights) = (Columns::new(x.len(), 1, x), weights);
        set
    }

    /// Writes a set and reads it again. Returns what was read, and the version of the file.
    fn written(set: &ProblemSet) -> Result<(ProblemSet, u32), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.sr");
        match set.write(&path) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
                return Err(error.to_string());
            }
        }
        let mut file = crate::ProblemFile::open(&path).unwrap();
        let read = ProblemSet::read(&path).unwrap();
        assert_eq!(file.problem(0).unwrap(), read.problems[0]);
        Ok((read, peek_header(&path).unwrap().version))
    }

    #[test]
    fn no_number_changes_in_a_file() {
        let wide = vec![0.1, 1e300, 1e-50, 1_700_000_001.0, 9_007_199_254_740_993_i64 as f64, 5e-324, -0.0];
        for set in [own(wide.clone(), None), own(wide, Some(vec![0.0, 0.5, 1e300, 1.0, 1.0, 2.0, 5e-324]))] {
            let (read, version) = written(&set).unwrap();
            assert_eq!(version, FORMAT_VERSION_WIDE);
            assert_eq!(read, set);
            let bits = |set: &ProblemSet| set.problems[0].x.values().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&read), bits(&set));
            assert_eq!(read.fingerprint(), set.fingerprint());
        }
    }

    #[test]
    fn what_32_bits_hold_is_written_as_before() {
        let narrow = vec![0.5, 16_777_216.0, f64::from(f32::MAX), f64::from(f32::MIN_POSITIVE) / 2.0, f64::INFINITY];
        let (read, version) = written(&own(narrow.clone(), None)).unwrap();
        assert_eq!((version, read.problems[0].x.column(0)), (FORMAT_VERSION, &*narrow));
        assert_eq!(own(vec![1.0, f64::NAN], None).format_version(), FORMAT_VERSION);
        assert_eq!(written(&own(vec![1.0, 2.0], Some(vec![1.0, 1.0]))).unwrap().1, FORMAT_VERSION_WIDE);
        assert_eq!(written(&suite("nguyen", 3).unwrap()).unwrap().1, FORMAT_VERSION);
    }

    #[test]
    fn a_problem_that_breaks_a_rule_is_not_written() {
        let with = |change: fn(&mut Problem)| {
            let mut set = suite("simple", 0).unwrap();
            change(&mut set.problems[3]);
            written(&set).expect_err("a rule is broken")
        };
        for (message, expected) in [
            (with(|p| p.y[1] = f64::NAN), "row 2: y is NaN"),
            (with(|p| p.y[0] = f64::INFINITY), "row 1: y is inf"),
            (with(|p| p.y.truncate(3)), "x has 50 rows, y has 3"),
            (with(|p| p.weights = Some(vec![1.0])), "x has 50 rows, there are 1 weights"),
            (with(|p| p.weights = Some(vec![0.0; 50])), "every weight is 0"),
            (with(|p| p.weights = Some(vec![-1.0; 50])), "row 1: the weight is -1"),
            (with(|p| p.weights = Some(vec![f64::NAN; 50])), "row 1: the weight is NaN"),
            (with(|p| p.source = Some("x7".parse().unwrap())), "more than the 2 variables"),
            (with(|p| p.sampler = Sampler::Uniform { ranges: vec![] }), "0 ranges for 2 variables"),
        ] {
            assert!(message.contains(expected) && message.contains("own.sr: cannot write problem \""), "{message}");
        }
        let mut deep = suite("simple", 0).unwrap();
        let mut source: sr_expr::Expr = "x0".parse().unwrap();
        for _ in 0..1000 {
            source = sr_expr::Expr::unary(Op::Sin, &source);
        }
        deep.problems[0].source = Some(source);
        assert_eq!(written(&deep), Ok((deep.clone(), 1)), "what can be printed can be read");
        let mut twice = suite("simple", 0).unwrap();
        twice.problems[4].id = twice.problems[1].id.clone();
        assert!(written(&twice).unwrap_err().contains("another problem before it has the same id"));
    }

    #[test]
    fn files_that_break_a_rule_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.sr");
        let set = own(vec![1.0, 2.0], None);
        let write = |version, records: &[Record]| {
            let mut writer =
                Writer::create(&path, &Header { kind: Kind::Problems, version, params: &set.params }).unwrap();
            records.iter().for_each(|record| writer.append(record).unwrap());
            writer.finish().unwrap();
            let opened = crate::ProblemFile::open(&path).map(|_| ()).map_err(|error| error.to_string());
            (ProblemSet::read(&path).expect_err("bad").to_string(), opened)
        };
        let record = || Record::encode(&set.problems[0], FORMAT_VERSION_WIDE);
        let nan = Bytes::of(&[0.0, f64::NAN]);
        assert!(write(2, &[Record { y: nan, ..record() }]).0.contains("record 0 (counted from 0), problem"));
        assert!(write(2, &[record(), record()]).0.contains("record 1 (counted from 0)"));
        let weights = Some(Bytes::of(&[1.0]));
        assert!(write(2, &[Record { weights, ..record() }]).0.contains("2 rows do not go with 8 bytes of weights"));
        assert!(write(1, &[record()]).0.contains("2 rows do not go with 16 bytes of x"));
        let (read, opened) = write(99, &[record()]);
        let expected =
            "set.sr: problem sets of version 99 are not known, only 1 to 2; it was written by a newer program";
        assert!(read.contains(expected) && opened.unwrap_err().contains(expected), "{read}");
    }
}
