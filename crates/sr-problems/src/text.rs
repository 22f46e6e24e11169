//! The reader of tables as text: comma-separated values and their relatives.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use csv::ByteRecord;

use crate::error::is_word;
use crate::primitives::is_below_smallest;
use crate::table::{Found, Numbered, Roles, SAMPLE, Wanted};
use crate::{Decimal, Error, Missing, Separator, TableOptions, TableWarning, TextFormat};

/// The number of rows that are used to detect the separator.
const SAMPLE_ROWS: usize = 100;
/// The largest number of bytes of a line. Readers keep one line in memory.
const MAX_LINE: usize = 1 << 26;
/// The smallest number from which on not every whole number is a 64-bit float.
const FIRST_GAP: f64 = 9_007_199_254_740_992.0;

/// Reads a text whose first bytes are `start` and whose others are in `rest`.
pub(crate) fn read(
    path: &Path,
    mut start: Vec<u8>,
    rest: File,
    options: &TableOptions,
    wanted: Wanted<'_>,
) -> Result<Found, Error> {
    let is_whole = (start.len() as u64) < SAMPLE;
    if let Some(found) = unreadable(&start) {
        return Err(Error::NotText { path: path.into(), found });
    }
    if start.starts_with("\u{feff}".as_bytes()) {
        start.drain(..3);
    }
    if start.is_empty() {
        return Err(Error::Empty { path: path.into(), found: "the file is empty" });
    }
    let line_end = if start.contains(&b'\n') || !start.contains(&b'\r') { b'\n' } else { b'\r' };
    let separator = match options.separator {
        Some(Separator::Comma) if options.decimal == Decimal::Comma => return Err(Error::TwoCommas),
        Some(separator) => separator,
        None => detect(&start, is_whole, line_end, options.decimal),
    };
    let input = Cursor::new(start).chain(BufReader::with_capacity(1 << 16, rest));
    let mut rows = Rows { path, reader: reader(input, separator, line_end), record: ByteRecord::new() };

    if !rows.next()? {
        return Err(Error::Empty { path: path.into(), found: "there are only blank lines and comments" });
    }
    let names = match options.header {
        true => rows.header()?,
        false => (1..=rows.record.len()).map(|number| format!("column{number}")).collect(),
    };
    rows.reader.get_mut().n_fields = names.len();
    let roles = Roles::of(path, &names, options, wanted, |_| false)?;
    let used = roles.used();
    let group = roles.group.map(|_| used.len() - 1);
    let mut groups = Numbered::new(wanted);
    // Faults are reported in the order of the file.
    let mut in_order: Vec<(usize, usize)> = used.iter().copied().enumerate().collect();
    in_order.sort_by_key(|&(_, index)| index);
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); used.len()];
    let mut lost: Vec<Option<TableWarning>> = vec![None; used.len()];
    let (mut row, mut dropped) = (0, Vec::new());
    let mut is_row = if options.header { rows.next()? } else { true };
    while is_row {
        row += 1;
        if rows.record.len() != names.len() {
            let (line, expected, found) = (rows.line(), names.len(), rows.record.len());
            return Err(Error::RaggedRow { path: path.into(), row, line, expected, found, separator });
        }
        let (mut missing, mut unknown) = (None, None);
        for &(slot, index) in &in_order {
            let text = rows.field(index)?;
            if Some(slot) == group {
                let label = text.trim();
                if is_missing(label) {
                    values[slot].push(f64::NAN);
                    missing.get_or_insert((names[index].clone(), text));
                    continue;
                }
                let number = groups.of(label);
                if number.is_none() {
                    unknown = Some((index, label.to_owned()));
                }
                values[slot].push(number.unwrap_or(0) as f64);
                continue;
            }
            let (column, bad) = (
                || names[index].clone(),
                |reason| {
                    let (line, column, text) = (Some(rows.line()), names[index].as_str().into(), text.into());
                    let later = in_order.iter().filter(|&&(slot, other)| other > index && roles.is_variable(slot));
                    let holds_word = |&&(_, other): &&(usize, usize)| {
                        rows.field(other)
                            .is_ok_and(|text| is_word(text) && matches!(number(text, options.decimal), Field::Bad(_)))
                    };
                    let also = later.filter(holds_word).map(|&(_, other)| names[other].clone());
                    let also = roles.is_variable(slot).then(|| also.collect());
                    Error::NotANumber { path: path.into(), row, line, column, text, reason, also }
                },
            );
            match number(text, options.decimal) {
                Field::Number(value) => {
                    if let Some(fault) = roles.fault(slot, value) {
                        return Err(bad(fault));
                    }
                    if lost[slot].is_none() && loses_digits(text, value) {
                        lost[slot] =
                            Some(TableWarning::LostDigits { column: column(), row, text: text.into(), kept: value });
                    }
                    values[slot].push(value);
                }
                Field::Missing => {
                    // All columns stay equally long until the rest of the row has been read.
                    values[slot].push(f64::NAN);
                    missing.get_or_insert((column(), text));
                }
                Field::Bad(reason) => return Err(bad(reason)),
            }
        }
        match (missing, options.missing) {
            (None, _) => {
                if let Some((index, group)) = unknown {
                    return Err(groups.unknown(path, row, Some(rows.line()), &names[index], &group));
                }
            }
            (Some((column, text)), Missing::Refuse) => {
                let line = Some(rows.line());
                return Err(Error::Missing { path: path.into(), row, line, column, text: text.into() });
            }
            (Some(_), Missing::Drop) => {
                values.iter_mut().for_each(|column| column.truncate(column.len() - 1));
                dropped.push(row - 1);
            }
        }
        is_row = rows.next()?;
    }
    let Cleaned { comments, like_rows, spanning, .. } = rows.reader.into_inner();
    let text = Some(TextFormat { separator, decimal: options.decimal, header: options.header, comments });
    let told = [
        like_rows.map(|(line, count)| TableWarning::CommentLikeRow { line, count }),
        spanning.map(|(line, to)| TableWarning::SpanningField { line, to }),
    ];
    let warnings = lost.into_iter().chain(told).flatten().collect();
    let labels = groups.into_groups();
    Ok(Found { names, roles, values, labels, rows: row - dropped.len(), dropped, text, warnings })
}

/// Returns a description of a file that is no text, by its first bytes.
fn unreadable(start: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 11] = [
        (b"PK\x03\x04", "the file is an Excel workbook or a ZIP archive; save the sheet as CSV, or unpack it"),
        (b"\xd0\xcf\x11\xe0", "the file is an old Excel workbook; save the sheet as CSV"),
        (b"\x1f\x8b", "the file is compressed with gzip; unpack it"),
        (b"\x28\xb5\x2f\xfd", "the file is compressed with zstd, as problem sets and traces are, and is no table"),
        (b"\xfd7zXZ", "the file is compressed with xz; unpack it"),
        (b"\xff\xfe", "the file is UTF-16; save it as UTF-8, or convert it with iconv -f UTF-16 -t UTF-8"),
        (b"\xfe\xff", "the file is UTF-16; save it as UTF-8, or convert it with iconv -f UTF-16 -t UTF-8"),
        (b"PARE", "the file is an encrypted Parquet file, which is not read"),
        (b"ARROW1", "the file is an Arrow (Feather) file; save it as Parquet or CSV"),
        (b"\x89HDF", "the file is an HDF5 file; save the table as Parquet or CSV"),
        (b"\x93NUMPY", "the file is a NumPy array; save it as CSV"),
    ];
    let known = SIGNATURES.iter().find(|(signature, _)| start.starts_with(signature)).map(|&(_, found)| found);
    known.or(start.contains(&0).then_some("the file has NUL bytes: it is binary, or UTF-16; save it as UTF-8 text"))
}

/// Returns the separator that gives the header several fields, most rows as many fields, and most of those numbers.
fn detect(sample: &[u8], is_whole: bool, line_end: u8, decimal: Decimal) -> Separator {
    // A line that the sample cuts off has too few fields, unless it is all there is.
    let last_end = sample.iter().rposition(|&byte| byte == line_end).filter(|_| !is_whole);
    let whole = last_end.map_or(sample.len(), |end| end + 1);
    let score = |separator: Separator| {
        let mut reader = reader(&sample[..whole], separator, line_end);
        reader.get_mut().is_sample = true;
        let mut record = ByteRecord::new();
        let mut next = |record: &mut ByteRecord| matches!(reader.read_byte_record(record), Ok(true));
        let n_fields = if next(&mut record) { record.len() } else { 0 };
        // A header without a name for the first column, as R writes it, is an error. It should not make another
        // separator win.
        let (mut alike, mut nearly, mut numbers) = (0, 0, 0);
        for _ in 0..SAMPLE_ROWS {
            if !next(&mut record) {
                break;
            }
            if record.len() == n_fields + 1 {
                nearly += 1;
            } else if record.len() == n_fields {
                alike += 1;
                // Decimal commas are not read unless asked for, but they show that the comma separates nothing.
                let is_number = |field: &&[u8]| {
                    let reads = |text, decimal| !matches!(number(text, decimal), Field::Bad(_));
                    std::str::from_utf8(field).is_ok_and(|text| reads(text, decimal) || reads(text, Decimal::Comma))
                };
                numbers += record.iter().filter(is_number).count();
            }
        }
        (n_fields > 1, alike, nearly, numbers)
    };
    let candidates = Separator::ALL.into_iter().filter(|&it| it != Separator::Comma || decimal == Decimal::Point);
    // `max_by_key` returns the last of equals.
    let mut scored: Vec<_> = candidates.map(|separator| (score(separator), separator)).collect();
    if decimal == Decimal::Comma && !scored.iter().any(|((has_several, ..), _)| *has_several) {
        // Numbers within quotes may have decimal commas between commas.
        scored.insert(0, (score(Separator::Comma), Separator::Comma));
    }
    let best = scored.iter().rev().max_by_key(|(score, _)| score);
    match best {
        // Where no row is like the header, blanks may be part of a name.
        Some(&((true, 0, 0, _), Separator::Blanks)) | None => scored[0].1,
        Some(&(_, separator)) => separator,
    }
}

fn reader<R: BufRead>(input: R, separator: Separator, line_end: u8) -> csv::Reader<Cleaned<R>> {
    let cleaned = Cleaned {
        input,
        separator,
        line_end,
        line: 0,
        place: Place::Start,
        comments: 0,
        is_sample: false,
        n_fields: 0,
        like_rows: None,
        spanning: None,
        raw: Vec::new(),
        clean: Vec::new(),
        held: Vec::new(),
        at: 0,
    };
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true) // the reader's own message about ragged rows names no row of data
        .delimiter(separator.byte())
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(cleaned)
}

/// A reader of the rows of a table.
struct Rows<'a, R> {
    path: &'a Path,
    reader: csv::Reader<Cleaned<R>>,
    record: ByteRecord,
}

impl<R: BufRead> Rows<'_, R> {
    /// Reads the next row and returns whether there was one.
    fn next(&mut self) -> Result<bool, Error> {
        self.reader.read_byte_record(&mut self.record).map_err(|source| match source.into_kind() {
            csv::ErrorKind::Io(fault) if fault.kind() == io::ErrorKind::InvalidData => {
                Error::Text { path: self.path.into(), reason: fault.to_string() }
            }
            csv::ErrorKind::Io(fault) => Error::io(self.path)(fault),
            other => Error::Text { path: self.path.into(), reason: format!("{other:?}") },
        })
    }

    /// Returns the line on which the row begins, counted from 1.
    fn line(&self) -> u64 {
        // The reader is behind the line end, and the row may have line ends within quotes.
        let within = self.record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.reader.position().line() - 1 - within
    }

    fn field(&self, index: usize) -> Result<&str, Error> {
        let field = &self.record[index];
        std::str::from_utf8(field).map_err(|error| self.encoding(field[error.valid_up_to()]))
    }

    fn encoding(&self, byte: u8) -> Error {
        Error::Encoding { path: self.path.into(), line: self.line(), byte }
    }

    /// Returns the names of the columns.
    fn header(&self) -> Result<Vec<String>, Error> {
        let names = (0..self.record.len()).map(|index| Ok(self.field(index)?.trim().to_owned()));
        let names = names.collect::<Result<Vec<String>, Error>>()?;
        if let Some(sign) = names[0].strip_prefix("sep=") {
            let reason =
                format!("line 1 says sep={sign} to a spreadsheet; delete it, the separator is found without it");
            return Err(Error::Text { path: self.path.into(), reason });
        }
        let is_number = |name: &String| name.replace(',', ".").parse::<f64>().is_ok_and(f64::is_finite);
        let mut filled = names.iter().filter(|name| !name.is_empty()).peekable();
        if filled.peek().is_some() && filled.all(is_number) {
            return Err(Error::NumericHeader { path: self.path.into(), columns: names });
        }
        Ok(names)
    }
}

/// A field of a table.
#[derive(Debug, PartialEq)]
enum Field {
    Number(f64),
    Missing,
    Bad(&'static str),
}

/// Reads a field. A number is always finite.
fn number(text: &str, decimal: Decimal) -> Field {
    const MISSING: [&str; 18] = [
        "", "na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "#n/a", "#nv", "#n/d", "#nd", "#Н/Д",
        "<na>", "nat",
    ];
    let text = text.trim();
    let parsed = match decimal {
        Decimal::Point => text.parse(),
        Decimal::Comma => text.replace(',', ".").parse(),
    };
    match parsed {
        Ok(value) if f64::is_nan(value) => Field::Missing,
        Ok(_) if decimal == Decimal::Comma && text.contains('.') => {
            Field::Bad("has a point, but the decimal sign is a comma")
        }
        Ok(value) if value.is_finite() => Field::Number(value),
        Ok(_) => Field::Bad("is not a finite number"),
        Err(_) if MISSING.iter().any(|word| text.eq_ignore_ascii_case(word)) => Field::Missing,
        Err(_) if text.eq_ignore_ascii_case("true") => Field::Number(1.0),
        Err(_) if text.eq_ignore_ascii_case("false") => Field::Number(0.0),
        Err(_) => Field::Bad("is not a finite number"),
    }
}

/// Returns whether a field stands for a value that is missing.
pub(crate) fn is_missing(text: &str) -> bool {
    matches!(number(text, Decimal::Point), Field::Missing)
}

/// Returns whether the number is a whole number that 64-bit floats do not have, or one too small to be told from 0.
/// Other fractions do not count, because everyone expects them to be rounded.
fn loses_digits(text: &str, value: f64) -> bool {
    let digits = text.trim().trim_start_matches(['+', '-']);
    if value == 0.0 {
        return is_below_smallest(digits);
    }
    value.abs() >= FIRST_GAP
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && format!("{:.0}", value.abs()) != digits.trim_start_matches('0')
}

/// A reader that cleans a text for the CSV reader. It removes blanks around fields, so that a quote after a blank opens
/// a field; makes several blanks one separator; removes comments; and makes all line ends equal, keeping each, so that
/// lines can be counted. In a table of one column a blank line is a row whose value is missing, unless no row follows:
/// many files end in blank lines.
struct Cleaned<R> {
    input: R,
    separator: Separator,
    line_end: u8,
    /// The line that was read last, counted from 1.
    line: u64,
    place: Place,
    /// The number of comment lines so far.
    comments: u64,
    /// Whether the text is read to detect the separator, so that faults are reported later.
    is_sample: bool,
    /// The number of fields of a row, once that is known.
    n_fields: usize,
    /// The line of the first comment with as many fields as a row, and the number of such comments.
    like_rows: Option<(u64, u64)>,
    /// The first and the last line of the first quoted field that spans several lines.
    spanning: Option<(u64, u64)>,
    raw: Vec<u8>,
    clean: Vec<u8>,
    /// The blank lines and comments of a table of one column that no row has followed yet.
    held: Vec<u8>,
    /// The number of bytes of `clean` that were returned.
    at: usize,
}

/// The place of a byte relative to a field.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// Before the field.
    Start,
    /// In a field without quotes, where quotes are ordinary.
    Plain,
    /// In quotes, which the given line opened.
    Quoted(u64),
    /// After a quote that closed those of the given line, unless another quote follows.
    Closed(u64),
}

impl<R: BufRead> Cleaned<R> {
    /// Cleans the next line and returns whether there was one. Nothing of it may be there to read yet.
    fn next_line(&mut self) -> io::Result<bool> {
        self.raw.clear();
        self.clean.clear();
        self.at = 0;
        self.input.by_ref().take(MAX_LINE as u64).read_until(self.line_end, &mut self.raw)?;
        let bad = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        if self.raw.len() == MAX_LINE {
            return bad(format!("line {} has more than {MAX_LINE} bytes, so this is no table", self.line + 1));
        }
        if self.raw.is_empty() {
            return match self.place {
                Place::Quoted(line) => bad(format!("the quote that line {line} opens is not closed")),
                _ => Ok(false),
            };
        }
        self.line += 1;
        self.raw.pop_if(|last| *last == self.line_end);
        let (in_quotes, mut in_comment) = (matches!(self.place, Place::Quoted(_)), false);
        if !in_quotes {
            self.place = Place::Start;
            if is_comment(&self.raw) {
                in_comment = true;
                self.comments += 1;
                if self.n_fields > 1 && count_fields(&self.raw, self.separator) == self.n_fields {
                    self.like_rows.get_or_insert((self.line, 0)).1 += 1;
                }
                self.raw.clear();
            }
        }
        if self.is_sample && !in_quotes && self.raw.trim_ascii().is_empty() {
            self.raw.clear(); // a blank line, whichever of its blanks separates fields
        }
        if let Err(reason) = self.clean_raw() {
            return bad(reason);
        }
        if self.n_fields == 1 && !in_quotes {
            if self.clean.is_empty() {
                self.held.extend_from_slice(if in_comment { b"\n" } else { b"\"\"\n" });
                return Ok(true);
            }
            self.clean.splice(..0, self.held.drain(..));
        }
        self.clean.push(b'\n');
        Ok(true)
    }

    fn clean_raw(&mut self) -> Result<(), String> {
        let Cleaned { separator, line, is_sample, ref mut place, ref raw, ref mut clean, ref mut spanning, .. } = *self;
        // Blanks are held back until it is known what follows.
        let mut blanks = 0;
        for (index, &byte) in raw.iter().enumerate() {
            let held = &raw[index - blanks..index];
            match (byte, *place) {
                (b'"', Place::Quoted(from)) => {
                    (*place, blanks) = (Place::Closed(from), 0);
                    if from < line {
                        spanning.get_or_insert((from, line));
                    }
                }
                (_, Place::Quoted(_)) => {}
                (b'"', Place::Closed(from)) if held.is_empty() => *place = Place::Quoted(from),
                _ if is_blank(byte, separator) => {
                    blanks += 1;
                    continue;
                }
                _ if byte == separator.byte() => (*place, blanks) = (Place::Start, 0),
                // A quote that closes nothing was read as one that does, and lines may be missing.
                (_, Place::Closed(from)) if !is_sample && (held.is_empty() || separator != Separator::Blanks) => {
                    let opened = if from < line { format!(" that line {from} opens") } else { String::new() };
                    return Err(format!("line {line}: there is text behind the closing quote of a field{opened}"));
                }
                (_, place_now) => {
                    let next = match place_now {
                        Place::Start => Place::Start,
                        _ if held.is_empty() => Place::Plain,
                        _ if separator == Separator::Blanks => {
                            clean.push(b' ');
                            Place::Start
                        }
                        _ => {
                            clean.extend_from_slice(held);
                            Place::Plain
                        }
                    };
                    *place = match next {
                        Place::Start if byte == b'"' => Place::Quoted(line),
                        _ => Place::Plain,
                    };
                    blanks = 0;
                }
            }
            clean.push(byte);
        }
        Ok(())
    }
}

/// Returns the number of fields of a line, ignoring quotes.
fn count_fields(line: &[u8], separator: Separator) -> usize {
    match separator {
        Separator::Blanks => line.split(|&byte| is_blank(byte, separator)).filter(|field| !field.is_empty()).count(),
        _ => line.split(|&byte| byte == separator.byte()).count(),
    }
}

/// Returns whether a byte is a blank at the ends of a field.
fn is_blank(byte: u8, separator: Separator) -> bool {
    matches!(byte, b' ' | b'\r' | b'\x0b' | b'\x0c') || byte == b'\t' && separator != Separator::Tab
}

/// Returns whether a line is a comment: its first character is `#`, and it does not begin with an error value of a
/// spreadsheet. In all languages these are one word in capitals with a `!` or `?` at its end (`#REF!`, `#¡DIV/0!`,
/// `#BEZUG!`, `#ИМЯ?`), except those of a missing value.
fn is_comment(line: &[u8]) -> bool {
    const NOT_THERE: [&str; 8] = ["N/A", "NV", "N/D", "NA", "N.D.", "I/T", "Н/Д", "CALC"];
    let Some(text) = line.trim_ascii_start().strip_prefix(b"#") else { return false };
    let word = text.split(|byte| matches!(byte, b',' | b';' | b'\t' | b'|' | b' ' | b'\r')).next().unwrap_or_default();
    let Ok(word) = std::str::from_utf8(word) else { return true };
    let is_loud = |c: char| !c.is_lowercase();
    let is_error = word.chars().count() > 2 && word.ends_with(['!', '?']) && word.chars().all(is_loud);
    !(is_error || NOT_THERE.contains(&word))
}

impl<R: BufRead> Read for Cleaned<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.clean.len() {
            if !self.next_line()? {
                return Ok(0);
            }
        }
        let n = buffer.len().min(self.clean.len() - self.at);
        buffer[..n].copy_from_slice(&self.clean[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str, separator: Separator) -> String {
        let mut clean = String::new();
        reader(text.as_bytes(), separator, b'\n').into_inner().read_to_string(&mut clean).expect("it ends");
        clean
    }

    #[test]
    fn blanks_go_and_lines_stay() {
        for (text, separator, expected) in [
            (" a , \"b c\" ,d e \r\n\n# no\n1,\t2,\"\"", Separator::Comma, "a,\"b c\",d e\n\n\n1,2,\"\"\n"),
            ("\" a\"\" , \n b \" ,1", Separator::Comma, "\" a\"\" , \n b \",1\n"),
            ("5\" pipe , \"x\"", Separator::Comma, "5\" pipe,\"x\"\n"),
            ("a\t\t b \t", Separator::Tab, "a\t\tb\t\n"),
            ("  a \t \"b  c\"   d  \n", Separator::Blanks, "a \"b  c\" d\n"),
        ] {
            assert_eq!(cleaned(text, separator), expected, "{text:?}");
        }
    }

    #[test]
    fn whole_numbers_between_floats_are_noticed() {
        for (text, lost) in [
            ("9007199254740993", true),
            ("-9007199254740993", true),
            ("+0009007199254740992", false),
            ("9007199254740992", false),
            ("1700000000123456789", true),
            ("123456789012345678901234567890", true),
            ("100000000000000000000", false),
            ("0.1", false),
            ("1e300", false),
            ("0", false),
            ("-0.00e99", false),
            ("1e-400", true),
        ] {
            assert_eq!(loses_digits(text, text.parse().expect("a number")), lost, "{text}");
        }
    }
}
