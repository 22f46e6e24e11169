//! `sr-fit`: the formula of a table.

mod args;
mod earlier;
mod folder;
mod formula;
mod groups;
mod learner;
mod predict;
mod report;
mod requirements;
mod search;

use std::process::ExitCode;
use std::time::Instant;

use sr_cli::{Exit, Given};

use args::Args;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let (args, given) = sr_cli::parse::<Args>();
    sr_args::run(|| real_main(&args, &given))
}

fn real_main(args: &Args, given: &Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    earlier::check_there(args)?;
    match &args.replay {
        Some(folder) => earlier::replay(args, given, started, folder),
        None if args.file.is_dir() => earlier::apply(args, given, started),
        None => search::search(args, given, started),
    }
}
