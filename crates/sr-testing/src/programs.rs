//! For tests of binaries: kills at random moments, Ctrl-C, disks that are too small, and tests that have to be skipped.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Kills that follow where a program always ended before its kill.
const MORE_KILLS: u32 = 30;

/// A program that writes a file, or several.
pub struct Victim<'a> {
    /// Runs it from the start.
    pub start: &'a dyn Fn() -> Command,
    /// Runs it after a kill.
    pub go_on: &'a dyn Fn() -> Command,
    /// The file that grows while it works; half of the kills come at a size of it, the others after a time. If the path is
    /// empty, all of them come after a time.
    pub growing: PathBuf,
    /// All that it has written, once it is done.
    pub result: &'a dyn Fn() -> Vec<u8>,
    /// Puts everything back to before the start.
    pub clear: &'a dyn Fn(),
    /// Asserts what has to hold after every kill.
    pub check: &'a dyn Fn(),
}

impl std::fmt::Debug for Victim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Victim").field("growing", &self.growing).finish_non_exhaustive()
    }
}

impl Victim<'_> {
    /// Kills the program at `moments` random moments, a third of the times once more after going on, lets it go on to its
    /// end, and compares its result with that of an undisturbed run.
    ///
    /// On a machine with much else to do, all of these moments may find the program ended. Then more follow, each
    /// earlier than the one before, until one has met the program at work: a test without a kill shows nothing.
    ///
    /// # Panics
    /// If a result differs, a run that is left alone fails, or no kill met the program at work.
    pub fn survives(&self, moments: u32, seed: u64) {
        (self.clear)();
        let started = Instant::now();
        succeeds(&mut (self.start)());
        let (time, expected) = (started.elapsed(), (self.result)());
        let grows = !self.growing.as_os_str().is_empty();
        let mut met = 0;
        for moment in 0..moments + MORE_KILLS {
            // The first is at the time of the others, the last at a thousandth of it.
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
                // Before it has made the file, a program has done nothing that could be lost.
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

/// SplitMix64 (Steele, Lea & Flood, 2014).
struct Random(u64);

impl Random {
    /// The next number in [0, 1).
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Says that a test is skipped, or the rest of it, because the machine has no `what`, and why: `SKIPPED: what: why` on
/// stderr. The caller then returns.
///
/// # Panics
/// Where the environment variable `CI` is set: what CI lacks without anyone noticing is not tested by anyone. A CI that
/// cannot have something names it in `SR_CI_WITHOUT`, as in `SR_CI_WITHOUT=tmpfs,slurm`.
pub fn skipped(what: &str, why: &str) {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let may_skip = may_skip(&variable("CI"), &variable("SR_CI_WITHOUT"), what);
    assert!(may_skip, "CI has no {what}: {why} (SR_CI_WITHOUT={what} if it cannot have it)");
    // Not `eprintln`, which the test harness keeps to itself when a test passes.
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

/// The only line on stderr of a program that ended with exit code 2.
///
/// # Panics
/// If it ended in another way, or said more or less.
pub fn fails(command: &mut Command) -> String {
    let output = command.output().expect("the binary runs");
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
    text
}

/// Starts a program, sends it SIGINT when `growing` has reached a size, and gives how it ended and what it said on stderr.
///
/// # Panics
/// If there is no `kill` program.
pub fn interrupt(command: &mut Command, growing: &Path, size: u64) -> (ExitStatus, String) {
    signal(command, growing, size, &["INT"])
}

/// [`interrupt`] with any signals, by their names without `SIG`, 50 ms from each other. Those that come when the program
/// has ended do nothing.
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
            // There is no signal but SIGKILL in the standard library.
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().expect("kill runs");
        }
    }
    let output = child.wait_with_output().expect("ended");
    (output.status, String::from_utf8(output.stderr).expect("text"))
}

/// What a program writes to a terminal: stdout and stderr together, as a pseudo-terminal of Python shows them. None if
/// there is no Python, which only CI refuses.
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

/// The program of a command with its arguments, under a limit of `blocks` · 512 bytes a file, as on a full disk.
/// The error is then "File too large".
pub fn with_file_limit(command: &Command, blocks: u64) -> Command {
    let mut limited = Command::new("sh");
    // Without the trap the system would end the program.
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
    /// Mounts one over an empty folder. `None` where that is not allowed, of which [`skipped`] is told.
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

    /// Makes room.
    ///
    /// # Panics
    /// If that fails.
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

/// Runs a program to its end and gives the most memory that it was seen to have in use, in bytes.
/// `None` where the system does not tell.
///
/// # Panics
/// If it fails.
pub fn peak_memory(command: &mut Command) -> Option<u64> {
    let mut child = spawn(command);
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = None;
    let ended = loop {
        // It only grows, so the last look before the end counts.
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

/// The files of a folder, subfolders left out, with their names: one after the other, in the order of their names.
///
/// # Panics
/// If one cannot be read.
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

    /// A program of the shell that works on `grows` and makes `out`.
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
