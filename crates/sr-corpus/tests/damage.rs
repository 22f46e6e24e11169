//! Every cut and every changed byte of a small file of each kind and version: readers return the records that are whole
//! and then an error, nothing else. Then records that are damaged in themselves, under right checksums: readers may
//! believe them, but never panic or ask for absurd memory.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use sr_codec::Reader;
use sr_corpus::{Corpus, Example};
use sr_problems::{Problem, ProblemFile, ProblemSet};
use sr_testing::{CountingAllocator, largest_allocation};
use sr_trace::{TraceReader, Trajectory};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The largest piece of memory that reading a file of a few kilobytes may allocate.
const MOST_BYTES: usize = 4 << 20;

/// The result of a reader: whole records, and the error behind them if there is one.
type Read<T> = (Vec<T>, Option<String>);

fn until_error<T, E: Display>(records: impl Iterator<Item = Result<T, E>>) -> Read<T> {
    let mut error = None;
    let ok = records.map_while(|record| record.map_err(|e| error = Some(e.to_string())).ok());
    (ok.collect(), error)
}

fn opened<R, T, E: Display>(reader: Result<R, E>, read: impl FnOnce(R) -> Read<T>) -> Read<T> {
    match reader {
        Ok(reader) => read(reader),
        Err(error) => (Vec::new(), Some(error.to_string())),
    }
}

fn trace(path: &Path) -> Read<Trajectory> {
    opened(TraceReader::open(path), until_error)
}

fn corpus(path: &Path) -> Read<Example> {
    opened(Corpus::open(path), until_error)
}

fn problems(path: &Path) -> Read<Problem> {
    opened(ProblemSet::read(path), |set| (set.problems, None))
}

fn problem_file(path: &Path) -> Read<Problem> {
    opened(ProblemFile::open(path), |mut file| until_error((0..file.len()).map(|index| file.problem(index))))
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// A folder whose files need not reach a disk.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder")
}

/// Reads all cut and changed copies of a file.
fn damage<T: PartialEq>(name: &str, changes: &[u8], read: fn(&Path) -> Read<T>) {
    let folder = scratch();
    let path = folder.path().join("damaged.sr");
    let bytes = fs::read(fixture(name)).expect(name);
    let (whole, error) = read(&fixture(name));
    assert_eq!(error, None, "{name}");
    let check = |what: &dyn Fn() -> String, must_fail: bool| {
        let (records, error) = read(&path);
        match &error {
            Some(error) => {
                assert!(error.contains("damaged.sr") && error.lines().count() == 1, "{name}, {}: {error}", what());
            }
            None => assert!(!must_fail && records.len() == whole.len(), "{name}, {} went unnoticed", what()),
        }
        assert!(records == whole[..records.len()], "{name}, {}: other records", what());
    };
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).expect("written");
        check(&|| format!("cut at {cut}"), true);
    }
    let mut changed = bytes.clone();
    for at in 0..bytes.len() {
        for change in changes {
            changed[at] = bytes[at] ^ change;
            fs::write(&path, &changed).expect("written");
            // Where the order is free the checksum of the whole file is not looked at; each record's own is.
            check(&|| format!("byte {at} ^ {change:#x}"), false);
        }
        changed[at] = bytes[at];
    }
    assert!(largest_allocation() <= MOST_BYTES, "{} bytes at once", largest_allocation());
}

/// Each bit, and all of them.
const BITS: [u8; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 255];

#[test]
fn damaged_problems_are_noticed() {
    damage("problems/v1.sr", &BITS, problems);
    damage("problems/v1.sr", &BITS, problem_file);
}

#[test]
fn damaged_traces_are_noticed() {
    damage("traces/v1-labelled.sr", &BITS, trace);
    damage("traces/v2-labelled.sr", &BITS, trace);
}

#[test]
fn damaged_corpora_are_noticed() {
    damage("corpora/v1-onestep.sr", &BITS, corpus);
    damage("corpora/v1-autoregressive.sr", &BITS, corpus);
    damage("corpora/v1-direct.sr", &BITS, corpus);
}

/// Reads a file with each byte of each record changed, behind the back of all checksums.
fn lie<T>(name: &str, changes: &[u8], read: fn(&Path) -> Read<T>) {
    let folder = scratch();
    let path = folder.path().join("lying.sr");
    let bytes = fs::read(fixture(name)).expect(name);
    let header = zstd::zstd_safe::find_frame_compressed_size(&bytes).expect("a header");
    let mut reader = Reader::open_any(fixture(name)).expect(name);
    while let Some(record) = reader.next_raw().expect("whole") {
        let mut record = record.to_vec();
        for at in 0..record.len() {
            for change in changes {
                record[at] ^= change;
                let frame = zstd::bulk::compress(&record, 1).expect("compressed");
                fs::write(&path, [&bytes[..header], &frame].concat()).expect("written");
                let (_, error) = read(&path);
                let error = error.expect("the footer is missing at least");
                assert!(error.contains("lying.sr") && error.lines().count() == 1, "{error}");
                let largest = largest_allocation();
                assert!(largest <= MOST_BYTES, "{name}, byte {at} ^ {change:#x}: {largest} bytes at once");
                record[at] ^= change;
            }
        }
    }
}

#[test]
fn records_that_lie_do_no_harm() {
    lie("problems/v1.sr", &[1, 128, 255], problems);
    lie("traces/v1-labelled.sr", &[1, 128, 255], trace);
    lie("traces/v2-labelled.sr", &[1, 128, 255], trace);
    lie("corpora/v1-onestep.sr", &[1, 128, 255], corpus);
    lie("corpora/v1-autoregressive.sr", &[1, 128, 255], corpus);
    lie("corpora/v1-direct.sr", &[1, 128, 255], corpus);
}
