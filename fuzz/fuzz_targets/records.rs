//! Record files: problem sets, traces with and without labels, corpora. The first byte says what the others are: a whole
//! file, a header, or a record under a header that is right. What is a header or a record becomes a file with right
//! checksums.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::{Corpus as Keep, fuzz_target};
use sr_codec::Reader;
use sr_corpus::Corpus;
use sr_fuzz::{Scratch, fixture, record_file, use_one_thread, values, write_seeds};
use sr_problems::{ProblemFile, ProblemSet};
use sr_trace::{Record, TraceReader};

static FILE: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("records.sr"));

/// A file of each kind and version.
const FIXTURES: [&str; 7] = [
    "problems/v1.sr",
    "problems/v2.sr",
    "traces/v1-labelled.sr",
    "traces/v2-labelled.sr",
    "corpora/v1-onestep.sr",
    "corpora/v1-autoregressive.sr",
    "corpora/v1-direct.sr",
];
/// The input is a header.
const HEADER: u8 = FIXTURES.len() as u8;
/// The input is a file.
const WHOLE: u8 = HEADER + 1;

static HEADERS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| FIXTURES.map(|name| values(name).0).into());

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (kind, name) in (0..).zip(FIXTURES) {
        let (header, records) = values(name);
        seeds.extend(records.iter().map(|record| [&[kind], &record[..]].concat()));
        seeds.push([&[HEADER], &header[..]].concat());
        seeds.push([&[WHOLE], &std::fs::read(fixture(name)).expect(name)[..]].concat());
    }
    seeds
}

fuzz_target!(init: { use_one_thread(); write_seeds(seeds); }, |input: &[u8]| -> Keep {
    let Some((&what, bytes)) = input.split_first() else { return Keep::Reject };
    let path = match what {
        HEADER => FILE.file(&record_file(&[bytes])),
        WHOLE => FILE.file(bytes),
        kind if kind < HEADER => FILE.file(&record_file(&[&HEADERS[usize::from(kind)], bytes])),
        _ => return Keep::Reject,
    };
    // Opening a file is most of the work, so that inputs take turns.
    let in_order = bytes.len() % 2 == 0;
    match what {
        0 | 1 => problems(path, in_order),
        2 | 3 => traces(path, in_order),
        4..=6 => corpus(path),
        _ => {
            problems(path, in_order);
            traces(path, in_order);
            corpus(path);
        }
    }
    if what >= HEADER
        && let Ok(mut reader) = Reader::open_any(path)
    {
        while let Ok(Some(_)) = reader.next_raw() {}
    }
    Keep::Keep
});

fn problems(path: &Path, in_order: bool) {
    if in_order {
        if let Err(error) = ProblemSet::read(path) {
            assert!(error.to_string().contains("records.sr"), "{error}");
        }
        return;
    }
    let Ok(mut file) = ProblemFile::open(path) else { return };
    for index in 0..file.len() {
        let Ok(problem) = file.problem(index) else { continue };
        let _ = (problem.instance().is_ok(), problem.fresh_points(2, 0), problem.formula(), problem.fingerprint());
    }
}

fn traces(path: &Path, in_order: bool) {
    let Ok(mut reader) = TraceReader::open(path) else { return };
    while in_order && let Ok(Some(trajectory)) = reader.next_trajectory() {
        let record = Record::encode(&trajectory).expect("what was read can be written");
        let _ = (record.children(), record.initial(), trajectory.lineage(), trajectory.best_progression().len());
        for generation in trajectory.generations.iter() {
            let _ = (generation.best().expr.to_string(), generation.diversity());
        }
    }
    while let Ok(Some(stored)) = reader.next_stored() {
        let (id, opened) = (stored.problem_id(), stored.open());
        if let (Ok(id), Ok(opened)) = (id, opened) {
            assert_eq!(opened.trajectory().problem_id, id);
        }
    }
}

fn corpus(path: &Path) {
    let Ok(corpus) = Corpus::open(path) else { return };
    for example in corpus {
        if example.is_err() {
            break;
        }
    }
}
