//! Output files and folders: nothing is overwritten by mistake, and no two runs write the same output.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

/// The flag of every program that writes a file or folder.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct OutputArgs {
    /// Replace what is there under the name of the output; without it that is an error. An input is never replaced
    #[arg(long, global = true)]
    pub force: bool,
}

/// An output that this run may write until the value is dropped.
///
/// [`Claim::take`] returns one before any work is done. From then until the drop, `OUT.lock` is locked and
/// contains the process id, so that a second run on the same output fails; it is deleted at the end. If a run is
/// killed, its lock file remains but locks nothing. It says whether the output was there when that run began. If it was
/// not, it is at most what that run left, and the next run may replace it; else it is what somebody kept. On a file
/// system without locks, two runs are not detected.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    existed: bool,
    lock: Option<(PathBuf, File)>,
    /// Folders that were created for the output, outermost first; empty ones are removed at the end.
    made: Vec<PathBuf>,
}

/// A request for an [`Output`].
#[derive(Debug)]
pub struct Claim<'a> {
    flag: &'a str,
    path: &'a Path,
    is_folder: bool,
    /// Other files that are written: endings added to the path's name or, in a folder, names in it.
    also: Vec<&'a str>,
    inputs: Vec<&'a Path>,
    may_exist: bool,
    /// The ending of the file that an interrupted run leaves, if it must not be replaced.
    unfinished: Option<&'a str>,
}

impl<'a> Claim<'a> {
    /// Returns a claim of a file, beside which `PATH.partial` and `PATH.run.json` may be written. Its folder must
    /// exist.
    pub fn file(path: &'a Path) -> Self {
        let also = vec![".partial", ".run.json"];
        Claim { flag: "--out", path, is_folder: false, also, inputs: Vec::new(), may_exist: false, unfinished: None }
    }

    /// Returns a claim of a folder. Neither it nor its parent folders need to exist. If it exists, it may contain
    /// anything but the files named by [`also`](Self::also).
    pub fn folder(path: &'a Path) -> Self {
        Claim { is_folder: true, also: Vec::new(), ..Claim::file(path) }
    }

    /// Sets the flag that messages name; the default is `--out`.
    #[must_use]
    pub fn flag(mut self, flag: &'a str) -> Self {
        self.flag = flag;
        self
    }

    /// Adds files that are written: for a file, endings added to its name, such as `.rows`; for a folder, names in it.
    #[must_use]
    pub fn also(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.also.extend(names);
        self
    }

    /// Adds files and folders that are read, none of which may be replaced.
    #[must_use]
    pub fn inputs<P: AsRef<Path> + ?Sized + 'a>(mut self, inputs: impl IntoIterator<Item = &'a P>) -> Self {
        self.inputs.extend(inputs.into_iter().map(AsRef::as_ref));
        self
    }

    /// Sets whether the output may exist: because of `--force`, or because `--resume` checks it.
    #[must_use]
    pub fn may_exist(mut self, may_exist: bool) -> Self {
        self.may_exist = may_exist;
        self
    }

    /// Protects the file that an interrupted run left under the path's name with `ending`, which may be hours of work.
    /// Set `may_go` if it may be replaced: because of `--force`, or because `--resume` continues it.
    #[must_use]
    pub fn unfinished(mut self, ending: &'a str, may_go: bool) -> Self {
        self.unfinished = (!may_go).then_some(ending);
        self
    }

    /// Checks and locks the output.
    ///
    /// # Errors
    /// If the output is an input, exists and may not, is a folder instead of a file or a file instead of a folder, has
    /// no parent folder or one that cannot be written, or is in use by another run or by another output of this run.
    pub fn take(self) -> anyhow::Result<Output> {
        let told = || format!("{} {}", self.flag, self.path.display());
        ensure!(!self.path.as_os_str().is_empty(), "{}: expected a name, found none", self.flag);
        ensure!(
            self.path != Path::new("-"),
            "{} -: results are written aside and renamed, so they cannot go to standard output; a file of this name is ./-",
            self.flag
        );
        let found = match fs::symlink_metadata(self.path) {
            Ok(_) => Some(fs::metadata(self.path).ok()), // a link may lead nowhere
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                bail!("{}: {} is no folder", told(), parent(self.path).display())
            }
            Err(error) => return Err(error).with_context(told),
        };
        self.check_kind(found.as_ref(), &told)?;
        self.check_inputs(&told)?;
        self.check_run_file(&told)?;
        self.check_files(&told)?;
        let made = if self.is_folder { make_folders(parent(self.path)).with_context(told)? } else { Vec::new() };
        // From here on a failure removes what was created.
        let mut output = Output { path: self.path.to_owned(), existed: false, lock: None, made };
        let name = name_of_lock(self.path).with_context(told)?;
        let (lock, left) = lock(&name, found.is_some() && self.is_folder).with_context(told)?;
        output.lock = lock;
        // It is looked for under the lock: another run may just have made it.
        let is_there = |file: &Path| fs::symlink_metadata(file).is_ok();
        let existing = match self.is_folder {
            false => is_there(self.path).then(|| self.path.to_owned()),
            true => self.written().into_iter().find(|file| is_there(file)),
        };
        output.existed = existing.is_some();
        let kept = existing.as_ref().filter(|_| left != Left::Unfinished);
        if let Some((_, file)) = &mut output.lock {
            sign(file, kept.is_some());
        }
        if let Some(existing) = kept.filter(|_| !self.may_exist) {
            bail!("{}: {} is there already; choose another name, or --force to replace it", told(), existing.display());
        }
        let unfinished = self.unfinished.map(|ending| with_ending(self.path, ending));
        if let Some(left) = unfinished.filter(|left| fs::metadata(left).is_ok_and(|file| file.len() > 0)) {
            bail!(
                "{}: an interrupted run left {}; --resume goes on with it, and deleting it begins anew",
                told(),
                left.display()
            );
        }
        Ok(output)
    }

    fn check_kind(&self, found: Option<&Option<fs::Metadata>>, told: &dyn Fn() -> String) -> anyhow::Result<()> {
        match found {
            Some(Some(found)) if self.is_folder => {
                ensure!(found.is_dir(), "{} is a file, expected the name of a folder", told());
            }
            Some(Some(found)) => {
                ensure!(!found.is_dir(), "{} is a folder, expected the name of a file", told());
                ensure!(found.is_file(), "{} is a device or pipe; results are written aside and renamed", told());
            }
            Some(None) => bail!("{} is a link that leads nowhere", told()),
            None if self.is_folder => {}
            None => {
                let ends_in_slash = self.path.as_os_str().as_encoded_bytes().ends_with(b"/");
                ensure!(!ends_in_slash, "{}: expected the name of a file", told());
                let folder = parent(self.path);
                match fs::metadata(folder) {
                    Ok(found) => ensure!(found.is_dir(), "{}: {} is no folder", told(), folder.display()),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        bail!("{}: there is no folder {}", told(), folder.display())
                    }
                    Err(error) => return Err(error).with_context(told),
                }
            }
        }
        Ok(())
    }

    /// Checks that no written file is a folder, so that the error comes before any work is done.
    fn check_files(&self, told: &dyn Fn() -> String) -> anyhow::Result<()> {
        for file in self.written() {
            let is_folder = fs::metadata(&file).is_ok_and(|found| found.is_dir());
            ensure!(!is_folder, "{}: {} is a folder, expected a file or nothing", told(), file.display());
        }
        Ok(())
    }

    fn check_inputs(&self, told: &dyn Fn() -> String) -> anyhow::Result<()> {
        let written = self.written();
        for input in &self.inputs {
            for file in &written {
                if file == self.path {
                    ensure!(!is_same(file, input), "{} is the input {}; choose another name", told(), input.display());
                }
                ensure!(
                    !is_same(file, input),
                    "{}: this writes {} too, which is the input {}; choose another name",
                    told(),
                    file.display(),
                    input.display()
                );
                // An example is a file of a checkpoint.
                let is_in_input = fs::metadata(input).is_ok_and(|input| input.is_dir()) && is_same(parent(file), input);
                ensure!(
                    !is_in_input || fs::symlink_metadata(file).is_err(),
                    "{}: {} is part of the input {}; choose another name",
                    told(),
                    file.display(),
                    input.display()
                );
            }
        }
        Ok(())
    }

    /// Checks that a file with the name of the run file is one: only run files are replaced with their outputs.
    fn check_run_file(&self, told: &dyn Fn() -> String) -> anyhow::Result<()> {
        if self.may_exist && !self.is_folder {
            return Ok(());
        }
        let is_run_file = |file: &Path| {
            let text = fs::read_to_string(file).unwrap_or_default();
            serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|run| run.get("generation_command").is_some())
        };
        let named =
            self.written().into_iter().filter(|file| file.as_os_str().as_encoded_bytes().ends_with(b".run.json"));
        match named.filter(|file| fs::symlink_metadata(file).is_ok()).find(|file| !is_run_file(file)) {
            Some(file) => bail!(
                "{}: this writes {} too, which is there already and no run file; move it, or choose another name",
                told(),
                file.display()
            ),
            None => Ok(()),
        }
    }

    /// Returns the files that are written.
    fn written(&self) -> Vec<PathBuf> {
        match self.is_folder {
            true => self.also.iter().map(|name| self.path.join(name)).collect(),
            false => {
                let more = self.also.iter().map(|ending| with_ending(self.path, ending));
                std::iter::once(self.path.to_owned()).chain(more).collect()
            }
        }
    }
}

impl Output {
    /// Returns the path of the output.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the output existed when it was claimed; for a folder, whether one of the written files did.
    pub fn existed(&self) -> bool {
        self.existed
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((path, file)) = self.lock.take() {
            // The file is deleted while it is locked: a run that opened it before then finds another file, or none,
            // under its name.
            fs::remove_file(path).ok();
            drop(file);
        }
        // This fails for a folder that is not empty.
        self.made.iter().rev().for_each(|folder| drop(fs::remove_dir(folder)));
    }
}

/// Returns the path with `ending` added to its name.
pub fn with_ending(path: &Path, ending: impl AsRef<OsStr>) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Returns a number for a file name: `1000` as `1k`.
pub fn short_number(n: u64) -> String {
    if n >= 1000 && n.is_multiple_of(1000) { format!("{}k", n / 1000) } else { n.to_string() }
}

/// Returns the end of a default file name for a seed other than the default: `_s5`.
pub fn seed_in_name(seed: u64) -> String {
    if seed == 0 { String::new() } else { format!("_s{seed}") }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns whether two paths lead to the same file; false if either leads to none.
fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        match (fs::metadata(a), fs::metadata(b)) {
            (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
            _ => false,
        }
    }
    #[cfg(not(unix))]
    {
        matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
    }
}

/// Creates a folder and its parents; returns those that did not exist.
fn make_folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let missing = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
    let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    missing.reverse();
    fs::create_dir_all(folder)?;
    Ok(missing)
}

/// Returns the path of the lock file, which lies beside the output, whatever name of the output is used.
fn name_of_lock(path: &Path) -> io::Result<PathBuf> {
    let whole = match path.canonicalize() {
        Ok(whole) => whole,
        Err(_) => parent(path).canonicalize()?.join(path.file_name().unwrap_or_default()),
    };
    Ok(with_ending(&whole, ".lock"))
}

/// What an earlier run says of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing that makes the output less than whole: no run was killed, or one that was to replace it.
    Nothing,
    /// A run that began without the output was killed, so the output is what that run left.
    Unfinished,
}

/// The second line of a lock file whose run was to replace an output that somebody kept.
const EXISTED: &str = "existed";

/// Writes the process id into a lock file, and whether there was an output to keep.
fn sign(file: &mut File, existed: bool) {
    let text = format!("{}\n{}", std::process::id(), if existed { format!("{EXISTED}\n") } else { String::new() });
    let mut write = || file.rewind().and_then(|()| file.write_all(text.as_bytes()));
    // The disk may be full. An empty file is that of no run.
    let length = write().map_or(0, |()| text.len() as u64);
    file.set_len(length).ok();
}

/// Locks the file, and returns what the run that had the lock before says. There is no lock if the file system has none,
/// or if an existing folder is in one where nothing can be written.
fn lock(path: &Path, may_be_refused: bool) -> anyhow::Result<(Option<(PathBuf, File)>, Left)> {
    loop {
        let mut file = match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path) {
            Ok(file) => file,
            Err(error)
                if may_be_refused
                    && matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                return Ok((None, Left::Nothing));
            }
            Err(error) => return Err(error).context("cannot write there"),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(path).unwrap_or_default();
                let is_ours = holder.lines().next() == Some(&*std::process::id().to_string());
                ensure!(!is_ours, "another output of this run has the same name; choose another one");
                bail!("another run writes it")
            }
            Err(TryLockError::Error(_)) => {
                fs::remove_file(path).ok();
                return Ok((None, Left::Nothing));
            }
        }
        // Between opening and locking, the earlier run may have ended and deleted the file.
        if is_open_at(&file, path) {
            // An empty file is that of a run that was about to lock it; that run now fails.
            let mut said = String::new();
            file.read_to_string(&mut said).ok();
            let left = match said.lines().nth(1) {
                _ if said.is_empty() => Left::Nothing,
                Some(EXISTED) => Left::Nothing,
                _ => Left::Unfinished,
            };
            return Ok((Some((path.to_owned(), file)), left));
        }
    }
}

/// Returns whether the open file is the one under this name.
fn is_open_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        match (file.metadata(), fs::metadata(path)) {
            (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
            _ => false,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path); // an open file cannot be deleted there
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("in.sr"), "input").expect("written");
        fs::create_dir(folder.path().join("d")).expect("made");
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn refused(claim: Claim<'_>) -> String {
        format!("{:#}", claim.take().expect_err("refused"))
    }

    #[test]
    fn a_file_is_claimed_once_and_leaves_nothing() {
        let folder = folder();
        let path = folder.path().join("out.sr");
        let output = Claim::file(&path).take().expect("free");
        assert_eq!((output.path(), output.existed()), (&*path, false));
        let lock = folder.path().join("out.sr.lock");
        for same in [path.clone(), folder.path().join("d/../out.sr")] {
            assert!(refused(Claim::file(&same)).contains("another output of this run has the same name"));
            fs::write(&lock, "1\n").expect("written"); // as if another program had locked it
            assert!(refused(Claim::file(&same)).ends_with("another run writes it"));
            fs::write(&lock, format!("{}\n", std::process::id())).expect("written");
        }
        drop(output);
        assert_eq!(names(folder.path()), ["d", "in.sr"]);
        // The lock file of a killed run locks nothing, and its partial output may be replaced.
        fs::write(folder.path().join("out.sr.lock"), "123\n").expect("written");
        fs::write(&path, "").expect("written");
        drop(Claim::file(&path).take().expect("free"));
        assert_eq!(names(folder.path()), ["d", "in.sr", "out.sr"]);
        assert!(refused(Claim::file(Path::new("-"))).contains("cannot go to standard output"));
        assert!(refused(Claim::file(&path)).contains("is there already"));
        assert_eq!(names(folder.path()), ["d", "in.sr", "out.sr"]);
    }

    #[test]
    fn a_killed_run_that_was_to_replace_a_file_gives_no_leave_to_replace_it() {
        let folder = folder();
        let (path, lock) = (folder.path().join("out.sr"), folder.path().join("out.sr.lock"));
        let said = || fs::read_to_string(&lock).expect("a lock");
        let id = std::process::id();
        // A kill drops nothing, and the lock goes with the process.
        let kill = |mut output: Output| drop(output.lock.take());
        fs::write(&path, "whole").expect("written");
        let output = Claim::file(&path).may_exist(true).take().expect("accepted");
        assert_eq!(said(), format!("{id}\nexisted\n"));
        kill(output);
        kill(Claim::file(&path).may_exist(true).take().expect("accepted"));
        assert_eq!(said(), format!("{id}\nexisted\n"), "however often it is killed");
        assert!(refused(Claim::file(&path)).contains("out.sr is there already"));
        assert!(!lock.exists(), "what was said is known");
        assert!(refused(Claim::file(&path)).contains("out.sr is there already"));

        // What a killed run left may go, and goes on to be that when the next one is killed.
        fs::write(&lock, "123\n").expect("written");
        kill(Claim::file(&path).take().expect("it is no result"));
        assert_eq!(said(), format!("{id}\n"));
        kill(Claim::file(&path).may_exist(true).take().expect("accepted"));
        drop(Claim::file(&path).take().expect("it is no result"));
        // A lock file of a longer number leaves nothing of it behind.
        fs::remove_file(&path).expect("removed");
        fs::write(&lock, "12345678901234567890\nexisted\n").expect("written");
        kill(Claim::file(&path).take().expect("free"));
        assert_eq!(said(), format!("{id}\n"));
        fs::remove_file(&lock).expect("removed");

        // So it is in a folder.
        fs::write(folder.path().join("d/train.sr"), "whole").expect("written");
        let d = folder.path().join("d");
        let claim = || Claim::folder(&d).also(["train.sr", "val.sr"]);
        kill(claim().may_exist(true).take().expect("accepted"));
        assert!(refused(claim()).contains("d/train.sr is there already"));
    }

    #[test]
    fn what_exists_is_replaced_only_if_it_may_be() {
        let folder = folder();
        let path = folder.path().join("in.sr");
        let said = refused(Claim::file(&path));
        assert!(said.contains("in.sr is there already") && said.contains("--force"), "{said}");
        assert!(Claim::file(&path).may_exist(true).take().expect("accepted").existed());
        fs::write(folder.path().join("d/train.sr"), "").expect("written");
        let d = folder.path().join("d");
        assert!(refused(Claim::folder(&d).also(["train.sr"])).contains("d/train.sr is there already"));
        assert!(!Claim::folder(&d).also(["val.sr"]).take().expect("free").existed());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", folder.path().join("link")).expect("linked");
            assert!(refused(Claim::file(&folder.path().join("link"))).contains("leads nowhere"));
        }
    }

    #[test]
    fn a_file_that_is_called_like_a_run_file_is_kept() {
        let folder = folder();
        let (out, run) = (folder.path().join("out.sr"), folder.path().join("out.sr.run.json"));
        fs::write(&run, "precious").expect("written");
        let said = refused(Claim::file(&out));
        assert!(said.contains("out.sr.run.json too, which is there already and no run file"), "{said}");
        assert!(
            refused(Claim::folder(folder.path()).also(["out.sr.run.json"]).may_exist(true)).contains("no run file")
        );
        assert!(Claim::file(&out).may_exist(true).take().is_ok(), "--force replaces it");
        // The lock file of a run whose output was deleted.
        fs::write(&run, "{\"generation_command\": \"sr-search\"}").expect("written");
        assert!(Claim::file(&out).take().is_ok());
    }

    #[test]
    fn what_an_interrupted_run_left_is_kept() {
        let folder = folder();
        let (out, left) = (folder.path().join("t.sr"), folder.path().join("t.sr.partial"));
        fs::write(&left, "").expect("written");
        assert!(Claim::file(&out).unfinished(".partial", false).take().is_ok(), "there is nothing in it");
        fs::write(&left, "records").expect("written");
        let message = refused(Claim::file(&out).unfinished(".partial", false));
        assert!(message.contains("left ") && message.contains("t.sr.partial; --resume goes on"), "{message}");
        assert!(Claim::file(&out).unfinished(".partial", true).take().is_ok());
        assert_eq!(fs::read(&left).expect("it is there"), b"records");
    }

    #[test]
    fn an_input_is_never_an_output() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        let input = at("in.sr");
        fs::write(at("a.run.json"), "").expect("written");
        fs::hard_link(&input, at("d/hard.sr")).expect("linked");
        for (out, input, expected) in [
            ("in.sr", "in.sr", "is the input"),
            ("d/../in.sr", "in.sr", "is the input"),
            ("d/hard.sr", "in.sr", "is the input"),
            ("a", "a.run.json", "a.run.json too, which is the input"),
            ("d/hard.sr", "d", "part of the input"),
        ] {
            let (out, input) = (at(out), at(input));
            let said = refused(Claim::file(&out).inputs([&input]).may_exist(true));
            assert!(said.contains(expected), "{said}");
        }
        let said = refused(Claim::folder(folder.path()).also(["in.sr", "val.sr"]).inputs([&input]).may_exist(true));
        assert!(said.contains("in.sr too, which is the input"), "{said}");
        assert_eq!(fs::read(&input).expect("read"), b"input");
    }

    #[test]
    fn an_output_needs_a_place_of_its_kind() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        for (out, expected) in [
            ("d", "is a folder, expected the name of a file"),
            ("none/out.sr", "there is no folder"),
            ("in.sr/out.sr", "in.sr is no folder"),
            ("new/", "expected the name of a file"),
        ] {
            let said = refused(Claim::file(&at(out)).may_exist(true));
            assert!(said.contains(expected), "{out}: {said}");
        }
        assert!(refused(Claim::file(Path::new(""))).contains("expected a name"));
        // None of the other written files may be a folder.
        fs::create_dir(at("d/train.sr")).expect("made");
        let said = refused(Claim::folder(&at("d")).also(["train.sr"]).may_exist(true));
        assert!(said.contains("d/train.sr is a folder, expected a file or nothing"), "{said}");
        fs::create_dir(at("out.sr.partial")).expect("made");
        assert!(refused(Claim::file(&at("out.sr"))).contains("out.sr.partial is a folder"));
        fs::remove_dir(at("out.sr.partial")).expect("removed");
        assert!(refused(Claim::folder(&at("in.sr"))).contains("is a file, expected the name of a folder"));
        if cfg!(target_os = "linux") {
            assert!(refused(Claim::file(Path::new("/dev/null")).may_exist(true)).contains("device or pipe"));
        }
        assert_eq!(names(folder.path()), ["d", "in.sr"]);
    }

    #[test]
    fn folders_that_were_made_for_nothing_are_removed() {
        let folder = folder();
        let path = folder.path().join("x/y/z");
        let output = Claim::folder(&path).take().expect("claimed");
        assert!(refused(Claim::folder(&path)).contains("another output of this run"));
        drop(output);
        assert_eq!(names(folder.path()), ["d", "in.sr"]);
        let output = Claim::folder(&path).take().expect("claimed");
        fs::create_dir(&path).expect("made");
        drop(output);
        assert_eq!(names(&folder.path().join("x/y")), ["z"]);
    }
}
