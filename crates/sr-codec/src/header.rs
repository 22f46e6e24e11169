//! The header, which is the first value of a file.

use std::fmt;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::IntoStaticStr;

use crate::reader::MAX_NESTING;
use crate::{Error, Result};

/// The version of the container: header, frames and footer. Record formats have their own versions.
pub const CONTAINER_VERSION: u32 = 1;

/// The `format` field of every header.
const FORMAT: &str = "sr";

/// The kind of a file's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    /// A problem set.
    Problems,
    /// Trajectories of searches.
    Trace,
    /// Training examples.
    Corpus,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Problems, Self::Trace, Self::Corpus];

    /// Returns the name that the header uses: `problems`, `trace` or `corpus`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The header of a file.
///
/// `params` belong to the record format. They must be the same for equal runs, so they may hold no time, path or
/// `HashMap`. They should hold no byte strings either, because JSON has none and [`peek_header`](crate::peek_header) reads JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<P = Value> {
    /// The kind of the records.
    pub kind: Kind,
    /// The version of the record format, counted per kind from 1.
    pub version: u32,
    /// The parameters of the record format, usually a struct or map.
    pub params: P,
}

/// The fields that every container version shares, so that an unknown version can be named.
#[derive(Deserialize)]
struct Preamble {
    format: String,
    container: u32,
    kind: String,
    version: u32,
}

#[derive(Serialize)]
struct Written<'a, P> {
    format: &'a str,
    container: u32,
    kind: Kind,
    version: u32,
    params: &'a P,
}

#[derive(Deserialize)]
struct Params<P> {
    params: P,
}

impl<P: Serialize> Header<P> {
    /// Returns the header as MessagePack.
    pub(crate) fn encode(&self, path: &Path) -> Result<Vec<u8>> {
        let Self { kind, version, ref params } = *self;
        rmp_serde::to_vec_named(&Written { format: FORMAT, container: CONTAINER_VERSION, kind, version, params })
            .map_err(|source| Error::EncodeHeader { path: path.to_owned(), source })
    }
}

impl<P: DeserializeOwned> Header<P> {
    /// Reads a header. `expected` is the kind and version that the caller can use, `None` for any.
    pub(crate) fn decode(path: &Path, bytes: &[u8], expected: Option<(Kind, u32)>) -> Result<Self> {
        let bad = |reason: String| Error::BadHeader { path: path.to_owned(), reason };
        let preamble: Preamble = shallow(bytes).map_err(|error| bad(error.to_string()))?;
        let Preamble { format, container, kind, version } = preamble;
        let path = || path.to_owned();
        if format != FORMAT {
            return Err(bad(format!("expected format \"{FORMAT}\", found \"{format}\"")));
        }
        if container != CONTAINER_VERSION {
            return Err(Error::WrongContainer { path: path(), expected: CONTAINER_VERSION, found: container });
        }
        let Some(kind) = Kind::ALL.into_iter().find(|known| known.name() == kind) else {
            return Err(Error::UnknownKind { path: path(), found: kind });
        };
        match expected {
            Some((expected, _)) if expected != kind => {
                return Err(Error::WrongKind { path: path(), expected, found: kind });
            }
            Some((_, expected)) if expected != version => {
                return Err(Error::WrongVersion { path: path(), kind, expected, found: version });
            }
            _ => {}
        }
        match shallow(bytes) {
            Ok(Params { params }) => Ok(Self { kind, version, params }),
            Err(source) => Err(Error::DecodeHeader { path: path(), source }),
        }
    }
}

/// Decodes a value that is not nested too deeply.
fn shallow<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, rmp_serde::decode::Error> {
    let mut decoder = rmp_serde::Deserializer::new(bytes);
    decoder.set_max_depth(MAX_NESTING);
    T::deserialize(&mut decoder)
}

/// Returns the first field in which two encoded headers differ, with both values, in words.
pub(crate) fn difference(old: &[u8], new: &[u8]) -> String {
    fn find(at: &str, old: &Value, new: &Value) -> Option<String> {
        match (old, new) {
            (Value::Object(old_map), Value::Object(new_map)) => {
                let keys = old_map.keys().chain(new_map.keys());
                keys.into_iter().find_map(|key| {
                    let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                    let side = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                    find(&at, &side(old_map), &side(new_map))
                })
            }
            _ if old == new => None,
            _ => Some(format!("{at} was {old}, is now {new}")),
        }
    }
    match (shallow(old), shallow(new)) {
        (Ok(old), Ok(new)) => find("", &old, &new),
        _ => None, // not JSON-like
    }
    .unwrap_or_else(|| "the header's bytes differ".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_kind_is_written_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), json!(kind.to_string()));
        }
    }

    #[test]
    fn nesting_is_limited() {
        let path = Path::new("deep.sr");
        let header = |params: Vec<u8>| {
            let start = Header { kind: Kind::Trace, version: 1, params: () }.encode(path).expect("plain data");
            [&start[..start.len() - 1], &params].concat() // nil is one byte
        };
        let nested = |depth| header([vec![0x91; depth], vec![0xc0]].concat());
        assert!(Header::<Value>::decode(path, &nested(100), None).is_ok());
        for depth in [MAX_NESTING, 1_000_000] {
            let error = Header::<Value>::decode(path, &nested(depth), None).expect_err("deep").to_string();
            assert!(error.contains("deep.sr") && error.contains("depth limit exceeded"), "{error}");
            let bytes = [vec![0x91; depth], vec![0xc0]].concat();
            assert!(crate::decode_record::<serde::de::IgnoredAny>(&bytes).is_err());
        }
    }

    #[test]
    fn the_difference_names_the_field() {
        let bytes = |value: Value| rmp_serde::to_vec_named(&value).unwrap();
        let old = bytes(json!({"params": {"engine": {"size": 20, "seed": 1}}}));
        let new = bytes(json!({"params": {"engine": {"size": 20, "seed": 2}}}));
        assert_eq!(difference(&old, &new), "params.engine.seed was 1, is now 2");
        let new = bytes(json!({"params": {"engine": {"size": 20, "seed": 1}, "runs": 3}}));
        assert_eq!(difference(&old, &new), "params.runs was null, is now 3");
    }
}
