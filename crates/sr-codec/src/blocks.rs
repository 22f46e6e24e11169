//! The division of a record into blocks.

use rmp::Marker;

/// Returns the parts of a MessagePack value that are compressed as separate blocks. Each ends with a byte string of at
/// least `column_bytes`.
///
/// Such a string is a column, whose bytes are distributed unlike those of the next one; in one block they would share a
/// code. A value that is no MessagePack is one block.
pub(crate) fn blocks(value: &[u8], column_bytes: usize) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < value.len() {
            let (length, content) = item(&value[at..]).unwrap_or((value.len(), 0));
            at = at.saturating_add(length).min(value.len());
            if content >= column_bytes && at < value.len() {
                let block = &value[start..at];
                start = at;
                return Some(block);
            }
        }
        let block = &value[start..];
        start = value.len();
        (!block.is_empty()).then_some(block)
    })
}

/// Returns the length of the first item (of a map or list, its head alone), and of its content if it is a byte string.
fn item(bytes: &[u8]) -> Option<(usize, usize)> {
    use Marker::*;
    // The number of `size` bytes behind the marker.
    let number = |size: usize| {
        let digits = bytes.get(1..1 + size)?;
        Some(digits.iter().fold(0, |number, &digit| number << 8 | usize::from(digit)))
    };
    let of_size = |size: usize, head: usize| Some(head + size + number(size)?);
    let byte_string = |size: usize| number(size).map(|content| (1 + size + content, content));
    let length = match Marker::from_u8(*bytes.first()?) {
        Bin8 => return byte_string(1),
        Bin16 => return byte_string(2),
        Bin32 => return byte_string(4),
        FixPos(_) | FixNeg(_) | FixMap(_) | FixArray(_) | Null | Reserved | False | True => 1,
        FixStr(length) => 1 + usize::from(length),
        Str8 => of_size(1, 1)?,
        Str16 => of_size(2, 1)?,
        Str32 => of_size(4, 1)?,
        // Behind the length stands the type.
        Ext8 => of_size(1, 2)?,
        Ext16 => of_size(2, 2)?,
        Ext32 => of_size(4, 2)?,
        U8 | I8 => 2,
        U16 | I16 | Array16 | Map16 | FixExt1 => 3,
        FixExt2 => 4,
        U32 | I32 | F32 | Array32 | Map32 => 5,
        FixExt4 => 6,
        U64 | I64 | F64 => 9,
        FixExt8 => 10,
        FixExt16 => 18,
    };
    Some((length, 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMN_BYTES: usize = 128;

    #[derive(Debug, Clone)]
    enum Value {
        Float(f64),
        Single(f32),
        Integer(i64),
        Text(usize),
        Bytes(usize, u8),
        List(Vec<Value>),
    }

    impl Value {
        /// Adds its bytes to `out`, and the ends of the columns in it to `ends`.
        fn write(&self, out: &mut Vec<u8>, ends: &mut Vec<usize>) {
            match self {
                Value::Float(value) => out.extend(leaf(value)),
                Value::Single(value) => out.extend(leaf(value)),
                Value::Integer(value) => out.extend(leaf(value)),
                Value::Text(length) => out.extend(leaf(&"x".repeat(*length))),
                &Value::Bytes(length, byte) => {
                    match u8::try_from(length) {
                        Ok(length) => out.extend([0xc4, length]),
                        Err(_) => out.extend([&[0xc6], &(length as u32).to_be_bytes()[..]].concat()),
                    }
                    out.resize(out.len() + length, byte);
                    if length >= COLUMN_BYTES {
                        ends.push(out.len());
                    }
                }
                Value::List(values) => {
                    out.extend([&[0xdc], &(values.len() as u16).to_be_bytes()[..]].concat());
                    values.iter().for_each(|value| value.write(out, ends));
                }
            }
        }
    }

    fn leaf(value: &impl serde::Serialize) -> Vec<u8> {
        rmp_serde::to_vec(value).expect("a leaf")
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<f64>().prop_map(Value::Float),
            any::<f32>().prop_map(Value::Single),
            prop_oneof![any::<i64>(), -200..200_i64].prop_map(Value::Integer),
            prop_oneof![0..300_usize, 65_000..70_000_usize].prop_map(Value::Text),
            (0..600_usize, any::<u8>()).prop_map(|(length, byte)| Value::Bytes(length, byte)),
        ];
        leaf.prop_recursive(3, 60, 20, |value| proptest::collection::vec(value, 0..20).prop_map(Value::List))
    }

    proptest! {
        #[test]
        fn blocks_end_with_columns(value in value()) {
            let (mut bytes, mut columns) = (Vec::new(), Vec::new());
            value.write(&mut bytes, &mut columns);
            let blocks: Vec<&[u8]> = blocks(&bytes, COLUMN_BYTES).collect();
            prop_assert_eq!(&blocks.concat(), &bytes);
            let mut ends: Vec<usize> =
                blocks.iter().scan(0, |end, block| { *end += block.len(); Some(*end) }).collect();
            prop_assert_eq!(ends.pop(), Some(bytes.len()));
            columns.retain(|&end| end < bytes.len());
            prop_assert_eq!(ends, columns);
        }

        #[test]
        fn any_bytes_are_cut_somehow(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(blocks(&bytes, COLUMN_BYTES).collect::<Vec<_>>().concat(), bytes);
        }
    }
}
