//! The parts that every binary shares: logging, seeds, threads, progress, run files, exit codes.
//!
//! A binary's `main` is `sr_cli::run(real_main)`. The exit code is 0 for success, 1 for a negative result (a comparison
//! that says B is worse), 2 for a usage or data error, printed in one line with its causes, and 130 if Ctrl-C stopped
//! the program and its files can be resumed. This crate knows nothing of what the programs do; their flags are in
//! `sr-args`.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! /// Say how many lines a file has
//! #[derive(clap::Parser)]
//! struct Args {
//!     file: std::path::PathBuf,
//! }
//!
//! fn main() -> ExitCode {
//!     sr_cli::run(|| {
//!         let (args, _given) = sr_cli::parse::<Args>();
//!         println!("{}", std::fs::read_to_string(&args.file)?.lines().count());
//!         Ok(sr_cli::Exit::Ok)
//!     })
//! }
//! ```

mod flags;
mod generate;
mod interrupt;
pub mod output;

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

pub use flags::{Given, Parsed, parse, try_matches_from, try_parse_from};
pub use generate::{Generate, common_flags, generated, print_generated};
pub use interrupt::{interrupted, on_interrupt};
pub use output::{Claim, Output, OutputArgs};

/// The way in which a run without an error has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Exit code 0.
    Ok,
    /// Exit code 1: the result is negative, such as a comparison that says B is worse.
    Negative,
    /// Exit code 130, as shells use it for Ctrl-C: a signal stopped the run before the work was done, and nothing is
    /// lost.
    Interrupted,
}

/// Runs a binary's body and converts its result to an exit code; errors go to stderr as one line with their causes.
///
/// A broken pipe on stdout (`sr-inspect … | head`) ends the program quietly.
pub fn run(main: impl FnOnce() -> anyhow::Result<Exit>) -> ExitCode {
    match main() {
        Ok(Exit::Ok) => ExitCode::SUCCESS,
        Ok(Exit::Negative) => ExitCode::from(1),
        Ok(Exit::Interrupted) => ExitCode::from(130),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("error: {}", one_line(&causes));
            ExitCode::from(2)
        }
    }
}

/// Joins a chain of causes to one line; a cause whose text is in that of its parent is left out.
fn one_line(causes: &[String]) -> String {
    let mut line = String::new();
    for cause in causes {
        if line.is_empty() {
            line.push_str(cause);
        } else if !line.contains(cause.as_str()) {
            line.push_str(": ");
            line.push_str(cause);
        }
    }
    line.replace('\n', " ")
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The flags of every binary.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Seed of every random draw; the same seed gives the same bytes
    #[arg(long, global = true, default_value_t = 0, help_heading = "Common options")]
    pub seed: u64,
    /// Threads to use [default: all cores]; results do not depend on it
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Common options")]
    pub threads: Option<u16>,
    /// Print the result as one JSON object on stdout; logs stay on stderr
    #[arg(long, global = true, help_heading = "Common options")]
    pub json: bool,
    /// Log more (-v: debug, -vv: trace); `RUST_LOG` overrides it
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Common options")]
    pub verbose: u8,
    /// Log errors only, and show no progress bar
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Common options")]
    pub quiet: bool,
}

impl Common {
    /// Sets up logging to stderr and the global thread pool.
    ///
    /// # Errors
    /// If the thread pool cannot be created.
    pub fn init(&self) -> anyhow::Result<()> {
        self.init_with_quiet(&[])
    }

    /// Sets up logging and the thread pool as [`init`](Self::init) does, but these crates log only warnings, unless the
    /// user asks for more.
    ///
    /// # Errors
    /// If the thread pool cannot be created.
    pub fn init_with_quiet(&self, quiet: &[&str]) -> anyhow::Result<()> {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (_, 0) => "info",
            (_, 1) => "debug",
            _ => "trace",
        };
        // Only the crates of this project: those of the tensor framework log every kernel.
        let default = || {
            let base = if self.quiet { "error" } else { "warn" };
            let quiet = quiet.iter().filter(|_| level == "info").map(|name| format!(",{name}=warn"));
            tracing_subscriber::EnvFilter::new(format!("{base},sr_={level}{}", quiet.collect::<String>()))
        };
        let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| default());
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(has_colours())
            .with_target(false)
            .without_time();
        subscriber.try_init().ok(); // a second call in one process (tests) keeps the first
        let threads = self.threads.map_or(0, usize::from);
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("making the thread pool")
    }

    /// Returns a progress bar on stderr with the rate and the time left. It is hidden if stderr is not a terminal or a
    /// dumb one, and with `--quiet` and `--json`.
    pub fn progress(&self, length: u64, unit: &str) -> ProgressBar {
        self.bar(length, &format!("{{pos}}/{{len}} {unit}  {{per_sec}}"))
    }

    /// The same for what has no unit to count: a bar of [`WHOLE`] steps that tells the share of `what` that is done.
    pub fn progress_share(&self, what: &str) -> ProgressBar {
        self.bar(WHOLE, &format!("{{percent:>3}} % of {what}"))
    }

    /// A bar with these figures, the time left, and a message that is cut where the line ends.
    fn bar(&self, length: u64, figures: &str) -> ProgressBar {
        let hidden = self.quiet || self.json || !std::io::stderr().is_terminal() || is_dumb();
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = format!("{{bar:24}} {figures}  {{eta}} left  {{wide_msg}}");
        ProgressBar::with_draw_target(Some(length), target)
            .with_style(ProgressStyle::with_template(&style).expect("the template is fixed").progress_chars("=> "))
    }

    /// Prints the JSON result (`version`, `command`, `seconds` and the fields of `result`) with `--json`, otherwise
    /// `text`.
    ///
    /// # Errors
    /// If stdout cannot be written.
    ///
    /// # Panics
    /// If `result` is not an object.
    pub fn report(&self, command: &str, started: Instant, result: Value, text: &str) -> anyhow::Result<()> {
        if !self.json {
            return out(text);
        }
        let mut object = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "command": command,
            "seconds": seconds(started.elapsed()),
        });
        let fields = object.as_object_mut().expect("an object was made");
        fields.extend(result.as_object().expect("a result is an object").clone());
        out(&object.to_string())
    }
}

/// Returns whether escape codes may go to stderr: it is a terminal that supports them, and `NO_COLOR` is not set.
fn has_colours() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !no_color && !is_dumb()
}

/// Returns whether the terminal cannot move its cursor.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Returns seconds with millisecond resolution, for JSON.
pub fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}

/// Prints to stdout, with a final line break if the text has none.
///
/// # Errors
/// If stdout cannot be written; [`run`] ends quietly on a broken pipe.
pub fn out(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()?;
    Ok(())
}

/// Returns the path of a file to read, where `-` is standard input.
pub fn standard_input(path: &Path) -> PathBuf {
    if path == Path::new("-") { PathBuf::from("/dev/stdin") } else { path.to_owned() }
}

/// Copies standard input to a file of a folder of its own, for readers that go back and forth. The program goes on in that
/// folder, so that messages name the file as what it is: `standard-input`, or `standard-input.json` if it begins like JSON.
/// Paths that were given have to be made absolute before. The folder is removed when the value is dropped.
///
/// # Errors
/// If standard input is a terminal or cannot be read, or the copy cannot be written.
pub fn copy_of_standard_input() -> anyhow::Result<(tempfile::TempDir, PathBuf)> {
    let mut stdin = std::io::stdin().lock();
    ensure!(!stdin.is_terminal(), "- is standard input, and that is a terminal: give a file, or pipe one in");
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes).context("reading standard input")?;
    let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| b"{[".contains(byte));
    let name = PathBuf::from(if is_json { "standard-input.json" } else { "standard-input" });
    let folder = tempfile::tempdir().context("making a folder for standard input")?;
    std::fs::write(folder.path().join(&name), bytes).context("copying standard input")?;
    std::env::set_current_dir(folder.path())?;
    Ok((folder, name))
}

/// Prints to stderr that the program stops before its work is done, and how to resume; returns what `main` then
/// returns.
pub fn stopped(text: &str) -> Exit {
    eprintln!("stopped: {text}");
    Exit::Interrupted
}

/// Writes `OUT.run.json` beside an output, with everything that differs between equal runs (time, host, threads,
/// command line) and so must not be in the output itself.
///
/// # Errors
/// If the file cannot be written.
pub fn write_run_file(out: &Path, common: &Common, started: Instant) -> anyhow::Result<()> {
    write_run_file_with(out, common, started, &Value::Null)
}

/// Writes the run file with `settings`, the settings of an output that it does not contain itself, see [`settings_of`].
///
/// # Errors
/// If the file cannot be written.
pub fn write_run_file_with(out: &Path, common: &Common, started: Instant, settings: &Value) -> anyhow::Result<()> {
    let elapsed = started.elapsed();
    let finished = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let command: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut run = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "generation_command": command.join(" "),
        "started_unix": finished.saturating_sub(elapsed).as_secs(),
        "seconds": seconds(elapsed),
        "host": host.trim(),
        "threads": common.threads.map_or_else(rayon::current_num_threads, usize::from),
        "seed": common.seed,
    });
    if !settings.is_null() {
        run["settings"] = settings.clone();
    }
    write_atomically(&output::with_ending(out, RUN_FILE), serde_json::to_string_pretty(&run)?.as_bytes())
}

/// The ending that is added to the name of an output.
const RUN_FILE: &str = ".run.json";

/// The steps of the bar of [`Common::progress_share`].
pub const WHOLE: u64 = 1000;

/// Reads the settings in the run file of an output; `None` if there is no such file, or it is of a version without
/// settings.
///
/// # Errors
/// If the file cannot be read.
pub fn settings_of(out: &Path) -> anyhow::Result<Option<Value>> {
    let path = output::with_ending(out, RUN_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let mut run: Value = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    Ok(Some(run["settings"].take()).filter(|settings| !settings.is_null()))
}

/// Describes the first setting in which two values differ: `engine.generations 3, asked for 5`.
pub fn difference(made: &Value, asked: &Value) -> Option<String> {
    fn find(at: &str, made: &Value, asked: &Value) -> Option<String> {
        match (made, asked) {
            (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).find_map(|key| {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                find(&at, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null))
            }),
            _ if made == asked => None,
            _ => {
                let text = |value: &Value| if value.is_null() { "none".to_owned() } else { value.to_string() };
                Some(format!("{at} {}, asked for {}", text(made), text(asked)))
            }
        }
    }
    find("", made, asked)
}

/// Checks that an output was made with the settings that are asked for now, whatever its name is.
///
/// # Errors
/// If a setting differs; the error names the file and the first such setting.
pub fn check_same_settings(out: &Path, made: &Value, asked: &Value) -> anyhow::Result<()> {
    match difference(made, asked) {
        Some(difference) => anyhow::bail!(
            "{} was made with other settings: {difference}; choose another name, or --force without --resume to replace it",
            out.display()
        ),
        None => Ok(()),
    }
}

/// Writes a temporary file, syncs it and renames it into place.
///
/// # Errors
/// If any step fails; the old file is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let aside = output::with_ending(path, ".partial");
    let write = |mut file: std::fs::File| -> std::io::Result<()> {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    };
    let written = std::fs::File::create(&aside).and_then(|file| {
        // A partial file is deleted: it is small enough to be written again.
        write(file).inspect_err(|_| drop(std::fs::remove_file(&aside)))
    });
    written.with_context(|| format!("writing {}", path.display()))
}

/// The value `I/N` of `--shard`: this run handles the items whose index has remainder `I − 1` when divided by `N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// The 0-based index.
    index: usize,
    count: usize,
}

impl Shard {
    /// Returns the index of the first item of this shard, and the number of shards.
    pub fn index_and_count(self) -> (usize, usize) {
        (self.index, self.count)
    }

    /// Returns whether the shard has item `index`.
    pub fn holds(self, index: usize) -> bool {
        index % self.count == self.index
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

impl Shard {
    /// Returns the end of a default file name: `_i2of3`.
    pub fn in_name(self) -> String {
        format!("_i{}of{}", self.index + 1, self.count)
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parsed {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Shard { index: index - 1, count }),
            _ => Err("expected I/N with 1 <= I <= N, such as 2/8".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let causes = ["reading a.sr: cut at 7", "cut at 7", "end of\nfile"].map(String::from);
        assert_eq!(one_line(&causes), "reading a.sr: cut at 7: end of file");
    }

    #[test]
    fn shards_share_out_all_items_once() {
        let shards: Vec<Shard> = (1..=3).map(|i| format!("{i}/3").parse().expect("a shard")).collect();
        for item in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.holds(item)).count(), 1);
        }
        for text in ["", "3", "0/3", "4/3", "a/b", "1/0"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn settings_are_compared_field_by_field() {
        let made = json!({"engine": {"generations": 3, "seed": 1}, "runs": 1});
        assert_eq!(difference(&made, &made), None);
        let asked = json!({"engine": {"generations": 5, "seed": 1}, "runs": 1, "shard": "1/2"});
        assert_eq!(difference(&made, &asked).as_deref(), Some("engine.generations 3, asked for 5"));
        let asked = json!({"engine": {"generations": 3, "seed": 1}, "runs": 1, "shard": "1/2"});
        assert_eq!(difference(&made, &asked).as_deref(), Some("shard none, asked for \"1/2\""));
        let error = check_same_settings(Path::new("t.sr"), &made, &asked).unwrap_err().to_string();
        assert!(error.starts_with("t.sr was made with other settings: shard none"), "{error}");
    }

    #[test]
    fn small_files_are_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        write_atomically(&path, b"one").expect("written");
        write_atomically(&path, b"two").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"two");
        assert!(write_atomically(&folder.path().join("none/a"), b"").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
}
