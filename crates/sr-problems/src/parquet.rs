//! The reader of tables in Parquet files.

use std::fs::File;
use std::path::Path;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, Type};
use serde::Deserialize;

use crate::table::{Found, Numbered, Roles, Wanted};
use crate::text::is_missing;
use crate::{Decimal, Error, Missing, TableOptions, TableWarning};

/// The first bytes of every Parquet file.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";

/// The number of values of a column that are in memory beside the numbers that they become.
const BATCH: usize = 1 << 16;

/// Reads the columns that `options` uses.
pub(crate) fn read(path: &Path, file: File, options: &TableOptions, wanted: Wanted<'_>) -> Result<Found, Error> {
    let text_option = match options {
        TableOptions { header: false, .. } => Some("--no-header"),
        TableOptions { separator: Some(_), .. } => Some("--separator"),
        TableOptions { decimal: Decimal::Comma, .. } => Some("--decimal ,"),
        _ => None,
    };
    if let Some(option) = text_option {
        return Err(Error::TextOption { path: path.into(), option });
    }
    let error = Error::parquet(path);
    let reader = SerializedFileReader::new(file).map_err(&error)?;
    let metadata = reader.metadata().file_metadata();
    let schema = metadata.schema_descr();
    let fields = schema.root_schema().get_fields();
    let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let pairs = metadata.key_value_metadata().map_or(&[][..], Vec::as_slice);
    let pandas = pairs.iter().find(|pair| pair.key == "pandas").and_then(|pair| pair.value.as_deref());
    let pandas: Pandas = pandas.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();

    let roles = Roles::of(path, &names, options, wanted, |name| pandas.is_index(name))?;
    let used = roles.used();
    let is_group = |slot: usize| roles.group.is_some() && slot + 1 == used.len();
    let durations = pandas.durations();
    let mut columns = vec![Column::default(); used.len()];
    let mut warnings = Vec::new();
    for (slot, &index) in used.iter().enumerate() {
        let column = || names[index].clone();
        match not_numbers(&fields[index]) {
            None => {}
            Some(_) if is_group(slot) && is_text(&fields[index]) => {}
            Some(found) if is_group(slot) => {
                return Err(Error::NoLabels { path: path.into(), column: column(), found });
            }
            Some(found) => {
                let is_variable = roles.is_variable(slot);
                return Err(Error::NotNumeric { path: path.into(), column: column(), found, is_variable });
            }
        }
        if let Some((_, unit)) = durations.iter().find(|(name, _)| *name == names[index]) {
            warnings.push(TableWarning::Duration { column: column(), unit: (*unit).into() });
        }
    }
    // Leaves are counted through nested columns, which may come between those that are used.
    let mut leaf_of = vec![0; names.len()];
    (0..schema.num_columns()).for_each(|leaf| leaf_of[schema.get_column_root_idx(leaf)] = leaf);
    // Groups count from 0 in the order in which they are met.
    let mut labels = Numbered::new(Wanted::Problem);
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(&error)?;
        for (slot, (&index, out)) in used.iter().zip(&mut columns).enumerate() {
            let leaf = leaf_of[index];
            if let Some(codec) = not_compressed_so(group.metadata().column(leaf).compression()) {
                return Err(Error::Compression { path: path.into(), column: names[index].clone(), codec });
            }
            read_column(&*group, leaf, out, is_group(slot).then_some(&mut labels)).map_err(&error)?;
        }
    }

    let n_rows = match columns.first() {
        Some(column) => column.values.len(),
        None => usize::try_from(metadata.num_rows()).unwrap_or(0),
    };
    let mut is_missing = vec![false; n_rows];
    for (slot, (column, &index)) in columns.iter().zip(&used).enumerate() {
        let name = || names[index].clone();
        for (row, &value) in column.values.iter().enumerate() {
            let bad = |reason| {
                let (column, text) = (name().into(), format!("{value:?}"));
                let (path, row, text) = (path.into(), row + 1, text.into());
                let also = roles.is_variable(slot).then(Box::default);
                Error::NotANumber { path, row, line: None, column, text, reason, also }
            };
            if value.is_nan() && options.missing == Missing::Refuse {
                let text = column.first_missing.clone().unwrap_or_default();
                return Err(Error::Missing { path: path.into(), row: row + 1, line: None, column: name(), text });
            }
            if value.is_infinite() {
                return Err(bad("is not a finite number"));
            }
            if let Some(fault) = roles.fault(slot, value) {
                return Err(bad(fault));
            }
            is_missing[row] |= value.is_nan();
        }
        warnings.extend(column.lost.as_ref().map(|(row, text, kept)| TableWarning::LostDigits {
            column: name(),
            row: row + 1,
            text: text.clone(),
            kept: *kept,
        }));
    }
    let dropped: Vec<usize> = (0..n_rows).filter(|&row| is_missing[row]).collect();
    let mut values: Vec<Vec<f64>> = columns.into_iter().map(|column| column.values).collect();
    let (labels, mut groups) = (labels.into_groups(), Numbered::new(wanted));
    if let (true, Some(index), Some(of_rows)) = (groups.is_closed(), roles.group, values.last_mut()) {
        for (row, value) in of_rows.iter_mut().enumerate().filter(|(row, _)| !is_missing[*row]) {
            let group = &labels[*value as usize];
            let number = groups.of(group);
            *value = number.ok_or_else(|| groups.unknown(path, row + 1, None, &names[index], group))? as f64;
        }
    }
    if !dropped.is_empty() {
        for column in &mut values {
            let mut dropped = is_missing.iter();
            column.retain(|_| !dropped.next().expect("columns have equal lengths"));
        }
    }
    Ok(Found { names, roles, values, labels, rows: n_rows - dropped.len(), dropped, text: None, warnings })
}

/// The metadata that pandas writes into a file.
#[derive(Default, Deserialize)]
struct Pandas {
    #[serde(default)]
    index_columns: Vec<serde_json::Value>,
    #[serde(default)]
    columns: Vec<PandasColumn>,
}

#[derive(Deserialize)]
struct PandasColumn {
    name: Option<String>,
    field_name: Option<String>,
    numpy_type: Option<String>,
}

impl Pandas {
    /// Returns whether the column is the index of the data frame, not one of its columns. An index that only counts is
    /// not stored as a column.
    fn is_index(&self, name: &str) -> bool {
        self.index_columns.iter().any(|index| index.as_str() == Some(name))
    }

    /// Returns the columns of durations and their units. The file stores them as plain whole numbers.
    fn durations(&self) -> Vec<(&str, &str)> {
        let durations = self.columns.iter().filter_map(|column| {
            let unit = column.numpy_type.as_deref()?.strip_prefix("timedelta64[")?.strip_suffix(']')?;
            Some((column.field_name.as_deref().or(column.name.as_deref())?, unit))
        });
        durations.collect()
    }
}

/// Returns what a column holds, or `None` if that is numbers or booleans.
fn not_numbers(field: &Type) -> Option<&'static str> {
    use ConvertedType as C;
    if !field.is_primitive() || field.get_basic_info().repetition() == Repetition::REPEATED {
        return Some("nested values");
    }
    let (converted, logical) = (field.get_basic_info().converted_type(), field.get_basic_info().logical_type_ref());
    match field.get_physical_type() {
        Physical::BOOLEAN | Physical::FLOAT | Physical::DOUBLE => None,
        Physical::INT32 | Physical::INT64 => match (converted, logical) {
            // Timestamps in nanoseconds have no converted type.
            (_, Some(LogicalType::Timestamp(_))) | (C::TIMESTAMP_MILLIS | C::TIMESTAMP_MICROS, _) => {
                Some("dates with times (timestamps)")
            }
            (_, Some(LogicalType::Time(_))) | (C::TIME_MILLIS | C::TIME_MICROS, _) => Some("times of day"),
            (C::DATE, _) => Some("dates"),
            (C::NONE | C::DECIMAL | C::INT_8 | C::INT_16 | C::INT_32 | C::INT_64, _) => None,
            (C::UINT_8 | C::UINT_16 | C::UINT_32 | C::UINT_64, _) => None,
            _ => Some("something else"),
        },
        Physical::INT96 => Some("dates with times (timestamps)"),
        _ if converted == C::DECIMAL || logical == Some(&LogicalType::Float16) => None,
        _ => Some("text or bytes"),
    }
}

/// Returns whether a column that holds no numbers holds text. Some writers do not say so of text.
fn is_text(field: &Type) -> bool {
    let converted = field.get_basic_info().converted_type();
    field.is_primitive() && field.get_physical_type() == Physical::BYTE_ARRAY && converted != ConvertedType::BSON
}

/// Returns the name of a compression that is not read, or `None` for one that is.
fn not_compressed_so(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::BROTLI(_) => Some("brotli"),
        Compression::LZO => Some("lzo"),
        _ => None,
    }
}

/// The part of a column that was read.
#[derive(Default, Clone)]
struct Column {
    /// The values, NaN where there is none.
    values: Vec<f64>,
    /// What stands in the first row that has no value.
    first_missing: Option<String>,
    /// The first row whose number is no 64-bit float, the digits of that number, and the float that it became.
    lost: Option<(usize, String, f64)>,
}

/// A value of a file as its nearest float, and as text if the float differs from it. A word is not a number, and its text.
type Value = (f64, Option<String>);

/// Appends a column of a row group. If there are `labels`, it is that of the groups, and its values become the numbers of
/// their texts.
fn read_column(
    group: &dyn RowGroupReader,
    leaf: usize,
    out: &mut Column,
    labels: Option<&mut Numbered>,
) -> ParquetResult<()> {
    let meta = group.metadata().column(leaf);
    let column = meta.column_descr();
    let n_rows = usize::try_from(group.metadata().num_rows()).map_err(|_| bad("a negative number of rows"))?;
    let unsigned = matches!(column.converted_type(), ConvertedType::UINT_32 | ConvertedType::UINT_64);
    let is_decimal = column.converted_type() == ConvertedType::DECIMAL;
    let (scale, is_group) = (column.type_scale(), labels.is_some());
    let decimal = |unscaled: &[u8]| match scaled(unscaled, scale) {
        // Two groups may have the same nearest float.
        (value, _) if is_group => (value, Some(plain(&digits(unscaled), scale))),
        value => value,
    };
    let sink = Sink { column, n_rows, out, labels };
    match group.get_column_reader(leaf)? {
        ColumnReader::BoolColumnReader(reader) => sink.append(reader, |&v| Ok((u8::from(v).into(), None))),
        ColumnReader::Int32ColumnReader(reader) => sink.append(reader, |&v| match v {
            _ if is_decimal => Ok(decimal(&v.to_be_bytes())),
            _ if unsigned => Ok((f64::from(v as u32), None)),
            _ => Ok((f64::from(v), None)),
        }),
        ColumnReader::Int64ColumnReader(reader) => sink.append(reader, |&v| match v {
            _ if is_decimal => Ok(decimal(&v.to_be_bytes())),
            _ if unsigned => Ok(whole((v as u64).into())),
            _ => Ok(whole(v.into())),
        }),
        ColumnReader::FloatColumnReader(reader) => sink.append(reader, |&v| Ok((v.into(), None))),
        ColumnReader::DoubleColumnReader(reader) => sink.append(reader, |&v| Ok((v, None))),
        ColumnReader::ByteArrayColumnReader(reader) => sink.append(reader, |v| match v.data() {
            data if is_decimal => Ok(decimal(data)),
            data => match std::str::from_utf8(data) {
                Ok(word) => Ok((f64::NAN, Some(word.trim().to_owned()))),
                Err(_) => Err(bad(&format!("column {}: a group is no UTF-8 text", column.name()))),
            },
        }),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => sink.append(reader, |v| match v.data() {
            data if is_decimal => Ok(decimal(data)),
            &[low, high] => Ok((half(u16::from_le_bytes([low, high])), None)),
            _ => Err(bad("a half-precision number is not of two bytes")),
        }),
        ColumnReader::Int96ColumnReader(_) => unreachable!("the schema was checked"),
    }
}

/// Where the values of a column of a row group go.
struct Sink<'a> {
    column: &'a ColumnDescriptor,
    n_rows: usize,
    out: &'a mut Column,
    labels: Option<&'a mut Numbered>,
}

impl Sink<'_> {
    fn append<T: DataType>(
        self,
        mut reader: ColumnReaderImpl<T>,
        value: impl Fn(&T::T) -> ParquetResult<Value>,
    ) -> ParquetResult<()> {
        let Sink { column, n_rows, out, mut labels } = self;
        let (mut levels, mut values, mut read) = (Vec::new(), Vec::new(), 0);
        out.values.reserve(n_rows.min(BATCH));
        while read < n_rows {
            levels.clear();
            values.clear();
            let n = BATCH.min(n_rows - read);
            let (rows, ..) = reader.read_records(n, Some(&mut levels), None, &mut values)?;
            if rows == 0 {
                return Err(bad("a column has fewer values than rows"));
            }
            read += rows;
            let mut values = values.iter();
            for row in 0..rows {
                // A level below the highest means that there is no value; a column that cannot be null has no levels.
                if levels.get(row).is_some_and(|&level| level < column.max_def_level()) {
                    out.push_missing("null");
                    continue;
                }
                let stored = values.next().ok_or_else(|| bad("a column has fewer values than rows"))?;
                let (value, text) = value(stored)?;
                match &mut labels {
                    Some(labels) => out.push_label(labels, value, text),
                    None => out.push(value, text),
                }
            }
        }
        Ok(())
    }
}

impl Column {
    fn push(&mut self, value: f64, digits: Option<String>) {
        if value.is_nan() {
            return self.push_missing("NaN");
        }
        if let (None, Some(digits)) = (&self.lost, digits) {
            self.lost = Some((self.values.len(), digits, value));
        }
        self.values.push(value);
    }

    /// Adds the number of a group.
    fn push_label(&mut self, labels: &mut Numbered, value: f64, text: Option<String>) {
        let label = text.unwrap_or_else(|| (value + 0.0).to_string()); // -0.0 is 0
        if is_missing(&label) {
            return self.push_missing(&label);
        }
        self.values.push(labels.of(&label).expect("any group is wanted") as f64);
    }

    fn push_missing(&mut self, what: &str) {
        self.first_missing.get_or_insert_with(|| what.to_owned());
        self.values.push(f64::NAN);
    }
}

fn bad(reason: &str) -> ParquetError {
    ParquetError::General(reason.into())
}

fn whole(value: i128) -> Value {
    let kept = value as f64;
    (kept, (kept as i128 != value).then(|| value.to_string()))
}

/// Returns the decimal `unscaled · 10^−scale`, rounded as correctly as text is. `unscaled` is in two's complement of
/// any length, the highest byte first.
fn scaled(unscaled: &[u8], scale: i32) -> Value {
    let digits = digits(unscaled);
    let kept = format!("{digits}e{}", -i64::from(scale)).parse().expect("digits and an exponent are a number");
    let lost = scale == 0 && format!("{kept:.0}") != digits;
    (kept, lost.then_some(digits))
}

/// Returns digits with `scale` of them behind the point, written as a float is.
fn plain(digits: &str, scale: i32) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let (sign, digits) = digits.split_at(usize::from(digits.starts_with('-')));
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let text = format!("{sign}{whole}.{fraction}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns the decimal digits of a number in two's complement, the highest byte first.
fn digits(bytes: &[u8]) -> String {
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut magnitude = bytes.to_vec();
    if is_negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    // Each step takes nine digits, the lowest first: the remainder of a division by 10⁹.
    let mut groups = Vec::new();
    while magnitude.iter().any(|&byte| byte != 0) {
        let mut rest = 0_u64;
        for byte in &mut magnitude {
            rest = rest << 8 | u64::from(*byte);
            *byte = (rest / 1_000_000_000) as u8;
            rest %= 1_000_000_000;
        }
        groups.push(rest);
    }
    let mut text = String::from(if is_negative { "-" } else { "" });
    text += &groups.pop().unwrap_or(0).to_string();
    groups.iter().rev().for_each(|group| text += &format!("{group:09}"));
    text
}

/// Converts an IEEE half-precision number: 1 bit sign, 5 bits exponent, 10 bits fraction.
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::Compression;
    use parquet::data_type::{
        BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType, Int32Type,
        Int64Type, Int96, Int96Type,
    };
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::{GroupColumn, Provenance, Table, columns_of_table, from_table};

    enum Data {
        Bool(Vec<bool>),
        Int32(Vec<i32>),
        Int64(Vec<i64>),
        Float(Vec<f32>),
        Double(Vec<f64>),
        Nullable(Vec<Option<f64>>),
        Words(Vec<Option<&'static str>>),
        Bytes(Vec<Vec<u8>>),
        Fixed(Vec<Vec<u8>>),
        Int96(Vec<Int96>),
    }

    /// Writes row groups of columns into `flow.parquet`.
    fn file(schema: &str, compression: Compression, groups: &[&[Data]]) -> TempDir {
        file_with(schema, WriterProperties::builder().set_compression(compression).build(), groups)
    }

    fn file_with(schema: &str, properties: WriterProperties, groups: &[&[Data]]) -> TempDir {
        let folder = tempdir().unwrap();
        let schema = Arc::new(parse_message_type(&format!("message m {{ {schema} }}")).unwrap());
        let properties = Arc::new(properties);
        let file = File::create(folder.path().join("flow.parquet")).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
        for columns in groups {
            let mut group = writer.next_row_group().unwrap();
            for column in *columns {
                let mut out = group.next_column().unwrap().unwrap();
                match column {
                    Data::Bool(v) => out.typed::<BoolType>().write_batch(v, None, None),
                    Data::Int32(v) => out.typed::<Int32Type>().write_batch(v, None, None),
                    Data::Int64(v) => out.typed::<Int64Type>().write_batch(v, None, None),
                    Data::Float(v) => out.typed::<FloatType>().write_batch(v, None, None),
                    Data::Double(v) => out.typed::<DoubleType>().write_batch(v, None, None),
                    Data::Nullable(v) => {
                        let levels: Vec<i16> = v.iter().map(|v| i16::from(v.is_some())).collect();
                        let v: Vec<f64> = v.iter().copied().flatten().collect();
                        out.typed::<DoubleType>().write_batch(&v, Some(&levels), None)
                    }
                    Data::Words(v) => {
                        let levels: Vec<i16> = v.iter().map(|v| i16::from(v.is_some())).collect();
                        let v: Vec<ByteArray> = v.iter().copied().flatten().map(ByteArray::from).collect();
                        out.typed::<ByteArrayType>().write_batch(&v, Some(&levels), None)
                    }
                    Data::Bytes(v) => {
                        let v: Vec<ByteArray> = v.iter().map(|v| v.clone().into()).collect();
                        out.typed::<ByteArrayType>().write_batch(&v, None, None)
                    }
                    Data::Fixed(v) => {
                        let v: Vec<FixedLenByteArray> = v.iter().map(|v| v.clone().into()).collect();
                        out.typed::<FixedLenByteArrayType>().write_batch(&v, None, None)
                    }
                    Data::Int96(v) => out.typed::<Int96Type>().write_batch(v, None, None),
                }
                .unwrap();
                out.close().unwrap();
            }
            group.close().unwrap();
        }
        writer.close().unwrap();
        folder
    }

    fn import_with(folder: &TempDir, options: &TableOptions) -> Result<Table, String> {
        from_table(&folder.path().join("flow.parquet"), options).map_err(|error| error.to_string())
    }

    fn import(folder: &TempDir) -> Result<Table, String> {
        import_with(folder, &TableOptions::new("y"))
    }

    #[test]
    fn numbers_of_every_width_become_columns() {
        let schema =
            "required boolean flag; required int32 small (INTEGER(8,true)); required int32 big (INTEGER(32,false));
            required int64 wide (INTEGER(64,false)); required float f; required fixed_len_byte_array(2) half (FLOAT16);
            required int32 price (DECIMAL(9,2)); required int64 debt (DECIMAL(18,1));
            required binary sum (DECIMAL(20,3)); required double y;";
        let columns = [
            Data::Bool(vec![true, false]),
            Data::Int32(vec![-3, 100]),
            Data::Int32(vec![-1, 7]),
            Data::Int64(vec![-1, 8]),
            Data::Float(vec![0.1, -2.5]),
            Data::Fixed(vec![0x3e00_u16.to_le_bytes().to_vec(), 0x8001_u16.to_le_bytes().to_vec()]),
            Data::Int32(vec![1999, -5]),
            Data::Int64(vec![-25, 10]),
            Data::Bytes(vec![vec![0xff, 0x38], vec![0x07, 0xd0]]),
            Data::Double(vec![0.1, 1e300]),
        ];
        let Table { set, report, .. } = import(&file(schema, Compression::UNCOMPRESSED, &[&columns])).unwrap();
        let told = "column wide, row 1: 18446744073709551615 has more digits than a 64-bit float and becomes \
                    1.8446744073709552e19";
        assert_eq!(report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [told]);
        assert!(set.is_own_data() && report.text.is_none());
        let problem = &set.problems[0];
        let expected = [
            [1.0, 0.0],
            [-3.0, 100.0],
            [4_294_967_295.0, 7.0],
            [18_446_744_073_709_551_616.0, 8.0], // 2⁶⁴ − 1 is no 64-bit float
            [f64::from(0.1_f32), -2.5],
            [1.5, -(2_f64.powi(-24))],
            [19.99, -0.05],
            [-2.5, 1.0],
            [-0.2, 2.0],
        ];
        for (index, column) in expected.iter().enumerate() {
            assert_eq!(problem.x.column(index), column, "column {index}");
        }
        assert_eq!((&*problem.id, &*problem.y), ("flow", &[0.1, 1e300][..]));
        let Provenance::Parquet { target, variables } = set.params.origin else { panic!("{:?}", set.params.origin) };
        assert_eq!((&*target, &*variables[8], variables.len()), ("y", "sum", 9));
    }

    #[test]
    fn row_groups_follow_each_other_whatever_the_compression() {
        let [zstd, gzip] = [Compression::ZSTD(Default::default()), Compression::GZIP(Default::default())];
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4_RAW, zstd, gzip] {
            let few = [Data::Double(vec![1.0, 2.0]), Data::Float(vec![3.0, 4.0])];
            let many = [Data::Double(vec![5.0; 5000]), Data::Float(vec![0.5; 5000])];
            let folder = file("required double y; required float x;", compression, &[&few, &many]);
            let problem = import(&folder).unwrap().set.problems.remove(0);
            assert_eq!((problem.y.len(), problem.y[1], problem.x.column(0)[1]), (5002, 2.0, 4.0), "{compression}");
        }
    }

    #[test]
    fn a_null_is_named() {
        let import = |x: &[Option<f64>]| {
            let one = [Data::Double(vec![0.0]), Data::Nullable(vec![Some(7.0)])];
            let more = [Data::Double(vec![0.0; x.len()]), Data::Nullable(x.to_vec())];
            import(&file("required double y; optional double x;", Compression::SNAPPY, &[&one, &more]))
        };
        assert_eq!(import(&[Some(1.0), Some(2.0)]).unwrap().set.problems[0].x.column(0), [7.0, 1.0, 2.0]);
        let message = import(&[Some(1.0), None, Some(2.0)]).unwrap_err();
        assert!(message.contains("flow.parquet: row 3, column x: the value is missing (\"null\")"), "{message}");
    }

    #[test]
    fn rows_with_a_missing_value_are_left_out_on_demand_and_counted() {
        let columns = [
            Data::Double(vec![0.5, 1.5, f64::NAN, 3.5]),
            Data::Nullable(vec![Some(7.0), None, Some(8.0), Some(9.0)]),
            Data::Double(vec![f64::NAN; 4]),
        ];
        let schema = "required double y; optional double x; required double z;";
        let folder = file(schema, Compression::SNAPPY, &[&columns]);
        let message = import(&folder).unwrap_err();
        assert!(message.contains("row 3, column y: the value is missing (\"NaN\")"), "{message}");
        let drop = TableOptions { missing: Missing::Drop, drop: vec!["z".into()], ..TableOptions::new("y") };
        let table = import_with(&folder, &drop).unwrap();
        assert_eq!((table.report.rows, table.report.dropped_rows), (2, 2));
        assert_eq!((table.set.problems[0].x.column(0), &*table.set.problems[0].y), (&[7.0, 9.0][..], &[0.5, 3.5][..]));
        let message = import_with(&folder, &TableOptions { drop: vec![], ..drop }).unwrap_err();
        assert!(message.contains("each of the 4 has a missing value"), "{message}");
    }

    #[test]
    fn whole_numbers_and_decimals_of_any_size_become_the_nearest_float() {
        let big = 9_007_199_254_740_993_i64; // 2⁵³ + 1
        let wide = |value: i128, len: usize| -> Vec<u8> {
            let sign = if value < 0 { 0xff } else { 0 };
            let bytes = value.to_be_bytes();
            [vec![sign; len.saturating_sub(16)], bytes[16_usize.saturating_sub(len)..].to_vec()].concat()
        };
        let schema = "required int64 n; required fixed_len_byte_array(32) d (DECIMAL(76,10));
            required fixed_len_byte_array(9) w (DECIMAL(19,0)); required int64 y;";
        let columns = [
            Data::Int64(vec![1, big, i64::MAX]),
            Data::Fixed([-12_345_678_901_i128, 1, i128::MAX].map(|value| wide(value, 32)).to_vec()),
            Data::Fixed([-1_i128, 1 << 60, 9_999_999_999_999_999_999].map(|value| wide(value, 9)).to_vec()),
            Data::Int64(vec![0, -1, -big]),
        ];
        let Table { set, report, .. } = import(&file(schema, Compression::SNAPPY, &[&columns])).unwrap();
        let x = &set.problems[0].x;
        assert_eq!(x.column(0), [1.0, 9_007_199_254_740_992.0, 9_223_372_036_854_775_808.0]);
        assert_eq!(x.column(1), [-1.234_567_890_1, 1e-10, 17_014_118_346_046_923_173_168_730_371.588]);
        assert_eq!(x.column(2), [-1.0, 1_152_921_504_606_846_976.0, 1e19]);
        assert_eq!(set.problems[0].y, [0.0, -1.0, -9_007_199_254_740_992.0]);
        let told: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("column y, row 3: -9007199254740993 has more digits"), "{told:?}");
        assert!(told[1].starts_with("column n, row 2: 9007199254740993 has more digits"), "{told:?}");
        assert!(told[2].starts_with("column w, row 3: 9999999999999999999 has more digits"), "{told:?}");
        assert_eq!(digits(&[0x80, 0]), "-32768");
        assert_eq!(digits(&[]), "0");
        assert_eq!(digits(&i128::MIN.to_be_bytes()), i128::MIN.to_string());
    }

    #[test]
    fn small_unsigned_numbers_booleans_and_dictionaries_are_read() {
        let schema = "required int32 a (INTEGER(8,false)); required int32 b (INTEGER(16,false)); required boolean c;
            required double y;";
        let n = 256;
        let columns = [
            Data::Int32((0..n).collect()),
            Data::Int32((0..n).map(|value| value * 257).collect()),
            Data::Bool((0..n).map(|value| value % 2 == 1).collect()),
            // The dictionary is full after a few values, so that the rest of the column is plain.
            Data::Double((0..n).map(f64::from).collect()),
        ];
        let properties = WriterProperties::builder().set_dictionary_page_size_limit(64).set_write_batch_size(8).build();
        let problem = import(&file_with(schema, properties, &[&columns, &columns])).unwrap().set.problems.remove(0);
        for row in 0..2 * n as usize {
            let value = (row % 256) as f64;
            let found = [0, 1, 2].map(|column| problem.x.column(column)[row]);
            assert_eq!((found, problem.y[row]), ([value, value * 257.0, value % 2.0], value), "row {row}");
        }
    }

    #[test]
    fn only_the_columns_in_use_are_read() {
        let schema = "required binary name (UTF8); required group g { required double a; required double b; }
            required int32 day (DATE); required double x; required double y;";
        let columns = [
            Data::Bytes(vec![b"low".to_vec()]),
            Data::Double(vec![5.0]),
            Data::Double(vec![6.0]),
            Data::Int32(vec![1]),
            Data::Double(vec![1.5]),
            Data::Double(vec![2.5]),
        ];
        let folder = file(schema, Compression::SNAPPY, &[&columns]);
        let message = import(&folder).unwrap_err();
        assert!(message.contains("column name holds text or bytes, expected numbers; leave it out with --drop name"));
        let target = import_with(&folder, &TableOptions::new("name")).unwrap_err();
        assert!(target.ends_with("column name holds text or bytes, expected numbers"), "{target}");
        let drop = TableOptions { drop: vec!["name,g,day".into()], ..TableOptions::new("y") };
        let table = import_with(&folder, &drop).unwrap();
        assert_eq!((table.set.problems[0].x.column(0), &*table.set.problems[0].y), (&[1.5][..], &[2.5][..]));
        assert_eq!(table.report.unused, ["name", "g", "day"]);
    }

    #[test]
    fn groups_are_words_and_numbers_with_all_their_digits() {
        let grouped = |missing| TableOptions { group: Some("g".into()), missing, ..TableOptions::new("y") };
        let of = |kind: &str, groups: Data, missing| {
            let n = match &groups {
                Data::Words(v) => v.len(),
                Data::Bytes(v) | Data::Fixed(v) => v.len(),
                Data::Int64(v) => v.len(),
                Data::Double(v) => v.len(),
                Data::Int32(v) => v.len(),
                _ => unreachable!("no such groups"),
            };
            let x = || Data::Double((0..n).map(|row| row as f64).collect());
            let schema = format!("required double x; {kind}; required double y;");
            import_with(&file(&schema, Compression::SNAPPY, &[&[x(), groups, x()]]), &grouped(missing))
        };
        let groups = |kind: &str, groups: Data| of(kind, groups, Missing::Refuse).map(|table| table.groups.unwrap());
        let words = || Data::Words(vec![Some("south"), Some(" north 2"), Some("south"), Some("é")]);
        for kind in
            ["optional binary g (UTF8)", "optional binary g (STRING)", "optional binary g (ENUM)", "optional binary g"]
        {
            assert_eq!(groups(kind, words()).unwrap(), ["south", "north 2", "south", "é"], "{kind}");
        }
        let table = of("optional binary g (UTF8)", words(), Missing::Refuse).unwrap();
        assert_eq!(table.report.group.as_deref(), Some("g"));
        assert_eq!((table.report.variables, table.report.warnings), (vec!["x".to_owned()], vec![]));

        // Both become the same 64-bit float.
        let [even, odd] = [9_007_199_254_740_992, 9_007_199_254_740_993];
        let found = groups("required int64 g", Data::Int64(vec![even, odd, -odd, 7])).unwrap();
        assert_eq!(found, ["9007199254740992", "9007199254740993", "-9007199254740993", "7"]);
        let found = groups("required int64 g (INTEGER(64,false))", Data::Int64(vec![-1, -2])).unwrap();
        assert_eq!(found, ["18446744073709551615", "18446744073709551614"]);
        let decimals = [12_345_678_901_234_567_890_i128, 12_345_678_901_234_567_891, -50, 5, 0];
        let decimals = Data::Bytes(decimals.map(|value| value.to_be_bytes().to_vec()).to_vec());
        let found = groups("required binary g (DECIMAL(20,2))", decimals).unwrap();
        assert_eq!(found, ["123456789012345678.9", "123456789012345678.91", "-0.5", "0.05", "0"]);
        let found = groups("required double g", Data::Double(vec![1.0, -0.0, 0.0, 2.5])).unwrap();
        assert_eq!(found, ["1", "0", "0", "2.5"]);

        // What is missing is no group.
        for (word, told) in
            [(None, "null"), (Some(""), ""), (Some("NA"), "NA"), (Some(" nan"), "nan"), (Some("None"), "None")]
        {
            let words = || Data::Words(vec![Some("a"), word, Some("b"), Some("NULL")]);
            let message = groups("optional binary g (UTF8)", words()).unwrap_err();
            assert!(message.contains(&format!("row 2, column g: the value is missing ({told:?})")), "{message}");
            let table = of("optional binary g (UTF8)", words(), Missing::Drop).unwrap();
            assert_eq!((table.groups.unwrap(), table.report.dropped), (vec!["a".into(), "b".into()], vec![1, 3]));
        }
        let message = groups("required double g", Data::Double(vec![1.0, f64::NAN])).unwrap_err();
        assert!(message.contains("row 2, column g: the value is missing (\"NaN\")"), "{message}");

        for (kind, values, expected) in [
            (
                "required int32 g (DATE)",
                Data::Int32(vec![1]),
                "column g holds dates, and groups of a Parquet file are numbers or text; save the table as CSV",
            ),
            ("required binary g (BSON)", Data::Bytes(vec![b"a".to_vec()]), "column g holds text or bytes, and groups"),
            (
                "required fixed_len_byte_array(16) g (UUID)",
                Data::Fixed(vec![vec![0; 16]]),
                "column g holds text or bytes, and groups",
            ),
            ("required binary g", Data::Bytes(vec![vec![0xff]]), "column g: a group is no UTF-8 text"),
        ] {
            let message = groups(kind, values).unwrap_err();
            assert!(message.contains(expected) && !message.contains("--drop"), "{message}");
        }
    }

    #[test]
    fn groups_of_a_formula_are_found_by_their_text() {
        let columns =
            [Data::Words(vec![Some("b"), Some("west"), Some("a")]), Data::Nullable(vec![Some(1.0), None, Some(3.0)])];
        let folder = file("optional binary g (UTF8); optional double x;", Compression::SNAPPY, &[&columns]);
        let groups = ["a", "b"].map(String::from);
        let read = |missing| {
            let (column, options) =
                (GroupColumn { name: "g", groups: &groups }, TableOptions { missing, ..TableOptions::new("") });
            let path = folder.path().join("flow.parquet");
            columns_of_table(&path, &["x".into()], Some(column), &options).map_err(|error| error.to_string())
        };
        // A row that is left out may be of any group.
        let found = read(Missing::Drop).unwrap();
        assert_eq!((found.groups, found.x.column(0), found.dropped), (vec![1, 0], &[1.0, 3.0][..], vec![1]));
        assert!(read(Missing::Refuse).unwrap_err().contains("row 2, column x: the value is missing"));
        let columns = [Data::Words(vec![Some("b"), Some("west")]), Data::Nullable(vec![Some(1.0), Some(2.0)])];
        let folder = file("optional binary g (UTF8); optional double x;", Compression::SNAPPY, &[&columns]);
        let column = GroupColumn { name: "g", groups: &groups };
        let path = folder.path().join("flow.parquet");
        let error =
            columns_of_table(&path, &["x".into()], Some(column), &TableOptions::new("")).unwrap_err().to_string();
        assert!(error.contains("row 2, column g: \"west\" is no group of the fit, whose groups are a, b"), "{error}");
    }

    #[test]
    fn what_pandas_says_of_its_index_and_of_durations_is_heard() {
        let pandas = r#"{"index_columns": ["sample"], "column_indexes": [], "columns": [
            {"name": "x", "field_name": "x", "pandas_type": "int64", "numpy_type": "timedelta64[ns]", "metadata": null},
            {"name": "sample", "field_name": "sample", "pandas_type": "int64", "numpy_type": "int64", "metadata": null}]}"#;
        let pair = KeyValue { key: "pandas".into(), value: Some(pandas.into()) };
        let schema = "required int64 x; required int64 sample; required double y;";
        let columns = [Data::Int64(vec![5, 6]), Data::Int64(vec![9, 3]), Data::Double(vec![0.5, 1.5])];
        let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![pair])).build();
        let folder = file_with(schema, properties, &[&columns]);
        let message = import(&folder).unwrap_err();
        assert!(message.contains("column 2, called \"sample\", looks like a row index"), "{message}");
        let drop = TableOptions { drop: vec!["sample".into()], ..TableOptions::new("y") };
        let told: Vec<String> =
            import_with(&folder, &drop).unwrap().report.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["column x holds durations, which are counted in ns"]);
    }

    #[test]
    fn options_for_text_are_refused() {
        let folder = file("required double x; required double y;", Compression::SNAPPY, &[]);
        let options = TableOptions::new("y");
        for (options, expected) in [
            (TableOptions { header: false, ..options.clone() }, "--no-header is for tables of text"),
            (TableOptions { separator: Some(crate::Separator::Tab), ..options.clone() }, "--separator is for"),
            (TableOptions { decimal: Decimal::Comma, ..options }, "--decimal , is for"),
        ] {
            let message = import_with(&folder, &options).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn what_is_no_number_is_named() {
        let one = || Data::Double(vec![1.0]);
        let word = || Data::Bytes(vec![b"low".to_vec()]);
        for (schema, columns, expected) in [
            ("required binary a (UTF8); required double y;", [word(), one()], "column a holds text or bytes"),
            (
                "required int32 a (DATE); required double y;",
                [Data::Int32(vec![1]), one()],
                "column a holds dates, expected",
            ),
            (
                "required int32 a (TIME(MILLIS,true)); required double y;",
                [Data::Int32(vec![1]), one()],
                "column a holds times of day",
            ),
            (
                "required int64 a (TIMESTAMP_MILLIS); required double y;",
                [Data::Int64(vec![1]), one()],
                "column a holds dates with times",
            ),
            (
                "required int64 a (TIMESTAMP(NANOS,true)); required double y;",
                [Data::Int64(vec![1]), one()],
                "column a holds dates",
            ),
            ("required int96 a; required double y;", [Data::Int96(vec![Int96::new()]), one()], "column a holds dates"),
            (
                "required group a { required double b; } required double y;",
                [one(), one()],
                "column a holds nested values",
            ),
            ("required double a; required double z;", [one(), one()], "there is no column \"y\""),
            (
                "required double a; required double y;",
                [Data::Double(vec![f64::NAN]), one()],
                "row 1, column a: the value is missing (\"NaN\")",
            ),
            (
                "required double a; required double y;",
                [Data::Double(vec![-f64::INFINITY]), one()],
                "row 1, column a: \"-inf\" is not a finite number",
            ),
        ] {
            let message = import(&file(schema, Compression::UNCOMPRESSED, &[&columns])).unwrap_err();
            assert!(message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1);
        }
        let empty = import(&file("required double a; required double y;", Compression::UNCOMPRESSED, &[])).unwrap_err();
        assert!(empty.contains("no rows of data"), "{empty}");
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let columns = [Data::Double(vec![1.0]), Data::Double(vec![2.0])];
        let folder = file("required double a; required double y;", Compression::UNCOMPRESSED, &[&columns]);
        let path = folder.path().join("flow.parquet");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        let message = import(&folder).unwrap_err();
        assert!(message.contains("flow.parquet: ") && message.lines().count() == 1, "{message}");
    }
}
