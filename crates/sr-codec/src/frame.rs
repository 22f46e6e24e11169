//! The frames of a file: one zstd frame per value, and the footer.

use std::io::{self, Read};
use std::ops::Range;

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::get_frame_content_size;

/// The first bytes of a zstd frame (RFC 8878 §3.1.1), little-endian 0xFD2FB528.
pub(crate) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// Length of the footer, in bytes.
pub(crate) const FOOTER_LEN: usize = 28;

/// The fixed first part of the footer: a skippable zstd frame (RFC 8878 §3.1.2, little-endian 0x184D2A53) of 20 bytes.
/// Its content begins with this format's name, so that another tool's skippable frame is not mistaken for it.
const FOOTER_START: [u8; 16] = *b"\x53\x2A\x4D\x18\x14\0\0\0srfooter";

/// The logarithm of the largest window. Level 3 needs 2^21 bytes, and a damaged frame header could otherwise ask for
/// 2^27.
const WINDOW_LOG_MAX: u32 = 23;

/// The largest number of bytes of a block, compressed or not (RFC 8878 §3.1.1.2.4).
const BLOCK_BYTES: usize = 1 << 17;

/// The number of bytes read from the file at a time.
const INPUT_BYTES: usize = 1 << 17;

/// The bytes of output offered to the decoder at a time, so that memory follows what was really decoded and not the
/// size that a damaged frame claims.
const OUTPUT_BYTES: usize = 1 << 16;

/// The bytes that any value may have, however small its frame is.
const ANY_BYTES: usize = 64 << 20;

/// The bytes of a larger value for each byte of its frame, at most. Columns of measured or computed numbers are far below
/// it; a frame above it was made to fill memory.
const MOST_BYTES_OF_ONE: usize = 1024;

/// The most bytes that hold the head of a frame, with its content size (RFC 8878 §3.1.1.1).
const HEAD_BYTES: usize = 18;

/// Returns the largest value that a frame of this many bytes may hold.
pub(crate) fn most_bytes(frame: usize) -> usize {
    ANY_BYTES.max(frame.saturating_mul(MOST_BYTES_OF_ONE))
}

/// The frame at a frame boundary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A value, whole and with the right checksum; its MessagePack is in [`Frames::payload`].
    Value,
    /// The footer, after which the file ends.
    Footer {
        /// The number of records that it states.
        records: u64,
        /// Whether the file has the checksum that it states.
        intact: bool,
    },
}

/// The reason why there is neither a value nor a footer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The file ends here or in the middle of the frame.
    Cut,
    /// The bytes are no frame of this format.
    Corrupt(String),
    /// The bytes could not be read.
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A reader of a file frame by frame, with one decoded frame in memory.
pub(crate) struct Frames<R> {
    input: Input<R>,
    decoder: Decoder<'static>,
    pub(crate) limit: usize,
    /// The value found last, decompressed.
    pub(crate) payload: Vec<u8>,
    /// The offset of the frame found last; after a fault, the end of the whole frames.
    pub(crate) start: u64,
    /// CRC-32 of all bytes before `start`.
    pub(crate) crc_at_start: crc32fast::Hasher,
}

impl<R: Read> Frames<R> {
    /// Makes a reader of frames of at most `limit` bytes each, decompressed.
    pub(crate) fn new(source: R, limit: usize) -> io::Result<Self> {
        Ok(Self {
            input: Input::new(source),
            decoder: decoder()?,
            limit,
            payload: Vec::new(),
            start: 0,
            crc_at_start: crc32fast::Hasher::new(),
        })
    }

    /// Returns the source of the frames.
    pub(crate) fn into_source(self) -> R {
        self.input.source
    }

    /// Reads the next frame. Nothing follows a footer or a fault.
    pub(crate) fn advance(&mut self) -> Result<Frame, Fault> {
        self.advance_by(Self::value)
    }

    /// Reads the next frame without decoding it. For a value, `payload` is the frame itself, whose content [`unpack`]
    /// returns.
    pub(crate) fn advance_packed(&mut self) -> Result<Frame, Fault> {
        self.advance_by(Self::packed_value)
    }

    fn advance_by(&mut self, value: fn(&mut Self) -> Result<Frame, Fault>) -> Result<Frame, Fault> {
        self.start = self.input.offset;
        self.crc_at_start = self.input.crc.clone();
        let footer_magic = &FOOTER_START[..4];
        let bytes = self.input.peek(4)?;
        match &bytes[..bytes.len().min(4)] {
            magic if magic == ZSTD_MAGIC => value(self),
            magic if magic == footer_magic => self.footer(),
            cut if ZSTD_MAGIC.starts_with(cut) || footer_magic.starts_with(cut) => Err(Fault::Cut),
            _ => Err(Fault::Corrupt("no zstd frame starts here".to_owned())),
        }
    }

    fn value(&mut self) -> Result<Frame, Fault> {
        self.payload.clear();
        // A frame that states no size, or a wrong one, gets no more than any.
        let limit = match get_frame_content_size(self.input.peek(HEAD_BYTES)?) {
            Ok(Some(stated)) if stated > ANY_BYTES as u64 => self.frame_len()?.map_or(ANY_BYTES, most_bytes),
            _ => ANY_BYTES,
        };
        let limit = limit.min(self.limit);
        loop {
            let (consumed, is_whole) = step(&mut self.decoder, self.input.peek(1)?, &mut self.payload, limit)?;
            self.input.consume(consumed);
            if is_whole {
                return Ok(Frame::Value);
            }
        }
    }

    fn packed_value(&mut self) -> Result<Frame, Fault> {
        let Some(len) = self.frame_len()? else {
            // Decoding finds the fault.
            return self.value().and_then(|_| Err(Fault::Corrupt("its blocks are damaged".to_owned())));
        };
        self.payload.clear();
        self.payload.extend_from_slice(&self.input.peek(len)?[..len]);
        self.input.consume(len);
        Ok(Frame::Value)
    }

    /// Returns the length of the zstd frame that starts here, by the heads of its blocks (RFC 8878 §3.1.1), or `None`
    /// if it is cut or damaged.
    fn frame_len(&mut self) -> io::Result<Option<usize>> {
        let Some(&descriptor) = self.input.peek(5)?.get(4) else { return Ok(None) };
        let is_single = descriptor & 0x20 != 0;
        let content_size = match descriptor >> 6 {
            0 => usize::from(is_single),
            flag => 1 << flag,
        };
        let dictionary_id = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let mut len = 5 + usize::from(!is_single) + dictionary_id + content_size;
        loop {
            let Some(&[a, b, c]) = self.input.peek(len + 3)?.get(len..).and_then(<[u8]>::first_chunk) else {
                return Ok(None);
            };
            let head = u32::from_le_bytes([a, b, c, 0]);
            let size = (head >> 3) as usize;
            len += 3 + match head >> 1 & 3 {
                1 => 1, // one byte, repeated
                _ => size,
            };
            if head & 1 == 1 {
                break;
            }
            if size > BLOCK_BYTES || len > self.limit {
                return Ok(None);
            }
        }
        len += if descriptor & 4 == 0 { 0 } else { 4 };
        Ok((self.input.peek(len)?.len() >= len).then_some(len))
    }

    fn footer(&mut self) -> Result<Frame, Fault> {
        let &bytes = self.input.peek(FOOTER_LEN)?.first_chunk::<FOOTER_LEN>().ok_or(Fault::Cut)?;
        let Some((records, crc)) = parse_footer(&bytes) else {
            return Err(Fault::Corrupt("the footer is damaged".to_owned()));
        };
        let mut hasher = self.crc_at_start.clone();
        hasher.update(&bytes[..FOOTER_LEN - 4]);
        self.input.consume(FOOTER_LEN);
        if !self.input.peek(1)?.is_empty() {
            return Err(Fault::Corrupt("there are bytes after the footer".to_owned()));
        }
        Ok(Frame::Footer { records, intact: hasher.finalize() == crc })
    }
}

/// Decodes a frame that takes all of `bytes`, to at most `limit` bytes and no more than [`most_bytes`].
pub(crate) fn unpack(decoder: &mut Decoder<'static>, mut bytes: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let limit = limit.min(most_bytes(bytes.len()));
    decoder.reinit()?; // the frame before may have been cut
    let mut payload = Vec::new();
    loop {
        let (consumed, is_whole) = step(decoder, bytes, &mut payload, limit)?;
        bytes = &bytes[consumed..];
        if is_whole {
            return match bytes.is_empty() {
                true => Ok(payload),
                false => Err(Fault::Corrupt("its blocks are damaged".to_owned())),
            };
        }
    }
}

/// Makes a decoder for [`unpack`].
pub(crate) fn decoder() -> io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
    Ok(decoder)
}

/// Decodes some of a frame and appends it to `payload`. Returns how many bytes were consumed, and whether the frame is
/// whole.
fn step(
    decoder: &mut Decoder<'static>,
    bytes: &[u8],
    payload: &mut Vec<u8>,
    limit: usize,
) -> Result<(usize, bool), Fault> {
    payload.reserve(OUTPUT_BYTES);
    let before = payload.len();
    let mut input = InBuffer::around(bytes);
    let mut output = OutBuffer::around_pos(payload, before);
    let hint = decoder.run(&mut input, &mut output).map_err(|error| Fault::Corrupt(error.to_string()))?;
    let consumed = input.pos();
    if payload.len() > limit {
        return Err(Fault::Corrupt(format!(
            "decompressed it has more than {limit} bytes, the most for its size in the file"
        )));
    }
    // No input is not enough: the decoder may still hold output that did not fit.
    if hint != 0 && consumed == 0 && payload.len() == before {
        return Err(Fault::Cut);
    }
    Ok((consumed, hint == 0))
}

/// Returns the footer of a file of `records` records whose bytes so far `crc` has processed. Its checksum covers every
/// byte of the file except its own four.
pub(crate) fn footer(records: u64, mut crc: crc32fast::Hasher) -> [u8; FOOTER_LEN] {
    let mut bytes = [0; FOOTER_LEN];
    bytes[..16].copy_from_slice(&FOOTER_START);
    bytes[16..24].copy_from_slice(&records.to_le_bytes());
    crc.update(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.finalize().to_le_bytes());
    bytes
}

/// Returns record count and checksum, or `None` if this is no footer.
pub(crate) fn parse_footer(bytes: &[u8; FOOTER_LEN]) -> Option<(u64, u32)> {
    let (start, rest) = bytes.split_first_chunk()?;
    let (records, rest) = rest.split_first_chunk()?;
    let (crc, _) = rest.split_first_chunk()?;
    (*start == FOOTER_START).then(|| (u64::from_le_bytes(*records), u32::from_le_bytes(*crc)))
}

/// A buffered input that can look several bytes ahead (`BufReader` promises one) and keeps offset and checksum.
struct Input<R> {
    source: R,
    buffer: Vec<u8>,
    filled: Range<usize>,
    offset: u64,
    crc: crc32fast::Hasher,
}

impl<R: Read> Input<R> {
    fn new(source: R) -> Self {
        Self { source, buffer: vec![0; INPUT_BYTES], filled: 0..0, offset: 0, crc: crc32fast::Hasher::new() }
    }

    /// Returns the buffered bytes, at least `wanted` of them, or fewer at the end of the file.
    fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        if self.filled.len() < wanted {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if wanted > self.buffer.len() {
            self.buffer.resize(wanted.next_power_of_two(), 0);
        }
        while self.filled.len() < wanted {
            match self.source.read(&mut self.buffer[self.filled.end..]) {
                Ok(0) => break,
                Ok(n) => self.filled.end += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.filled.clone()])
    }

    fn consume(&mut self, n: usize) {
        self.crc.update(&self.buffer[self.filled.start..][..n]);
        self.filled.start += n;
        self.offset += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zstd_frame(payload: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(payload, 3).expect("compressing into memory")
    }

    fn first(bytes: &[u8], limit: usize) -> (Result<Frame, Fault>, Vec<u8>) {
        let mut frames = Frames::new(bytes, limit).expect("a decoder");
        (frames.advance(), frames.payload)
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused() {
        let zeros = vec![0; 300_000];
        assert!(matches!(first(&zstd_frame(&zeros), 300_000), (Ok(Frame::Value), payload) if payload == zeros));
        assert!(matches!(first(&zstd_frame(&zeros), 299_999).0, Err(Fault::Corrupt(_))));
    }

    #[test]
    fn a_small_frame_does_not_become_a_large_value() {
        let mut zeros = vec![0; ANY_BYTES + 1];
        let bomb = zstd_frame(&zeros);
        assert!(bomb.len() < 1 << 14);
        let words = "decompressed it has more than 67108864 bytes, the most for its size in the file";
        let is_refused = |fault: &Fault| matches!(fault, Fault::Corrupt(reason) if reason == words);
        let (result, payload) = first(&bomb, 1 << 30);
        assert!(result.as_ref().is_err_and(is_refused), "{result:?}");
        assert!(payload.capacity() <= 2 * ANY_BYTES + 2 * OUTPUT_BYTES);
        let result = unpack(&mut decoder().expect("a decoder"), &bomb, 1 << 30).map(|payload| payload.len());
        assert!(result.as_ref().is_err_and(is_refused), "{result:?}");
        assert!(matches!(first(&zstd_frame(&zeros[1..]), 1 << 30).0, Ok(Frame::Value)));
        let mut state = 1_u64;
        for byte in zeros.iter_mut().take(BLOCK_BYTES) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        let dense = zstd_frame(&zeros);
        assert!(most_bytes(dense.len()) > zeros.len(), "{}", dense.len());
        assert!(matches!(first(&dense, 1 << 30), (Ok(Frame::Value), payload) if payload == zeros));
    }

    #[test]
    fn a_claimed_size_is_not_believed() {
        // Eight-byte content size, 2^60, single segment; the same with a window of 2^31; then a raw block of one byte.
        let single = [&ZSTD_MAGIC[..], &[0xE0], &(1_u64 << 60).to_le_bytes(), &[0x09, 0, 0, b'x']].concat();
        let window = [&ZSTD_MAGIC[..], &[0xC0, 21 << 3], &(1_u64 << 60).to_le_bytes(), &[0x09, 0, 0, b'x']].concat();
        for bytes in [single, window] {
            let (result, payload) = first(&bytes, 1 << 30);
            assert!(matches!(result, Err(Fault::Corrupt(_))), "{result:?}");
            assert!(payload.capacity() <= 2 * OUTPUT_BYTES);
        }
    }

    #[test]
    fn a_frame_larger_than_all_buffers_is_read_whole() {
        // Incompressible, several windows long, so that neither input nor output fits in one go.
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(5 << 20)
        .collect();
        let bytes = zstd_frame(&noise);
        assert!(matches!(first(&bytes, 1 << 30), (Ok(Frame::Value), payload) if payload == noise));
        assert!(matches!(first(&bytes[..bytes.len() - 1], 1 << 30).0, Err(Fault::Cut)));
    }

    #[test]
    fn packed_frames_are_those_of_the_file() {
        let zeros = vec![0; 300_000];
        let noise: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
        let frames = [zstd_frame(b""), zstd_frame(b"abc"), zstd_frame(&zeros), zstd_frame(&noise)];
        let bytes = frames.concat();
        let mut file = Frames::new(&bytes[..], 1 << 20).expect("a decoder");
        let mut decoder = decoder().expect("a decoder");
        for frame in &frames {
            assert!(matches!(file.advance_packed(), Ok(Frame::Value)));
            assert_eq!(&file.payload, frame);
            for cut in [1, frame.len() - 1] {
                assert!(unpack(&mut decoder, &frame[..cut], 1 << 20).is_err());
            }
            let payload = unpack(&mut decoder, frame, 1 << 20).expect("whole");
            assert_eq!(payload, zstd::bulk::decompress(frame, 1 << 20).expect("whole"));
        }
        assert!(matches!(file.advance_packed(), Err(Fault::Cut)));
    }

    #[test]
    fn nothing_may_follow_the_footer() {
        let bytes = footer(7, crc32fast::Hasher::new());
        assert_eq!(parse_footer(&bytes), Some((7, crc32fast::hash(&bytes[..24]))));
        assert!(matches!(first(&bytes, 1).0, Ok(Frame::Footer { records: 7, intact: true })));
        assert!(matches!(first(&[&bytes[..], b"x"].concat(), 1).0, Err(Fault::Corrupt(_))));
    }
}
