//! Columns of numbers as byte strings.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::RecordError;

/// A byte string; serde would write a `Vec<u8>` as a list of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

impl Bytes {
    /// Numbers, four bytes each, little-endian.
    pub(crate) fn of_floats(values: impl IntoIterator<Item = f32>) -> Self {
        Bytes(values.into_iter().flat_map(f32::to_le_bytes).collect())
    }

    /// The numbers of column `field`, `count` of them.
    pub(crate) fn floats(&self, field: &'static str, count: usize) -> Result<Vec<f32>, RecordError> {
        let (numbers, rest) = self.0.as_chunks();
        if numbers.len() != count || !rest.is_empty() {
            return Err(RecordError::Length { field, expected: count * 4, found: self.0.len() });
        }
        Ok(numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }
}
