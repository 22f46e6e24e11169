//! Tests of whole, cut, damaged, resumed and foreign files.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sr_codec::{Error, Header, Indexed, Kind, Reader, Result, Writer, partial_path, peek_header};
use tempfile::{TempDir, tempdir};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    name: String,
    label: Option<Label>,
    values: Vec<f64>,
    small: Vec<f32>,
    count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Label {
    Plain,
    Scored { fitness: i32 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Params {
    seed: u64,
    operators: Vec<String>,
    notes: BTreeMap<String, f64>,
}

fn header() -> Header<Params> {
    let notes = BTreeMap::from([("fraction".to_owned(), 0.25)]);
    let params = Params { seed: 7, operators: vec!["+".to_owned(), "sin".to_owned()], notes };
    Header { kind: Kind::Trace, version: 3, params }
}

fn points() -> Vec<Point> {
    let point = |i: u8| Point {
        name: format!("x{i}*x{i} + 1"),
        label: match i {
            0 => None,
            1 => Some(Label::Plain),
            _ => Some(Label::Scored { fitness: -i32::from(i) }),
        },
        values: vec![f64::from(i) / 3.0; usize::from(i)],
        small: vec![0.1, f32::INFINITY],
        count: u64::MAX - u64::from(i),
    };
    (0..4).map(point).collect()
}

fn write(path: &Path, points: &[Point]) {
    let mut writer = Writer::create(path, &header()).unwrap();
    for point in points {
        writer.append(point).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), points.len() as u64);
}

/// A folder, the path of a finished file of [`points`] in it, and the file's bytes.
fn finished() -> (TempDir, std::path::PathBuf, Vec<u8>) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("points.sr");
    write(&path, &points());
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes)
}

/// Returns all whole records and the error after them, if any.
fn read(path: &Path) -> (Vec<Point>, Option<Error>) {
    let mut reader = match Reader::<Params>::open(path, Kind::Trace, 3) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    assert_eq!(*reader.header(), header());
    let mut points = Vec::new();
    let mut error = None;
    let mut records = reader.records();
    for record in records.by_ref() {
        match record {
            Ok(point) => points.push(point),
            Err(found) => assert!(error.replace(found).is_none(), "a second error"),
        }
    }
    assert!(records.next().is_none());
    (points, error)
}

/// Returns the end of each frame of the file, as zstd finds it: header, records, footer.
fn frame_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![];
    let mut at = 0;
    while at < bytes.len() {
        at += zstd::zstd_safe::find_frame_compressed_size(&bytes[at..]).unwrap();
        ends.push(at);
    }
    ends
}

#[test]
fn a_stock_reader_gives_header_and_records() {
    let (_folder, _, bytes) = finished();
    let stream = zstd::stream::decode_all(&bytes[..]).unwrap();
    let mut rest = &stream[..];
    let mut next = || {
        let mut decoder = rmp_serde::Deserializer::new(rest);
        let value = serde_json::Value::deserialize(&mut decoder).unwrap();
        rest = decoder.into_inner();
        (value, rest.is_empty())
    };
    let params = serde_json::to_value(header().params).unwrap();
    assert_eq!(next().0, json!({"format": "sr", "container": 1, "kind": "trace", "version": 3, "params": params}));
    for (i, point) in points().iter().enumerate() {
        let (value, last) = next();
        assert_eq!(value["name"], json!(point.name));
        assert_eq!(value["label"], serde_json::to_value(&point.label).unwrap());
        assert_eq!(value["values"], json!(point.values));
        assert_eq!(value["count"], json!(point.count));
        assert_eq!(last, i == 3);
    }
    assert_eq!(crc32fast::hash(&bytes[..bytes.len() - 4]).to_le_bytes(), bytes[bytes.len() - 4..]);
    for start in [0].into_iter().chain(frame_ends(&bytes)).take(5) {
        let descriptor = bytes[start + 4];
        assert!(descriptor & 4 != 0, "no content checksum");
        assert!(zstd::zstd_safe::get_frame_content_size(&bytes[start..]).unwrap().is_some());
    }
}

#[test]
fn a_file_cut_anywhere_gives_its_whole_records_and_says_so() {
    let (_folder, path, bytes) = finished();
    let ends = frame_ends(&bytes);
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let (whole, error) = read(&path);
        let error = error.expect("a cut file is not whole");
        let frames = ends.iter().filter(|&&end| end <= cut).count();
        assert_eq!(whole, points()[..frames.saturating_sub(1)]);
        match error {
            Error::BadHeader { .. } => assert_eq!(frames, 0),
            Error::Truncated { record, offset, .. } => {
                assert_eq!((record as usize, offset as usize), (frames - 1, ends[frames - 1]));
            }
            other => panic!("cut at {cut}: {other}"),
        }
    }
}

#[test]
fn every_changed_byte_is_noticed_and_no_changed_record_is_given() {
    let (_folder, path, bytes) = finished();
    for at in 0..bytes.len() {
        for flip in (0..8).map(|bit| 1 << bit).chain([0xFF, 0x55]) {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            fs::write(&path, &changed).unwrap();
            let (whole, error) = read(&path);
            let error = error.unwrap_or_else(|| panic!("byte {at} ^ {flip:#x} went unnoticed"));
            assert_eq!(whole, points()[..whole.len()], "byte {at} ^ {flip:#x}: {error}");
            assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}

#[test]
fn every_other_value_of_every_byte_of_a_tiny_file_is_noticed() {
    // In memory where there is such a folder: these are tens of thousands of files.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempdir()).unwrap();
    let path = folder.path().join("tiny.sr");
    let mut writer = Writer::create(&path, &Header { kind: Kind::Corpus, version: 1, params: () }).unwrap();
    writer.append("x0 + 1").unwrap();
    writer.finish().unwrap();
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        for flip in 1..=255 {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            fs::write(&path, &changed).unwrap();
            let Ok(mut reader) = Reader::<()>::open(&path, Kind::Corpus, 1) else { continue };
            let records: Vec<Result<String>> = reader.records().collect();
            let (last, before) = records.split_last().unwrap();
            assert!(last.is_err(), "byte {at} ^ {flip:#x} went unnoticed");
            assert!(before.iter().all(|record| record.as_ref().unwrap() == "x0 + 1"));
        }
    }
}

#[test]
fn removed_repeated_and_swapped_records_are_noticed() {
    let (_folder, path, bytes) = finished();
    let ends = frame_ends(&bytes);
    let (head, one, two, tail) =
        (&bytes[..ends[0]], &bytes[ends[0]..ends[1]], &bytes[ends[1]..ends[2]], &bytes[ends[2]..]);
    for parts in [vec![head, two, tail], vec![head, one, one, two, tail], vec![head, two, one, tail]] {
        fs::write(&path, parts.concat()).unwrap();
        let (_, error) = read(&path);
        assert!(matches!(error, Some(Error::ChecksumMismatch { .. })), "{error:?}");
    }
    fs::write(&path, [&bytes[..], one].concat()).unwrap();
    assert!(matches!(read(&path).1, Some(Error::Corrupt { record: 4, .. })));
}

#[test]
fn a_run_resumed_after_a_cut_anywhere_gives_the_same_bytes() {
    let (_folder, path, bytes) = finished();
    let ends = frame_ends(&bytes);
    fs::remove_file(&path).unwrap();
    for cut in 0..=bytes.len() {
        for noise in [&b""[..], &[0; 9], b"noise"] {
            if cut < ends[0] && !noise.is_empty() {
                continue; // what does not begin with our header is left alone, see below
            }
            fs::write(partial_path(&path), [&bytes[..cut], noise].concat()).unwrap();
            let (mut writer, whole) = Writer::resume(&path, &header()).unwrap();
            let frames = ends.iter().filter(|&&end| end <= cut).count();
            assert_eq!(whole as usize, frames.saturating_sub(1).min(4));
            for point in &points()[whole as usize..] {
                writer.append(point).unwrap();
            }
            assert_eq!(writer.finish().unwrap(), 4);
            assert_eq!(fs::read(&path).unwrap(), bytes, "cut at {cut}, then {noise:?}");
            assert!(!partial_path(&path).exists());
        }
    }
}

#[test]
fn a_dropped_writer_leaves_its_records_and_can_be_resumed() {
    let (_folder, path, bytes) = finished();
    let mut writer = Writer::create(&path, &header()).unwrap();
    writer.append(&points()[0]).unwrap();
    drop(writer);
    assert_eq!(fs::read(&path).unwrap(), bytes, "the finished file was touched");
    let (whole, error) = read(&partial_path(&path));
    assert_eq!(whole, points()[..1]);
    assert!(matches!(error, Some(Error::Truncated { record: 1, .. })));

    let (writer, whole) = Writer::resume(&path, &header()).unwrap();
    assert_eq!((whole, writer.records()), (1, 1));
    assert_eq!(writer.finish().unwrap(), 1);
    assert_eq!(read(&path).0, points()[..1]);
}

#[test]
fn a_flushed_record_can_be_read_while_the_writer_goes_on() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("points.sr");
    let mut writer = Writer::create(&path, &header()).unwrap();
    writer.append(&points()[0]).unwrap();
    writer.flush().unwrap();
    assert_eq!(read(&partial_path(&path)).0, points()[..1]);
}

#[test]
fn two_writers_cannot_have_the_same_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("points.sr");
    let first = Writer::create(&path, &header()).unwrap();
    assert!(matches!(Writer::create(&path, &header()), Err(Error::Locked { .. })));
    assert!(matches!(Writer::resume(&path, &header()), Err(Error::Locked { .. })));
    drop(first);
    assert!(Writer::resume(&path, &header()).is_ok());
}

#[test]
fn resuming_under_another_header_is_refused_and_says_why() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("points.sr");
    drop(Writer::create(&path, &header()).unwrap());
    let before = fs::read(partial_path(&path)).unwrap();
    let mut other = header();
    other.params.seed = 8;
    let error = Writer::resume(&path, &other).expect_err("another seed");
    assert!(error.to_string().contains("params.seed was 7, is now 8"), "{error}");
    assert_eq!(fs::read(partial_path(&path)).unwrap(), before);

    fs::write(partial_path(&path), "somebody's notes").unwrap();
    assert!(matches!(Writer::resume(&path, &header()), Err(Error::BadHeader { .. })));
    assert_eq!(fs::read(partial_path(&path)).unwrap(), b"somebody's notes");
}

#[test]
fn a_file_of_another_sort_is_refused_with_what_was_expected() {
    fn message<P: serde::de::DeserializeOwned>(result: Result<Reader<P>>) -> String {
        let error = result.expect_err("refused");
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        let message = error.to_string() + &cause;
        message.split_once(".sr: ").expect("the file's name").1.to_owned()
    }
    let (_folder, path, _) = finished();
    assert_eq!(
        message(Reader::<Params>::open(&path, Kind::Problems, 3)),
        "expected a file of kind problems, found trace"
    );
    assert_eq!(message(Reader::<Params>::open(&path, Kind::Trace, 4)), "expected trace version 4, found 3");
    assert!(message(Reader::<Vec<u8>>::open(&path, Kind::Trace, 3)).starts_with("cannot read the header's parameters"));
    assert!(message(Reader::<Params>::open("missing.sr", Kind::Trace, 3)).starts_with("cannot open: "));

    let foreign = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        message(Reader::open_any(&path))
    };
    let value = |value: serde_json::Value| zstd::bulk::compress(&rmp_serde::to_vec_named(&value).unwrap(), 3).unwrap();
    assert_eq!(foreign(b""), "not a readable record file: it ends within the header");
    assert_eq!(foreign(b"\x1f\x8b gzip"), "not a readable record file: no zstd frame starts here");
    assert_eq!(
        foreign(&value(json!({"format": "other", "container": 1, "kind": "trace", "version": 1}))),
        "not a readable record file: expected format \"sr\", found \"other\""
    );
    assert!(foreign(&value(json!([1, 2]))).starts_with("not a readable record file: "));
    assert_eq!(
        foreign(&value(json!({"format": "sr", "container": 2, "kind": "trace", "version": 1}))),
        "expected container version 1, found 2"
    );
    assert_eq!(
        foreign(&value(json!({"format": "sr", "container": 1, "kind": "music", "version": 1}))),
        "expected a file of kind problems, trace or corpus, found \"music\""
    );
}

#[test]
fn peek_gives_kind_version_and_parameters_of_any_file() {
    let (_folder, path, _) = finished();
    let Header { kind, version, params } = peek_header(&path).unwrap();
    assert_eq!((kind, version), (Kind::Trace, 3));
    assert_eq!(params, serde_json::to_value(header().params).unwrap());
    let reader = Reader::open_any(&path).unwrap();
    assert_eq!(reader.stated_records(), Some(4));
    fs::rename(&path, partial_path(&path)).unwrap();
    drop(Writer::resume(&path, &header()).unwrap());
    assert_eq!(Reader::open_any(partial_path(&path)).unwrap().stated_records(), None);
}

#[test]
fn a_record_of_another_type_is_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mixed.sr");
    let mut writer = Writer::create(&path, &header()).unwrap();
    writer.append(&1).unwrap();
    writer.append("two").unwrap();
    writer.append_raw(&[3, 4]).unwrap();
    writer.finish().unwrap();

    let mut reader = Reader::open_any(&path).unwrap();
    assert_eq!(reader.next_record::<i32>().unwrap(), Some(1));
    let error = reader.next_record::<i32>().unwrap_err();
    assert!(matches!(error, Error::Decode { record: 1, .. }), "{error}");
    assert!(reader.next_record::<i32>().unwrap().is_none());

    let mut reader = Reader::open_any(&path).unwrap();
    while reader.next_raw().unwrap().is_some_and(|bytes| bytes[0] != 0xA3) {}
    let error = reader.next_record::<i32>().unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "1 bytes follow the value");
}

#[test]
fn raw_records_of_shards_merge_into_the_bytes_of_one_run() {
    let (folder, path, bytes) = finished();
    let shard = |i: usize| folder.path().join(format!("shard{i}.sr"));
    write(&shard(0), &points()[..1]);
    write(&shard(1), &points()[1..]);
    let mut merged = Writer::create(&path, &header()).unwrap();
    for i in 0..2 {
        let mut reader = Reader::open_any(shard(i)).unwrap();
        while let Some(record) = reader.next_raw().unwrap() {
            merged.append_raw(record).unwrap();
        }
    }
    merged.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

fn point() -> impl Strategy<Value = Point> {
    let label = prop_oneof![
        Just(None),
        Just(Some(Label::Plain)),
        any::<i32>().prop_map(|fitness| Some(Label::Scored { fitness })),
    ];
    let not_nan = any::<f64>().prop_filter("NaN is unequal to itself", |x| !x.is_nan());
    let not_nan_f32 = any::<f32>().prop_filter("NaN is unequal to itself", |x| !x.is_nan());
    let values = prop::collection::vec(not_nan, 0..50);
    let small = prop::collection::vec(not_nan_f32, 0..50);
    (any::<String>(), label, values, small, any::<u64>()).prop_map(|(name, label, values, small, count)| Point {
        name,
        label,
        values,
        small,
        count,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(points in prop::collection::vec(point(), 0..20)) {
        let folder = tempdir().unwrap();
        let [one, two] = ["one.sr", "two.sr"].map(|name| folder.path().join(name));
        write(&one, &points);
        write(&two, &points);
        let (found, error) = read(&one);
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert_eq!(&found, &points);
        prop_assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    }

    #[test]
    fn any_bytes_after_the_header_are_read_without_panic(noise in prop::collection::vec(any::<u8>(), 1..200)) {
        let (_folder, path, bytes) = finished();
        // Half of the cases begin like a zstd frame, which is further than chance would come.
        let magic: &[u8] = if noise[0] % 2 == 0 { &bytes[..4] } else { &[] };
        fs::write(&path, [&bytes[..frame_ends(&bytes)[0]], magic, &noise].concat()).unwrap();
        let (_, error) = read(&path);
        prop_assert!(error.is_some());
    }
}

#[test]
fn records_are_read_in_any_order() {
    let (_folder, path, _) = finished();
    let mut indexed = Indexed::<Params>::open(&path, Kind::Trace, 3).unwrap();
    assert_eq!((indexed.header(), indexed.len(), indexed.is_empty()), (&header(), 4, false));
    let points = points();
    for index in [2, 0, 3, 3, 1] {
        assert_eq!(indexed.record::<Point>(index).unwrap(), points[index]);
        assert_eq!(indexed.clone().record::<Point>(index).unwrap(), points[index]);
    }
    let error = indexed.record::<u8>(1).unwrap_err();
    assert!(matches!(error, Error::Decode { record: 1, .. }), "{error}");
    write(&path, &[]);
    assert!(Indexed::<Params>::open(&path, Kind::Trace, 3).unwrap().is_empty());
    assert!(matches!(Indexed::<Params>::open(&path, Kind::Trace, 4), Err(Error::WrongVersion { .. })));
}

#[test]
fn a_cut_file_has_no_index() {
    let (_folder, path, bytes) = finished();
    let ends = frame_ends(&bytes);
    for end in ends[0]..bytes.len() {
        fs::write(&path, &bytes[..end]).unwrap();
        let Err(Error::Truncated { record, .. }) = Indexed::<Params>::open(&path, Kind::Trace, 3) else {
            panic!("cut at {end}");
        };
        assert_eq!(record as usize, ends.iter().filter(|&&other| other <= end).count() - 1, "cut at {end}");
    }
}

#[test]
fn no_changed_record_is_read_in_any_order() {
    let (_folder, path, bytes) = finished();
    let points = points();
    for position in frame_ends(&bytes)[0]..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        let Ok(mut indexed) = Indexed::<Params>::open(&path, Kind::Trace, 3) else { continue };
        for index in 0..indexed.len() {
            // A bit that zstd ignores may have changed; the record has not.
            if let Ok(point) = indexed.record::<Point>(index) {
                assert_eq!(point, points[index], "byte {position}");
            }
        }
    }
}
