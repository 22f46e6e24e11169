//! The machine, compiler and commit of a measurement.

use std::process::Command;

/// Returns the processor's name and the number of its cores.
pub fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model.map_or("unknown processor", |(_, name)| name.trim()))
}

/// Returns the version of the compiler on the path, which `rust-toolchain.toml` selects.
pub fn rustc() -> String {
    output("rustc", &["--version"])
}

/// Returns the commit of the current folder, and whether files differ from it.
pub fn commit() -> String {
    output("git", &["describe", "--always", "--dirty"])
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success());
    output.map_or("unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Returns the commit and a checksum of the running program, by which runs of another version are recognised.
pub fn program_version() -> String {
    let program = std::env::current_exe().and_then(std::fs::read).unwrap_or_default();
    format!("{} #{:08x}", commit(), sr_expr::hash::fnv1a(program) as u32)
}
