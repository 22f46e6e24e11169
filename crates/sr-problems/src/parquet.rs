//! Parquet files as columns of numbers.

use std::fs::File;
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, Type};

use crate::Error;

/// The first bytes of every Parquet file.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";

/// A file whose schema was read; every column holds numbers or booleans.
pub(crate) struct Table<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
    /// Names of the columns, in file order.
    pub(crate) columns: Vec<String>,
}

impl<'a> Table<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        let reader = SerializedFileReader::new(file).map_err(Error::parquet(path))?;
        let fields = reader.metadata().file_metadata().schema_descr().root_schema().get_fields();
        let columns = fields.iter().map(|field| field.name().to_owned()).collect();
        for field in fields {
            if let Some(found) = not_numbers(field) {
                return Err(Error::NotNumeric { path: path.into(), column: field.name().into(), found });
            }
        }
        Ok(Table { path, reader, columns })
    }

    /// The values of each column in 64 bits; whole numbers beyond 2⁵³ are rounded. A null is an error.
    pub(crate) fn read(&self) -> Result<Vec<Vec<f64>>, Error> {
        let mut values = vec![Vec::new(); self.columns.len()];
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group).map_err(Error::parquet(self.path))?;
            for (index, out) in values.iter_mut().enumerate() {
                let before = out.len();
                let null = read_column(&*group, index, out).map_err(Error::parquet(self.path))?;
                if let Some(row) = null {
                    let (column, row) = (self.columns[index].clone(), before + row + 1);
                    return Err(Error::NotANumber {
                        path: self.path.into(),
                        row,
                        line: None,
                        column,
                        text: "null".into(),
                    });
                }
            }
        }
        Ok(values)
    }
}

/// What a column holds if that is neither numbers nor booleans.
fn not_numbers(field: &Type) -> Option<&'static str> {
    use ConvertedType as C;
    if !field.is_primitive() || field.get_basic_info().repetition() == parquet::basic::Repetition::REPEATED {
        return Some("nested values");
    }
    let (converted, logical) = (field.get_basic_info().converted_type(), field.get_basic_info().logical_type_ref());
    match field.get_physical_type() {
        Physical::BOOLEAN | Physical::FLOAT | Physical::DOUBLE => None,
        Physical::INT32 | Physical::INT64 => match converted {
            // In nanoseconds they have no converted type.
            _ if matches!(logical, Some(LogicalType::Time(_) | LogicalType::Timestamp(_))) => Some("dates or times"),
            C::NONE | C::DECIMAL | C::INT_8 | C::INT_16 | C::INT_32 | C::INT_64 => None,
            C::UINT_8 | C::UINT_16 | C::UINT_32 | C::UINT_64 => None,
            _ => Some("dates or times"),
        },
        Physical::INT96 => Some("dates or times"),
        _ if converted == C::DECIMAL || logical == Some(&LogicalType::Float16) => None,
        _ => Some("text or bytes"),
    }
}

/// Appends a column of a row group; the result is the first row (from 0) that is null.
fn read_column(group: &dyn RowGroupReader, index: usize, out: &mut Vec<f64>) -> ParquetResult<Option<usize>> {
    let meta = group.metadata().column(index);
    let column = meta.column_descr();
    let n_rows = usize::try_from(group.metadata().num_rows()).map_err(|_| bad("a negative number of rows"))?;
    let decimal = column.converted_type() == ConvertedType::DECIMAL;
    let unsigned = matches!(column.converted_type(), ConvertedType::UINT_32 | ConvertedType::UINT_64);
    let scale = column.type_scale();
    match group.get_column_reader(index)? {
        ColumnReader::BoolColumnReader(reader) => append(reader, column, n_rows, out, |&v| Ok(f64::from(u8::from(v)))),
        ColumnReader::Int32ColumnReader(reader) => append(reader, column, n_rows, out, |&v| match v {
            _ if decimal => Ok(scaled(v.into(), scale)),
            _ if unsigned => Ok(f64::from(v as u32)),
            _ => Ok(f64::from(v)),
        }),
        ColumnReader::Int64ColumnReader(reader) => append(reader, column, n_rows, out, |&v| match v {
            _ if decimal => Ok(scaled(v.into(), scale)),
            _ if unsigned => Ok(v as u64 as f64),
            _ => Ok(v as f64),
        }),
        ColumnReader::FloatColumnReader(reader) => append(reader, column, n_rows, out, |&v| Ok(v.into())),
        ColumnReader::DoubleColumnReader(reader) => append(reader, column, n_rows, out, |&v| Ok(v)),
        ColumnReader::ByteArrayColumnReader(reader) => {
            append(reader, column, n_rows, out, |v| Ok(scaled(integer(v.data())?, scale)))
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            append(reader, column, n_rows, out, |v| match v.data() {
                data if decimal => Ok(scaled(integer(data)?, scale)),
                &[low, high] => Ok(half(u16::from_le_bytes([low, high]))),
                _ => Err(bad("a half-precision number is not of two bytes")),
            })
        }
        ColumnReader::Int96ColumnReader(_) => unreachable!("the schema was checked"),
    }
}

fn append<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    column: &ColumnDescriptor,
    n_rows: usize,
    out: &mut Vec<f64>,
    number: impl Fn(&T::T) -> ParquetResult<f64>,
) -> ParquetResult<Option<usize>> {
    let (mut levels, mut values, mut read) = (Vec::new(), Vec::new(), 0);
    while read < n_rows {
        let (rows, ..) = reader.read_records(n_rows - read, Some(&mut levels), None, &mut values)?;
        if rows == 0 {
            return Err(bad("a column has fewer values than rows"));
        }
        read += rows;
    }
    // A level below the highest says that there is no value; a column that cannot be null has no levels.
    if let Some(row) = levels.iter().position(|&level| level < column.max_def_level()) {
        return Ok(Some(row));
    }
    out.reserve(values.len());
    for value in &values {
        out.push(number(value)?);
    }
    Ok(None)
}

fn bad(reason: &str) -> ParquetError {
    ParquetError::General(reason.into())
}

/// `unscaled · 10^−scale`, correctly rounded as text is.
fn scaled(unscaled: i128, scale: i32) -> f64 {
    format!("{unscaled}e{}", -i64::from(scale)).parse().expect("digits and an exponent are a number")
}

/// Two's complement, the highest byte first.
fn integer(bytes: &[u8]) -> ParquetResult<i128> {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [sign; 16];
    // 38 digits, the most that other readers support, are 16 bytes.
    let low = wide.len().checked_sub(bytes.len()).ok_or_else(|| bad("a decimal of more than 16 bytes"))?;
    wide[low..].copy_from_slice(bytes);
    Ok(i128::from_be_bytes(wide))
}

/// IEEE half precision: 1 bit sign, 5 bits exponent, 10 bits fraction.
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
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::{ARITH, Origin, ProblemSet, from_table};

    enum Column {
        Bool(Vec<bool>),
        Int32(Vec<i32>),
        Int64(Vec<i64>),
        Float(Vec<f32>),
        Double(Vec<f64>),
        Nullable(Vec<Option<f64>>),
        Bytes(Vec<Vec<u8>>),
        Fixed(Vec<Vec<u8>>),
        Int96(Vec<Int96>),
    }

    /// Writes row groups of columns into `flow.parquet`.
    fn file(schema: &str, compression: Compression, groups: &[&[Column]]) -> TempDir {
        let folder = tempdir().unwrap();
        let schema = Arc::new(parse_message_type(&format!("message m {{ {schema} }}")).unwrap());
        let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
        let file = File::create(folder.path().join("flow.parquet")).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
        for columns in groups {
            let mut group = writer.next_row_group().unwrap();
            for column in *columns {
                let mut out = group.next_column().unwrap().unwrap();
                match column {
                    Column::Bool(v) => out.typed::<BoolType>().write_batch(v, None, None),
                    Column::Int32(v) => out.typed::<Int32Type>().write_batch(v, None, None),
                    Column::Int64(v) => out.typed::<Int64Type>().write_batch(v, None, None),
                    Column::Float(v) => out.typed::<FloatType>().write_batch(v, None, None),
                    Column::Double(v) => out.typed::<DoubleType>().write_batch(v, None, None),
                    Column::Nullable(v) => {
                        let levels: Vec<i16> = v.iter().map(|v| i16::from(v.is_some())).collect();
                        let v: Vec<f64> = v.iter().copied().flatten().collect();
                        out.typed::<DoubleType>().write_batch(&v, Some(&levels), None)
                    }
                    Column::Bytes(v) => {
                        let v: Vec<ByteArray> = v.iter().map(|v| v.clone().into()).collect();
                        out.typed::<ByteArrayType>().write_batch(&v, None, None)
                    }
                    Column::Fixed(v) => {
                        let v: Vec<FixedLenByteArray> = v.iter().map(|v| v.clone().into()).collect();
                        out.typed::<FixedLenByteArrayType>().write_batch(&v, None, None)
                    }
                    Column::Int96(v) => out.typed::<Int96Type>().write_batch(v, None, None),
                }
                .unwrap();
                out.close().unwrap();
            }
            group.close().unwrap();
        }
        writer.close().unwrap();
        folder
    }

    fn import(folder: &TempDir) -> Result<ProblemSet, String> {
        let path = folder.path().join("flow.parquet");
        from_table(&path, "y", ARITH.to_vec(), vec![1.0]).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_of_every_width_become_columns() {
        let schema =
            "required boolean flag; required int32 small (INTEGER(8,true)); required int32 big (INTEGER(32,false));
            required int64 wide (INTEGER(64,false)); required float f; required fixed_len_byte_array(2) half (FLOAT16);
            required int32 price (DECIMAL(9,2)); required int64 debt (DECIMAL(18,1));
            required binary sum (DECIMAL(20,3)); required double y;";
        let columns = [
            Column::Bool(vec![true, false]),
            Column::Int32(vec![-3, 100]),
            Column::Int32(vec![-1, 7]),
            Column::Int64(vec![-1, 8]),
            Column::Float(vec![0.1, -2.5]),
            Column::Fixed(vec![0x3e00_u16.to_le_bytes().to_vec(), 0x8001_u16.to_le_bytes().to_vec()]),
            Column::Int32(vec![1999, -5]),
            Column::Int64(vec![-25, 10]),
            Column::Bytes(vec![vec![0xff, 0x38], vec![0x07, 0xd0]]),
            Column::Double(vec![0.1, 1e300]),
        ];
        let set = import(&file(schema, Compression::UNCOMPRESSED, &[&columns])).unwrap();
        let problem = &set.problems[0];
        let expected = [
            [1.0, 0.0],
            [-3.0, 100.0],
            [4_294_967_296.0, 7.0], // 2³² − 1 in 32 bits
            [18_446_744_073_709_551_616.0, 8.0],
            [f64::from(0.1_f32), -2.5],
            [1.5, -(2_f64.powi(-24))],
            [f64::from(19.99_f32), f64::from(-0.05_f32)],
            [-2.5, 1.0],
            [f64::from(-0.2_f32), 2.0],
        ];
        for (index, column) in expected.iter().enumerate() {
            assert_eq!(problem.x.column(index), column, "column {index}");
        }
        assert_eq!((&*problem.id, &*problem.y), ("flow", &[0.1, 1e300][..]));
        let Origin::Parquet { target, variables } = set.params.origin else { panic!("{:?}", set.params.origin) };
        assert_eq!((&*target, &*variables[8], variables.len()), ("y", "sum", 9));
    }

    #[test]
    fn row_groups_follow_each_other_whatever_the_compression() {
        let [zstd, gzip] = [Compression::ZSTD(Default::default()), Compression::GZIP(Default::default())];
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4_RAW, zstd, gzip] {
            let few = [Column::Double(vec![1.0, 2.0]), Column::Float(vec![3.0, 4.0])];
            let many = [Column::Double(vec![5.0; 5000]), Column::Float(vec![0.5; 5000])];
            let folder = file("required double y; required float x;", compression, &[&few, &many]);
            let problem = import(&folder).unwrap().problems.remove(0);
            assert_eq!((problem.y.len(), problem.y[1], problem.x.column(0)[1]), (5002, 2.0, 4.0), "{compression}");
        }
    }

    #[test]
    fn a_null_is_named() {
        let import = |x: &[Option<f64>]| {
            let one = [Column::Double(vec![0.0]), Column::Nullable(vec![Some(7.0)])];
            let more = [Column::Double(vec![0.0; x.len()]), Column::Nullable(x.to_vec())];
            import(&file("required double y; optional double x;", Compression::SNAPPY, &[&one, &more]))
        };
        assert_eq!(import(&[Some(1.0), Some(2.0)]).unwrap().problems[0].x.column(0), [7.0, 1.0, 2.0]);
        let message = import(&[Some(1.0), None, Some(2.0)]).unwrap_err();
        assert!(message.contains("flow.parquet: row 3, column x: \"null\" is not a finite number"), "{message}");
    }

    #[test]
    fn what_is_no_number_is_named() {
        let one = || Column::Double(vec![1.0]);
        let word = || Column::Bytes(vec![b"low".to_vec()]);
        for (schema, columns, expected) in [
            ("required binary a (UTF8); required double y;", [word(), one()], "column a holds text or bytes"),
            ("required int32 a (DATE); required double y;", [Column::Int32(vec![1]), one()], "column a holds dates"),
            (
                "required int64 a (TIMESTAMP(NANOS,true)); required double y;",
                [Column::Int64(vec![1]), one()],
                "column a holds dates",
            ),
            (
                "required int96 a; required double y;",
                [Column::Int96(vec![Int96::new()]), one()],
                "column a holds dates",
            ),
            (
                "required group a { required double b; } required double y;",
                [one(), one()],
                "column a holds nested values",
            ),
            ("required double a; required double z;", [one(), one()], "0 columns are called \"y\""),
            (
                "required double a; required double y;",
                [Column::Double(vec![f64::NAN]), one()],
                "row 1, column a: \"NaN\"",
            ),
            (
                "required double a; required double y;",
                [Column::Double(vec![1e300]), one()],
                "row 1, column a: \"1e300\"",
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
        let columns = [Column::Double(vec![1.0]), Column::Double(vec![2.0])];
        let folder = file("required double a; required double y;", Compression::UNCOMPRESSED, &[&columns]);
        let path = folder.path().join("flow.parquet");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        let message = import(&folder).unwrap_err();
        assert!(message.contains("flow.parquet: ") && message.lines().count() == 1, "{message}");
    }
}
