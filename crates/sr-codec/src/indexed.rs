//! A reader of records in any order.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::get_frame_content_size;

use crate::frame::most_bytes;
use crate::reader::decode_record;
use crate::{Error, Header, Kind, MAX_RECORD_BYTES, Reader, Result};

/// The records of a finished file, each found without reading the others.
///
/// Opening reads the file once, without decompressing it. It checks the length, number of records and checksum, and
/// finds where the records start, which takes eight bytes of memory a record. Every record is checked again when it is
/// read, so a file that another process changes meanwhile gives errors. The file is read and not mapped into memory,
/// because changing a mapped file is undefined behaviour, and cutting it ends the process. Clones share file and index.
pub struct Indexed<P> {
    path: Arc<Path>,
    header: Arc<Header<P>>,
    file: Arc<File>,
    /// The offset of each record, and of the end of the last one.
    starts: Arc<[u64]>,
    decompressor: Decompressor<'static>,
    frame: Vec<u8>,
    payload: Vec<u8>,
}

impl<P> std::fmt::Debug for Indexed<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Indexed")
            .field("path", &self.path)
            .field("records", &self.starts.len().saturating_sub(1))
            .finish_non_exhaustive()
    }
}

impl<P: DeserializeOwned> Indexed<P> {
    /// Opens a file of this kind and version.
    ///
    /// # Errors
    /// Returns an error where [`Reader::open`] does, and if the file is cut, was not finished, or does not have its
    /// checksum.
    pub fn open(path: impl AsRef<Path>, kind: Kind, version: u32) -> Result<Self> {
        let path = path.as_ref();
        let mut reader = Reader::open(path, kind, version)?;
        let mut starts = Vec::new();
        loop {
            match reader.next_packed() {
                Ok(Some(record)) => starts.push(record.offset()),
                Ok(None) => break,
                Err(error @ Error::ChecksumMismatch { .. }) => return Err(damage::<P>(path, kind, version, error)),
                Err(error) => return Err(error),
            }
        }
        // This is the file whose header was read, even if another one has its name by now.
        let (header, file, end) = reader.into_parts();
        starts.push(end);
        Ok(Indexed {
            path: path.into(),
            header: Arc::new(header),
            file: Arc::new(file),
            starts: starts.into(),
            decompressor: new_decompressor(),
            frame: Vec::new(),
            payload: Vec::new(),
        })
    }
}

impl<P> Indexed<P> {
    /// Returns the header.
    pub fn header(&self) -> &Header<P> {
        &self.header
    }

    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads record `index`, counted from 0. The caller chooses the type.
    ///
    /// # Errors
    /// Returns an error if the record is damaged, or not a `T`.
    ///
    /// # Panics
    /// Panics if there are not so many records.
    pub fn record<T: DeserializeOwned>(&mut self, index: usize) -> Result<T> {
        assert!(index < self.len(), "record {index} of {}", self.len());
        let (start, end) = (self.starts[index], self.starts[index + 1]);
        let (path, record) = (|| self.path.to_path_buf(), index as u64);
        self.frame.resize((end - start) as usize, 0);
        read_exact_at(&self.file, &mut self.frame, start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Truncated { path: path(), record, offset: start },
            _ => Error::io(&self.path, "read")(error),
        })?;
        let corrupt = |reason: String| Error::Corrupt { path: path(), record, offset: start, reason };
        let size = get_frame_content_size(&self.frame).ok().flatten();
        let size = size.ok_or_else(|| corrupt("it does not state its size".to_owned()))?;
        let most = most_bytes(self.frame.len()).min(MAX_RECORD_BYTES);
        if size > most as u64 {
            return Err(corrupt(format!("it states {size} bytes, and may have {most} by its size in the file")));
        }
        self.payload.clear();
        self.payload.try_reserve(size as usize).map_err(|error| corrupt(error.to_string()))?;
        let decompressed = self.decompressor.decompress_to_buffer(&self.frame, &mut self.payload);
        decompressed.map_err(|error| corrupt(error.to_string()))?;
        decode_record(&self.payload).map_err(|source| Error::Decode { path: path(), record, source })
    }
}

impl<P> Clone for Indexed<P> {
    fn clone(&self) -> Self {
        let (path, header) = (self.path.clone(), self.header.clone());
        let (file, starts) = (self.file.clone(), self.starts.clone());
        let (frame, payload) = (Vec::new(), Vec::new());
        Indexed { path, header, file, starts, decompressor: new_decompressor(), frame, payload }
    }
}

/// Returns an error for the damaged record of a file without its checksum, found by decompressing all of them; if none
/// is damaged, returns `error`.
fn damage<P: DeserializeOwned>(path: &Path, kind: Kind, version: u32, error: Error) -> Error {
    let read = || {
        let mut reader = Reader::<P>::open(path, kind, version)?;
        while reader.next_raw()?.is_some() {}
        Ok(())
    };
    read().err().unwrap_or(error)
}

fn new_decompressor() -> Decompressor<'static> {
    Decompressor::new().expect("memory for a decoder")
}

/// Fills `bytes` from an offset of a file. Other threads may read it at the same time.
///
/// # Errors
/// Returns an error if reading fails, or the file ends before.
pub fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset);
    #[cfg(windows)]
    {
        let mut filled = 0;
        while filled < bytes.len() {
            match std::os::windows::fs::FileExt::seek_read(file, &mut bytes[filled..], offset + filled as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
        }
        Ok(())
    }
}
