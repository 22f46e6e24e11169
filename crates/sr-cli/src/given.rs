//! Which flags stand on the command line.

use clap::ArgMatches;
use clap::parser::ValueSource;

/// The first flag of `T` that stands on the command line, such as `--max-size`: for flags that would have no effect.
pub fn given<T: clap::Args>(matches: &ArgMatches) -> Option<String> {
    let command = T::augment_args(clap::Command::new("flags"));
    let is_given = |arg: &&clap::Arg| {
        let id = arg.get_id().as_str();
        matches!(matches.try_contains_id(id), Ok(true)) && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    command.get_arguments().find(is_given).map(flag)
}

/// The first of these flags, by their names in Rust, that stands on the command line.
pub fn given_of(matches: &ArgMatches, ids: &[&str]) -> Option<String> {
    let is_given = |id: &&&str| {
        matches!(matches.try_contains_id(id), Ok(true)) && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    ids.iter().find(is_given).map(|id| format!("--{}", id.replace('_', "-")))
}

fn flag(arg: &clap::Arg) -> String {
    format!("--{}", arg.get_long().unwrap_or(arg.get_id().as_str()))
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::*;
    use crate::{SamplingArgs, SearchArgs};

    #[test]
    fn only_what_was_written_is_given() {
        let command = SamplingArgs::augment_args(SearchArgs::augment_args(Command::new("test")));
        let of = |flags: &[&str]| {
            let matches = command.clone().get_matches_from([&["test"], flags].concat());
            (given::<SearchArgs>(&matches), given::<SamplingArgs>(&matches))
        };
        assert_eq!(of(&[]), (None, None));
        assert_eq!(of(&["--max-size", "25"]), (Some("--max-size".into()), None), "the default, but written");
        assert_eq!(of(&["--top-k", "3", "--distinct"]), (None, Some("--top-k".into())));
        let matches = command.clone().get_matches_from(["test", "--max-size", "3"]);
        assert_eq!(given_of(&matches, &["generations", "max_size"]), Some("--max-size".into()));
        assert_eq!(given_of(&matches, &["generations", "no_such"]), None);
    }
}
