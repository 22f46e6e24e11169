//! SHA-256 checksums of files, and of folders that list the checksums of their files in `SHA256SUMS`.
//!
//! A folder such as a checkpoint is written once. Its `SHA256SUMS` has a line for each file, `<digits>  <name>`, as the
//! program `sha256sum` writes and checks them.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The name of the file of checksums in a folder.
pub const SUMS: &str = "SHA256SUMS";

/// The reason why a folder is not the one that was saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SumsError {
    /// A file cannot be read.
    #[error("{}: cannot read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line of the file of checksums is no checksum of a file of the folder.
    #[error("{}: `{line}` is no checksum of a file of this folder", path.display())]
    NoChecksum {
        /// The file of checksums.
        path: PathBuf,
        /// The line.
        line: String,
    },
    /// A file has another checksum.
    #[error("{}: the file is not the one that was saved, by its checksum in {SUMS}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// Returns the SHA-256 of some bytes, in 64 hexadecimal digits.
pub fn of_bytes(bytes: &[u8]) -> String {
    digits(Sha256::new_with_prefix(bytes))
}

/// Returns the number of bytes of a file and their SHA-256.
///
/// # Errors
/// Returns an error if it cannot be read.
pub fn of_file(path: &Path) -> io::Result<(u64, String)> {
    let mut sha = Sha256::new();
    let bytes = io::copy(&mut File::open(path)?, &mut sha)?;
    Ok((bytes, digits(sha)))
}

/// Returns the contents of a file of checksums, with a line for each name and its bytes.
pub fn list<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    files.into_iter().map(|(name, bytes)| format!("{}  {name}\n", of_bytes(bytes))).collect()
}

/// Checks the files of a folder against its checksums. Returns whether it has a file of checksums.
///
/// # Errors
/// Returns an error if a file is missing, cannot be read or has another checksum, or a line is no checksum of a file of
/// the folder.
pub fn check(folder: &Path) -> Result<bool, SumsError> {
    let path = folder.join(SUMS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(SumsError::Io { path, source }),
    };
    for line in text.lines() {
        // A name with folders in it would lead out of this folder.
        let is_name = |name: &str| Path::new(name).file_name().is_some_and(|only| only == name);
        let Some((expected, name)) = line.split_once("  ").filter(|(_, name)| is_name(name)) else {
            return Err(SumsError::NoChecksum { path, line: line.to_owned() });
        };
        let file = folder.join(name);
        match of_file(&file) {
            Ok((_, found)) if found == expected => {}
            Ok(_) => return Err(SumsError::Changed { path: file }),
            Err(source) => return Err(SumsError::Io { path: file, source }),
        }
    }
    Ok(true)
}

fn digits(sha: Sha256) -> String {
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum of FIPS 180-4's test "abc".
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn checksums_are_those_of_the_standard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        assert_eq!((of_bytes(b"abc"), of_file(&path).unwrap()), (ABC.into(), (3, ABC.into())));
        assert_eq!(list([("abc", &b"abc"[..])]), format!("{ABC}  abc\n"));
    }

    #[test]
    fn a_folder_is_checked_by_what_stands_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let fails = || check(folder.path()).unwrap_err().to_string();
        assert!(!check(folder.path()).unwrap(), "there are no checksums");
        fs::write(at("abc"), "abc").unwrap();
        fs::write(at(SUMS), format!("{ABC}  abc\n")).unwrap();
        assert!(check(folder.path()).unwrap());
        fs::write(at("abc"), "abd").unwrap();
        assert!(fails().ends_with("abc: the file is not the one that was saved, by its checksum in SHA256SUMS"));
        fs::remove_file(at("abc")).unwrap();
        assert!(fails().contains("abc: cannot read: "));
        for line in ["ba78", &format!("{ABC}  ../abc"), &format!("{ABC}  /abc")] {
            fs::write(at(SUMS), line).unwrap();
            assert!(fails().contains("is no checksum of a file of this folder"), "{line}");
        }
    }
}
