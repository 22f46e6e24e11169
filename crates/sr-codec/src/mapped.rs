//! Reading records in any order, from a file mapped into memory.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use serde::de::DeserializeOwned;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::{find_frame_compressed_size, get_error_name, get_frame_content_size};

use crate::frame::{FOOTER_LEN, ZSTD_MAGIC, parse_footer};
use crate::reader::decode;
use crate::{Error, Header, Kind, MAX_RECORD_BYTES, Reader, Result};

/// Bytes of a map that are read before its pages are given back. The system keeps the file in its cache, if there is
/// room, without counting it as this process's memory.
const RELEASE_BYTES: usize = 32 << 20;

/// The records of a finished file, each found without reading the others.
///
/// Opening walks over the frames' block headers to learn where they start, eight bytes of memory a record; nothing is
/// decompressed. Every record is checked when it is read, the whole file's checksum never. Clones share map and index.
pub struct Mapped<P> {
    path: Arc<Path>,
    header: Arc<Header<P>>,
    map: Arc<Mmap>,
    /// Where each record starts, and where the last one ends.
    starts: Arc<[u64]>,
    decompressor: Decompressor<'static>,
    payload: Vec<u8>,
    /// Bytes read since pages were given back.
    read: usize,
}

impl<P: DeserializeOwned> Mapped<P> {
    /// Opens a file of this kind and version.
    ///
    /// # Errors
    /// As [`Reader::open`]; and if the file is cut, was not finished, or is damaged between records.
    pub fn open(path: impl AsRef<Path>, kind: Kind, version: u32) -> Result<Self> {
        let path = path.as_ref();
        let header = Reader::open(path, kind, version)?.into_header();
        let file = File::open(path).map_err(Error::io(path, "open"))?;
        // SAFETY: a file under its own name is never changed: writers work on another one and rename it.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path, "map"))?;
        let starts = index(path, &map)?;
        Ok(Mapped {
            path: path.into(),
            header: Arc::new(header),
            map: Arc::new(map),
            starts: starts.into(),
            decompressor: new_decompressor(),
            payload: Vec::new(),
            read: 0,
        })
    }
}

impl<P> Mapped<P> {
    /// What the file says about itself.
    pub fn header(&self) -> &Header<P> {
        &self.header
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Record `index`, counted from 0; the type is the caller's to know.
    ///
    /// # Errors
    /// If the record is damaged, or not a `T`.
    ///
    /// # Panics
    /// If there are not so many records.
    pub fn record<T: DeserializeOwned>(&mut self, index: usize) -> Result<T> {
        let (start, end) = (self.starts[index], self.starts[index + 1]);
        self.read += (end - start) as usize;
        if self.read > RELEASE_BYTES {
            release(&self.map);
            self.read = 0;
        }
        let frame = &self.map[start as usize..end as usize];
        let (path, record) = (|| self.path.to_path_buf(), index as u64);
        let corrupt = |reason: String| Error::Corrupt { path: path(), record, offset: start, reason };
        let size = get_frame_content_size(frame).ok().flatten().filter(|&size| size <= MAX_RECORD_BYTES as u64);
        let size = size.ok_or_else(|| corrupt("it does not state its size".to_owned()))?;
        self.payload.clear();
        self.payload.try_reserve(size as usize).map_err(|error| corrupt(error.to_string()))?;
        let decompressed = self.decompressor.decompress_to_buffer(frame, &mut self.payload);
        decompressed.map_err(|error| corrupt(error.to_string()))?;
        decode(&self.payload).map_err(|source| Error::Decode { path: path(), record, source })
    }
}

impl<P> Clone for Mapped<P> {
    fn clone(&self) -> Self {
        let (path, header) = (self.path.clone(), self.header.clone());
        let (map, starts) = (self.map.clone(), self.starts.clone());
        Mapped { path, header, map, starts, decompressor: new_decompressor(), payload: Vec::new(), read: 0 }
    }
}

fn new_decompressor() -> Decompressor<'static> {
    Decompressor::new().expect("memory for a decoder")
}

/// Gives the pages of a map back.
fn release(map: &Mmap) {
    // SAFETY: the map is of a file and never written to, so that a page which is read again comes from the file.
    #[cfg(unix)]
    #[allow(unsafe_code)]
    let result = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    #[cfg(unix)]
    result.ok(); // it was advice
}

/// Where the records of a file start, the header left out, and where the last one ends.
fn index(path: &Path, bytes: &Mmap) -> Result<Vec<u64>> {
    let mut released = 0;
    let mut starts = Vec::new(); // of the frames behind the header
    let mut offset = 0;
    loop {
        // The header is frame 0, so the number of records that are whole is one less than that of frames.
        let record = (starts.len() as u64).saturating_sub(1);
        let rest = &bytes[offset..];
        let cut = || Error::Truncated { path: path.to_owned(), record, offset: offset as u64 };
        let corrupt = |reason: &str| Error::Corrupt {
            path: path.to_owned(),
            record,
            offset: offset as u64,
            reason: reason.to_owned(),
        };
        if rest.len() == FOOTER_LEN
            && let Some((expected, _)) = rest.first_chunk().and_then(parse_footer)
        {
            return match expected == record {
                true => Ok(starts),
                false => Err(Error::CountMismatch { path: path.to_owned(), expected, found: record }),
            };
        }
        if rest.len() <= FOOTER_LEN {
            return Err(cut());
        }
        if !rest.starts_with(&ZSTD_MAGIC) {
            return Err(corrupt("no zstd frame starts here"));
        }
        offset += find_frame_compressed_size(rest).map_err(|code| match get_error_name(code) {
            "Src size is incorrect" => cut(),
            reason => corrupt(reason),
        })?;
        starts.push(offset as u64);
        if offset - released > RELEASE_BYTES {
            release(bytes);
            released = offset;
        }
    }
}
