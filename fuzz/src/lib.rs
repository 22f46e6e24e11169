//! What the fuzz targets share: a file in memory, seeds, record files around arbitrary records, and a pool of one thread.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// A file that is replaced for every input, for readers that take a path.
///
/// It lies in memory where the system has such a folder, because a disk would be the slowest part of a target.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one whose name ends like this; the process number keeps two fuzzers apart.
    pub fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Scratch { path: folder.join(format!("sr-fuzz-{}-{name}", std::process::id())) }
    }

    /// Writes the file and returns its path.
    ///
    /// # Panics
    /// Panics if it cannot be written.
    pub fn file(&self, bytes: &[u8]) -> &Path {
        fs::write(&self.path, bytes).expect("a file in memory can be written");
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

/// Makes rayon compute on the thread of the fuzzer, so that no input waits for another thread and runs can be repeated.
pub fn use_one_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
        pool.build_global().expect("the first pool of the process");
    });
}

/// Returns a finished record file of these MessagePack values, a header and its records, with right checksums: changed
/// bytes would otherwise be noticed before any record is read.
///
/// The values are stored as they are, in zstd frames without compression.
pub fn record_file(values: &[&[u8]]) -> Vec<u8> {
    let mut file = Vec::new();
    for value in values {
        file.extend(frame(value));
    }
    // The footer as `docs/formats.md` describes it.
    file.extend(0x184D_2A53_u32.to_le_bytes());
    file.extend(20_u32.to_le_bytes());
    file.extend(b"srfooter");
    file.extend((values.len() as u64 - 1).to_le_bytes());
    let sum = crc32fast::hash(&file);
    file.extend(sum.to_le_bytes());
    file
}

/// Returns a zstd frame of one segment and raw blocks (RFC 8878 §3.1.1), without checksum.
fn frame(content: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 1 << 17;
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0xA0];
    frame.extend((content.len() as u32).to_le_bytes());
    let mut blocks = content.chunks(BLOCK).peekable();
    if blocks.peek().is_none() {
        frame.extend([1, 0, 0]);
    }
    while let Some(block) = blocks.next() {
        let head = (block.len() as u32) << 3 | u32::from(blocks.peek().is_none());
        frame.extend(&head.to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}

/// Returns the header and the records of a record file of `fixtures/`, each as MessagePack.
///
/// # Panics
/// Panics if it cannot be read.
pub fn values(name: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
    #[derive(serde::Serialize)]
    struct Written<'a> {
        format: &'a str,
        container: u32,
        kind: sr_codec::Kind,
        version: u32,
        params: &'a serde_json::Value,
    }
    let mut reader = sr_codec::Reader::open_any(fixture(name)).expect(name);
    let header = reader.header();
    let (container, kind, version) = (sr_codec::CONTAINER_VERSION, header.kind, header.version);
    let written = Written { format: "sr", container, kind, version, params: &header.params };
    let header = rmp_serde::to_vec_named(&written).expect("plain data");
    let mut records = Vec::new();
    while let Some(record) = reader.next_raw().expect(name) {
        records.push(record.to_vec());
    }
    (header, records)
}

/// Returns the path of a file of the project, named relative to its root.
pub fn of_project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Returns the path of a file of `fixtures/`.
pub fn fixture(name: &str) -> PathBuf {
    of_project("fixtures").join(name)
}

/// Writes the inputs that a target begins with into the folder that the environment variable `SR_FUZZ_SEEDS` names; does
/// nothing without it. A target calls it before the fuzzer reads its folders.
///
/// # Panics
/// Panics if they cannot be written.
pub fn write_seeds(seeds: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os("SR_FUZZ_SEEDS").map(PathBuf::from) else { return };
    fs::create_dir_all(&folder).expect("a folder for seeds");
    for (number, seed) in seeds().into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), seed).expect("a seed can be written");
    }
}
