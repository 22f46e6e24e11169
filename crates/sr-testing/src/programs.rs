//! Helpers for tests of binaries: kills at random moments, Ctrl-C, disks that are too small, and tests that have to be
//! skipped.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// The number of additional kills if the program always ended before its kill.
const MORE_KILLS: u32 = 30;

/// A program that writes one or several files, to be killed by a test.
pub struct Victim<'a> {
    /// Returns the command that runs it from the start.
    pub start: &'a dyn Fn() -> Command,
    /// Returns the command that resumes it after a kill.
    pub go_on: &'a dyn Fn() -> Command,
    /// The file that grows during the run. Half of the kills come once it has a certain size, the others after a
    /// certain time. If the path is empty, all of them come after a time.
    pub growing: PathBuf,
    /// Returns everything that it has written, once it is done.
    pub result: &'a dyn Fn() -> Vec<u8>,
    /// Restores the state before the start.
    pub clear: &'a dyn Fn(),
    /// Asserts what must hold after every kill.
    pub check: &'a dyn Fn(),
}

impl std::fmt::Debug for Victim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Victim").field("growing", &self.growing).finish_non_exhaustive()
    }
}

impl Victim<'_> {
    /// Kills the program at `moments` random moments, a third of the times once more after it was resumed. Then it
    /// resumes the program to its end and compares its result with that of an undisturbed run.
    ///
    /// On a busy machine the program may have ended before all of these moments. Then further kills follow, each
    /// earlier than the one before, until one hits the running program: a test without a kill shows nothing.
    ///
    /// # Panics
    /// If a result differs, an undisturbed run fails, or no kill hit the running program.
    pub fn survives(&self, moments: u32, seed: u64) {
        (self.clear)();
        let started = Instant::now();
        succeeds(&mut (self.start)());
        let (time, expected) = (started.elapsed(), (self.result)());
        let grows = !self.growing.as_os_str().is_empty();
        let mut met = 0;
        for moment in 0..moments + MORE_KILLS {
            // The first of them comes at the usual time, the last at a thousandth of it.
            let share = match moment.checked_sub(moments) {
                None => 1.0,
                Some(_) if met > 0 => break,
                Some(more) => 0.001_f64.powf(f64::from(more) / f64::from(MORE_KILLS - 1)),
            };
            let mut random = Random((seed << 32) ^ u64::from(moment));
            let mut kill = |mut command: Command, by_size: bool| {
                let part = share * random.uniform();
                let (delay, size) = match by_size {
                    true => (Duration::MAX, ((part * expected.len() as f64) as u64).max(1)),
                    false => (time.mul_f64(part), u64::MAX),
                };
                let mut child = spawn(&mut command);
                let begun = Instant::now();
                let size_of = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
                while child.try_wait().expect("a child").is_none()
                    && begun.elapsed() < delay
                    && size_of(&self.growing) < size
                {
                    std::thread::sleep(Duration::from_micros(100));
                }
                // Before a program has created the file, it has nothing to lose.
                let is_at_work = !grows || self.growing.exists();
                child.kill().expect("killed or ended"); // SIGKILL
                let status = child.wait().expect("ended");
                assert!(status.success() || status.code().is_none(), "moment {moment}: {status}");
                (self.check)();
                u32::from(status.code().is_none() && is_at_work)
            };
            (self.clear)();
            met += kill((self.start)(), grows && moment % 2 == 0);
            if moment % 3 == 0 {
                met += kill((self.go_on)(), grows && moment % 4 == 0);
            }
            succeeds(&mut (self.go_on)());
            assert!((self.result)() == expected, "moment {moment} of seed {seed}: other bytes");
        }
        eprintln!("{met} kills met the program at work ({:.3} s undisturbed)", time.as_secs_f64());
        assert!(met > 0, "none of {} kills met the program at work", moments + MORE_KILLS);
    }
}

/// The generator SplitMix64 (Steele, Lea & Flood, 2014).
struct Random(u64);

impl Random {
    /// Returns the next number in [0, 1).
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Reports that a test, or the rest of it, is skipped because the machine has no `what`, and why: `SKIPPED: what: why`
/// on stderr. The caller must then return.
///
/// # Panics
/// If the environment variable `CI` is set, because a test that CI skips unnoticed is never run. A CI that cannot have
/// something names it in `SR_CI_WITHOUT`, as in `SR_CI_WITHOUT=tmpfs,slurm`.
pub fn skipped(what: &str, why: &str) {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let may_skip = may_skip(&variable("CI"), &variable("SR_CI_WITHOUT"), what);
    assert!(may_skip, "CI has no {what}: {why} (SR_CI_WITHOUT={what} if it cannot have it)");
    // `eprintln` is not used, because the test harness hides its output when a test passes.
    writeln!(std::io::stderr(), "SKIPPED: {what}: {why}").ok();
}

fn may_skip(ci: &str, without: &str, what: &str) -> bool {
    matches!(ci, "" | "0" | "false") || without.split(',').any(|name| name == what)
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
}

/// Runs a program to its end.
///
/// # Panics
/// If it fails.
pub fn succeeds(command: &mut Command) -> Output {
    let output = command.output().expect("the binary runs");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a program that must end with exit code 2, and returns the only line that it printed to stderr.
///
/// # Panics
/// If it ends in another way, or prints more or less than one line.
pub fn fails(command: &mut Command) -> String {
    let output = command.output().expect("the binary runs");
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
    text
}

/// Starts a program, sends it SIGINT once `growing` has reached a size, and returns its exit status and its stderr.
///
/// # Panics
/// If there is no `kill` program.
pub fn interrupt(command: &mut Command, growing: &Path, size: u64) -> (ExitStatus, String) {
    signal(command, growing, size, &["INT"])
}

/// Does the same as [`interrupt`] with any signals, named without `SIG`, 50 ms apart. Signals after the program has
/// ended do nothing.
///
/// # Panics
/// If there is no `kill` program.
pub fn signal(command: &mut Command, growing: &Path, size: u64, signals: &[&str]) -> (ExitStatus, String) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    while child.try_wait().expect("a child").is_none() && fs::metadata(growing).map_or(0, |file| file.len()) < size {
        std::thread::sleep(Duration::from_micros(100));
    }
    for (i, signal) in signals.iter().enumerate() {
        if i > 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
        if child.try_wait().expect("a child").is_none() {
            // The standard library only has SIGKILL.
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().expect("kill runs");
        }
    }
    let output = child.wait_with_output().expect("ended");
    (output.status, String::from_utf8(output.stderr).expect("text"))
}

/// Returns a Python that has these modules: the one that `SR_PYTHON` names, that of `just interop-python`, or the
/// system's. Returns `None` if there is none; in CI that panics, see [`skipped`].
pub fn python(modules: &[&str]) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let own = std::env::var_os("SR_PYTHON").map(PathBuf::from);
    let candidates = [own, Some(root.join("runs/interop-venv/bin/python")), Some("python3".into())];
    let found = candidates.into_iter().flatten().find(|python| {
        let output = Command::new(python).args(["-c", &format!("import {}", modules.join(", "))]).output();
        output.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        skipped("python", &format!("no Python with {} (`just interop-python` makes one)", modules.join(", ")));
    }
    found
}

/// Returns what a program writes to a terminal: stdout and stderr together, on a pseudo-terminal of Python. Returns
/// `None` if there is no Python; in CI that panics, see [`skipped`].
///
/// # Panics
/// If the program fails.
pub fn on_terminal(command: &Command) -> Option<String> {
    let script = "import os, pty, sys\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        python.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    match python.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{}: {text}", output.status);
            Some(text)
        }
        Err(_) => {
            skipped("python", "there is no python3");
            None
        }
    }
}

/// Returns a command that runs a program with a limit of `blocks` · 512 bytes for each file, as on a full disk. The
/// error is then "File too large".
pub fn with_file_limit(command: &Command, blocks: u64) -> Command {
    let mut limited = Command::new("sh");
    // Without the trap the signal would end the program.
    limited.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks} && exec \"$0\" \"$@\"")).arg(command.get_program());
    limited.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    limited
}

/// A file system of a few kilobytes in memory.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one over an empty folder. Returns `None` if that is not allowed, and reports it by [`skipped`].
    pub fn mount(folder: &Path, bytes: u64) -> Option<Self> {
        let size = format!("size={bytes}");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder).output();
        match output {
            Ok(output) if output.status.success() => Some(SmallDisk { folder: folder.to_owned() }),
            Ok(output) => {
                skipped("tmpfs", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                skipped("tmpfs", &format!("mount: {error}"));
                None
            }
        }
    }

    /// Enlarges the file system to `bytes`.
    ///
    /// # Panics
    /// If the remount fails.
    pub fn grow(&self, bytes: u64) {
        let size = format!("remount,size={bytes}");
        assert!(Command::new("mount").args(["-o", &size]).arg(&self.folder).status().expect("mount runs").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.folder).status().ok();
    }
}

/// Runs a program to its end and returns the most memory that it used, in bytes; `None` if the system does not report
/// it.
///
/// # Panics
/// If the program fails.
pub fn peak_memory(command: &mut Command) -> Option<u64> {
    let mut child = spawn(command);
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = None;
    let ended = loop {
        // The value only grows, so the last reading before the end counts.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        peak = kilobytes.map(|kilobytes| kilobytes << 10).or(peak);
        if let Some(ended) = child.try_wait().expect("a child") {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(ended.success(), "{ended}");
    peak
}

/// Returns the files of a folder, without subfolders: names and contents, concatenated in the order of names.
///
/// # Panics
/// If a file cannot be read.
pub fn contents(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<u8> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
    names.retain(|name| is_wanted(&name.to_string_lossy()));
    names.sort();
    let mut bytes = Vec::new();
    for name in names {
        bytes.extend(name.as_encoded_bytes());
        bytes.extend(fs::read(folder.join(&name)).expect("a file"));
    }
    bytes
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Tests a shell program that works on `grows` and writes `out`.
    fn survives(script: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let command = || {
            let mut shell = Command::new("sh");
            shell.current_dir(folder.path()).args(["-c", script]);
            shell
        };
        let victim = Victim {
            start: &command,
            go_on: &command,
            growing: path("grows"),
            result: &|| fs::read(path("out")).unwrap_or_default(),
            clear: &|| ["grows", "out"].iter().for_each(|name| _ = fs::remove_file(path(name))),
            check: &|| (),
        };
        victim.survives(2, 1);
    }

    #[test]
    fn kills_meet_a_program_that_takes_its_time() {
        survives("echo 1 > grows; sleep 0.3; echo 2 > out; rm grows");
    }

    #[test]
    #[should_panic(expected = "none of 32 kills met the program at work")]
    fn a_program_that_no_kill_meets_is_no_proof() {
        survives("echo 2 > out");
    }

    #[test]
    #[should_panic(expected = "other bytes")]
    fn a_program_that_goes_on_wrongly_is_found() {
        survives("[ -e grows ] && echo 3 > out && exit; echo 1 > grows; sleep 0.3; echo 2 > out; rm grows");
    }

    #[test]
    fn ci_skips_only_what_it_names() {
        assert!(may_skip("", "", "tmpfs") && may_skip("false", "", "tmpfs"));
        assert!(!may_skip("true", "", "tmpfs") && !may_skip("true", "slurm,python", "tmpfs"));
        assert!(may_skip("true", "slurm,tmpfs", "tmpfs"));
    }
}
