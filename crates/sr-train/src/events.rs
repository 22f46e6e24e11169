//! Event files for TensorBoard, with scalars only.
//!
//! A file is a TFRecord file of `Event` messages (protocol buffers). The crates for it need a protobuf runtime, and an
//! image library for pictures that are never logged here; the two messages of a scalar take little code.
//!
//! ```text
//! record   length u64 | masked CRC-32C of the length u32 | Event | masked CRC-32C of the Event u32    little endian
//! Event    1: wall_time double, 2: step int64, 3: file_version string, 5: Summary
//! Summary  1: Value, repeated                 Value  1: tag string, 2: simple_value float
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Error;
use crate::folder::write_aside;

/// The file name; TensorBoard looks for `tfevents` in it.
const FILE: &str = "events.out.tfevents.0.sr-train";

/// An open event file.
#[derive(Debug)]
pub(crate) struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Opens the event file of a run's folder for appending after the events of steps up to `step`, or creates it.
    pub(crate) fn open(dir: &Path, step: u64) -> Result<Self, Error> {
        Self::open_while(dir.join(FILE), |event| step_of(event) <= step)
    }

    /// Cuts the file off from the first event of a step on whose tags begin with `group`, if there is one.
    pub(crate) fn cut(&mut self, group: &str, step: u64) -> Result<(), Error> {
        let has_group = |event: &[u8]| event.windows(group.len()).any(|part| part == group.as_bytes());
        *self = Self::open_while(self.path.clone(), |event| step_of(event) != step || !has_group(event))?;
        Ok(())
    }

    /// Opens the file for appending after the first events, those up to the first that is not `kept`, or creates it.
    fn open_while(path: PathBuf, kept: impl Fn(&[u8]) -> bool) -> Result<Self, Error> {
        let old = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            old => old.map_err(Error::io(&path))?,
        };
        // A record that a killed process left unfinished is dropped too.
        let kept: usize = records(&old).take_while(|event| kept(event)).map(|event| event.len() + 16).sum();
        if kept == 0 {
            let mut version = Vec::new();
            double(&mut version, 1, unix_time());
            bytes(&mut version, 3, b"brain.Event:2");
            write_aside(&path, &record(&version))?;
        } else if kept < old.len() {
            write_aside(&path, &old[..kept])?;
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::io(&path))?;
        Ok(EventFile { file, path })
    }

    /// Appends an event.
    pub(crate) fn scalars<'a>(
        &mut self,
        step: u64,
        scalars: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<(), Error> {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut message = Vec::new();
            bytes(&mut message, 1, tag.as_bytes());
            float(&mut message, 2, value as f32);
            bytes(&mut summary, 1, &message);
        }
        let mut event = Vec::new();
        double(&mut event, 1, unix_time());
        integer(&mut event, 2, step);
        bytes(&mut event, 5, &summary);
        self.file.write_all(&record(&event)).map_err(Error::io(&self.path))
    }
}

/// Returns the seconds since 1970.
fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Wraps a message in a record.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let (of_length, of_message) = (masked_crc(&length).to_le_bytes(), masked_crc(message).to_le_bytes());
    [&length[..], &of_length, message, &of_message].concat()
}

/// Returns the messages of a file up to the first record that is incomplete or damaged.
fn records(mut file: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = file.split_first_chunk::<8>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        if masked_crc(length) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (message, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        if masked_crc(message) != u32::from_le_bytes(*crc) {
            return None;
        }
        file = rest;
        Some(message)
    })
}

/// CRC-32C (Castagnoli), rotated and shifted as TFRecord wants it.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Returns the step of an event that this module wrote; 0 if it has none.
fn step_of(event: &[u8]) -> u64 {
    // The wall time, a double under field 1, comes first.
    let Some([0x10, varint @ ..]) = event.get(9..) else { return 0 };
    let end = varint.iter().position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1);
    varint[..end].iter().rev().fold(0, |step, byte| step << 7 | u64::from(byte & 0x7f))
}

// Fields of a protocol buffer: number << 3 | wire type, then the value.

fn integer(to: &mut Vec<u8>, field: u8, value: u64) {
    to.push(field << 3);
    varint(to, value);
}

fn double(to: &mut Vec<u8>, field: u8, value: f64) {
    to.push(field << 3 | 1);
    to.extend(value.to_le_bytes());
}

fn bytes(to: &mut Vec<u8>, field: u8, value: &[u8]) {
    to.push(field << 3 | 2);
    varint(to, value.len() as u64);
    to.extend(value);
}

fn float(to: &mut Vec<u8>, field: u8, value: f32) {
    to.push(field << 3 | 5);
    to.extend(value.to_le_bytes());
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Returns the steps of the events in a file, all of whose records must be complete.
    fn steps(file: &[u8]) -> Vec<u64> {
        let events: Vec<&[u8]> = records(file).collect();
        assert_eq!(events.iter().map(|event| event.len() + 16).sum::<usize>(), file.len(), "nothing is left over");
        events.into_iter().map(step_of).collect()
    }

    #[test]
    fn checksums_are_those_of_the_standard() {
        let unmasked = |crc: u32| crc.wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(unmasked(masked_crc(b"123456789")), 0xe306_9283);
        assert_eq!(unmasked(masked_crc(&[0; 32])), 0x8a91_36aa, "RFC 3720, B.4");
    }

    #[test]
    fn records_are_read_again_and_cut_where_a_run_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        let mut events = EventFile::open(folder.path(), 0).expect("a file");
        for step in [1, 300, 70_000] {
            events.scalars(step, [("train/loss", 0.5), ("train/lr", 1e-3)]).expect("written");
        }
        let whole = fs::read(&path).expect("the file");
        assert_eq!(steps(&whole), [0, 1, 300, 70_000]);

        // A run that was killed within a record continues from step 300.
        fs::write(&path, &whole[..whole.len() - 5]).expect("written");
        let mut events = EventFile::open(folder.path(), 300).expect("a file");
        events.scalars(400, [("validation/loss", 0.25)]).expect("written");
        assert_eq!(steps(&fs::read(&path).expect("the file")), [0, 1, 300, 400]);
        EventFile::open(folder.path(), 1).expect("a file");
        assert_eq!(steps(&fs::read(&path).expect("the file")), [0, 1]);

        let mut damaged = whole.clone();
        damaged[60] ^= 1;
        assert_eq!(records(&damaged).count(), 1);
        fs::write(&path, "no event file").expect("written");
        EventFile::open(folder.path(), 9).expect("begun anew");
        assert_eq!(steps(&fs::read(&path).expect("the file")), [0]);
    }

    /// Reads the events with TensorBoard itself, if Python has it: `just interop-python` installs it.
    #[test]
    fn tensorboard_shows_the_scalars() {
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runs/interop-venv/bin/python");
        let own = std::env::var_os("SR_TENSORBOARD_PYTHON").map(PathBuf::from);
        let has_tensorboard = |python: &PathBuf| {
            Command::new(python).args(["-c", "import tensorboard"]).output().is_ok_and(|o| o.status.success())
        };
        let Some(python) = [own, Some(venv), Some("python3".into())].into_iter().flatten().find(has_tensorboard) else {
            let why = "no Python with it (`just interop-python` makes one; SR_TENSORBOARD_PYTHON names another)";
            return sr_testing::skipped("tensorboard", why);
        };
        let folder = tempfile::tempdir().expect("a folder");
        let mut events = EventFile::open(folder.path(), 0).expect("a file");
        events.scalars(10, [("train/loss", 0.5), ("train/lr", 0.25)]).expect("written");
        events.scalars(20, [("train/loss", 0.125)]).expect("written");
        let script = "import sys\n\
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n\
            events = EventAccumulator(sys.argv[1])\n\
            events.Reload()\n\
            for tag in sorted(events.Tags()['scalars']):\n    \
                print(tag, [(e.step, e.value) for e in events.Scalars(tag)])\n";
        let output = Command::new(&python).args(["-c", script]).arg(folder.path()).output().expect("Python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text, "train/loss [(10, 0.5), (20, 0.125)]\ntrain/lr [(10, 0.25)]\n");
    }
}
