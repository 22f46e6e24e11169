//! The division of a record into blocks.

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
    let number = |size: usize| {
        let digits = bytes.get(1..1 + size)?;
        Some(digits.iter().fold(0, |number, &digit| number << 8 | usize::from(digit)))
    };
    // <https://github.com/msgpack/msgpack/blob/master/spec.md>
    let length = match *bytes.first()? {
        0xa0..=0xbf => 1 + usize::from(bytes[0] & 31),
        0xc4..=0xc6 => {
            let size = 1 << (bytes[0] - 0xc4);
            let content = number(size)?;
            return Some((1 + size + content, content));
        }
        0xc7..=0xc9 => {
            let size = 1 << (bytes[0] - 0xc7);
            2 + size + number(size)?
        }
        0xca => 5,
        0xcb => 9,
        0xcc..=0xcf => 1 + (1 << (bytes[0] - 0xcc)),
        0xd0..=0xd3 => 1 + (1 << (bytes[0] - 0xd0)),
        0xd4..=0xd8 => 2 + (1 << (bytes[0] - 0xd4)),
        0xd9..=0xdb => {
            let size = 1 << (bytes[0] - 0xd9);
            1 + size + number(size)?
        }
        0xdc | 0xde => 3,
        0xdd | 0xdf => 5,
        _ => 1,
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
