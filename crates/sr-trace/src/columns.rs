//! Columns of numbers, stored as byte strings.

use serde::{Deserialize, Serialize};

use crate::RecordError;

/// A byte string; serde would write a `Vec<u8>` as a list of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Bytes(#[serde(with = "serde_bytes")] pub(crate) Vec<u8>);

impl Bytes {
    /// Makes a column of numbers of four bytes each, little-endian.
    pub(crate) fn of_floats(values: impl IntoIterator<Item = f32>) -> Self {
        let bytes: Vec<[u8; 4]> = values.into_iter().map(f32::to_le_bytes).collect();
        Bytes(bytes.into_flattened())
    }

    /// Returns the numbers of a column that [`of_floats`](Self::of_floats) made. There have to be `count`; `field`
    /// names the column in errors.
    pub(crate) fn floats(&self, field: &'static str, count: usize) -> Result<Vec<f32>, RecordError> {
        let (numbers, rest) = self.0.as_chunks();
        if numbers.len() != count || !rest.is_empty() {
            return Err(RecordError::Length { field, expected: count * 4, found: self.0.len() });
        }
        Ok(numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }
}

/// Adds a number to a column of numbers. A byte holds seven bits, the lowest first; a byte of 128 or more is not the
/// last of its number.
#[inline]
pub(crate) fn push_number(column: &mut Bytes, number: u32) {
    // Nearly all numbers are small.
    match number {
        0..128 => column.0.push(number as u8),
        _ => push_large_number(column, number),
    }
}

#[cold]
fn push_large_number(column: &mut Bytes, mut number: u32) {
    while number >= 128 {
        column.0.push(number as u8 | 128);
        number >>= 7;
    }
    column.0.push(number as u8);
}

/// A reader of the values of a column, one after the other.
#[derive(Debug)]
pub(crate) struct Column<'a> {
    field: &'static str,
    rest: &'a [u8],
}

impl<'a> Column<'a> {
    pub(crate) fn new(field: &'static str, bytes: &'a Bytes) -> Self {
        Column { field, rest: &bytes.0 }
    }

    /// Returns the number of bytes left.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Reads the next number of a column that [`push_number`] wrote.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<u32, RecordError> {
        // Nearly all numbers are small.
        match *self.rest {
            [byte @ 0..128, ref rest @ ..] => {
                self.rest = rest;
                Ok(byte.into())
            }
            _ => self.large_number(),
        }
    }

    #[cold]
    fn large_number(&mut self) -> Result<u32, RecordError> {
        let mut number = 0;
        for shift in (0..32).step_by(7) {
            let byte = self.byte()?;
            let bits = u32::from(byte & 127);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(RecordError::Number { field: self.field })
    }

    /// Reads the next byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, RecordError> {
        self.rest.split_off_first().copied().ok_or(RecordError::Column { field: self.field, short: true })
    }

    /// Reads the next 32-bit float.
    #[inline]
    pub(crate) fn float(&mut self) -> Result<f32, RecordError> {
        let (bytes, rest) =
            self.rest.split_first_chunk().ok_or(RecordError::Column { field: self.field, short: true })?;
        self.rest = rest;
        Ok(f32::from_le_bytes(*bytes))
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(&self) -> Result<(), RecordError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RecordError::Column { field: self.field, short: false }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_too_large_ones_are_refused() {
        let numbers: Vec<u32> = (0..32).flat_map(|bit| [1 << bit, (1 << bit) - 1]).chain([u32::MAX]).collect();
        let mut column = Bytes::default();
        numbers.iter().for_each(|&number| push_number(&mut column, number));
        let mut read = Column::new("numbers", &column);
        assert!(numbers.iter().all(|&number| read.number() == Ok(number)));
        assert_eq!(read.finish(), Ok(()));
        assert!(read.number().is_err());
        for bytes in [vec![255; 4], vec![255, 255, 255, 255, 16], vec![128; 6]] {
            assert!(Column::new("numbers", &Bytes(bytes)).number().is_err());
        }
    }
}
