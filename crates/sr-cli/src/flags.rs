//! The flags that were given, so that a flag without effect is an error and file names reflect settings.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fmt::Display;

use anyhow::bail;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, Parser};

use crate::{print_generated, with_generate};

/// The flags that were given on the command line, without those that only have their default.
///
/// A flag that is accepted and does nothing misleads, so each program refuses what has no effect with the other flags:
///
/// ```
/// # #[derive(clap::Parser)] struct Flags { #[arg(long)] expert: bool, #[arg(long, default_value_t = 0.8)] temperature: f64 }
/// let (flags, given) = sr_cli::try_parse_from::<Flags>(["sr-search", "--expert", "--temperature", "0.8"]).unwrap();
/// let refused = given.refuse(&["temperature"], "with --expert").unwrap_err();
/// assert_eq!(refused.to_string(), "--temperature has no effect with --expert");
/// # assert!(flags.expert && flags.temperature == 0.8);
/// ```
#[derive(Debug, Clone)]
pub struct Given {
    /// The names of all flags of the program, by their ids, which are the names of the fields.
    names: HashMap<String, String>,
    ids: HashSet<String>,
    /// Values that differ from the default.
    changed: BTreeMap<String, Vec<OsString>>,
}

/// Parses the command line. Negative numbers are values, not flags: `--temperature -1` needs no `=`.
///
/// If the flags cannot be parsed, this ends the program with a usage message, as [`Parser::parse`] does. It also ends it
/// after `--generate`, see [`print_generated`].
pub fn parse<P: Parser>() -> (P, Given) {
    print_generated(P::command(), std::env::args_os());
    try_parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Parses the flags of `args`, the first of which is the program's name.
///
/// # Errors
/// If the flags cannot be parsed, or ask for `--help` or `--version`.
pub fn try_parse_from<P: Parser>(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<(P, Given), clap::Error> {
    let (command, args) = with_negative_numbers(with_generate(P::command()), args);
    let mut given = Given { names: HashMap::new(), ids: HashSet::new(), changed: BTreeMap::new() };
    let mut defaults = HashMap::new();
    given.add_flags(&command, &mut defaults);
    let mut built = command.clone();
    let mut matches = built.try_get_matches_from_mut(args)?;
    given.add_values(&command, &matches, &defaults);
    let parsed = P::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut built))?;
    Ok((parsed, given))
}

/// Returns a command for which negative numbers are values, not flags, and its arguments in a form that it can read. It
/// is for programs that change their command before they parse; [`parse`] does this for all others.
pub fn with_negative_numbers(
    command: Command,
    args: impl IntoIterator<Item = impl Into<OsString>>,
) -> (Command, Vec<OsString>) {
    let command = negative(command);
    let mut singles = HashSet::new();
    add_singles(&command, &mut singles);
    let args = attached(args, &singles);
    (command, args)
}

fn negative(command: Command) -> Command {
    let with_numbers = |arg: clap::Arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    command.mut_args(with_numbers).mut_subcommands(negative)
}

/// Collects the flags that take one value.
fn add_singles(command: &Command, singles: &mut HashSet<String>) {
    for arg in command.get_arguments() {
        let is_single = arg.get_action().takes_values() && arg.get_num_args().is_none_or(|n| n.max_values() == 1);
        singles.extend(arg.get_long().filter(|_| is_single).map(|long| format!("--{long}")));
    }
    command.get_subcommands().for_each(|command| add_singles(command, singles));
}

/// Writes `--flag -1e-3` as `--flag=-1e-3`: clap accepts negative numbers, but not those with a negative exponent, nor
/// `-inf`.
fn attached(args: impl IntoIterator<Item = impl Into<OsString>>, singles: &HashSet<String>) -> Vec<OsString> {
    let mut attached: Vec<OsString> = Vec::new();
    for arg in args {
        let arg = arg.into();
        let is_negative = arg.to_str().is_some_and(|text| text.starts_with('-') && text.parse::<f64>().is_ok());
        match attached.last_mut() {
            Some(flag) if is_negative && flag.to_str().is_some_and(|flag| singles.contains(flag)) => {
                flag.push("=");
                flag.push(arg);
            }
            _ => attached.push(arg),
        }
    }
    attached
}

impl Given {
    fn add_flags(&mut self, command: &Command, defaults: &mut HashMap<String, Vec<OsString>>) {
        for arg in command.get_arguments() {
            let id = arg.get_id().to_string();
            let name = arg.get_long().map_or_else(|| id.clone(), |long| format!("--{long}"));
            defaults.insert(id.clone(), arg.get_default_values().iter().map(|value| value.to_os_string()).collect());
            self.names.insert(id, name);
        }
        command.get_subcommands().for_each(|command| self.add_flags(command, defaults));
    }

    fn add_values(&mut self, command: &Command, matches: &ArgMatches, defaults: &HashMap<String, Vec<OsString>>) {
        // A global flag is found where it was defined, wherever it stood.
        for id in command.get_arguments().map(|arg| arg.get_id().as_str()) {
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            self.ids.insert(id.to_owned());
            let values: Vec<OsString> =
                matches.get_raw(id).into_iter().flatten().map(|value| value.to_os_string()).collect();
            if defaults.get(id) != Some(&values) {
                self.changed.insert(id.to_owned(), values);
            }
        }
        if let Some((name, matches)) = matches.subcommand()
            && let Some(command) = command.find_subcommand(name)
        {
            self.add_values(command, matches, defaults);
        }
    }

    /// Returns the end of a default file name, so that runs with other settings have other names: `""` if every flag
    /// has its default, otherwise `_` and six hexadecimal digits of a hash of the flags and values. The flags of
    /// `told`, which the name shows in another way, do not count, nor do flags that change no result: `--out`,
    /// `--force`, `--resume` and those of [`Common`](crate::Common).
    ///
    /// # Panics
    /// If the program does not have one of these flags.
    pub fn digits(&self, told: &[&str]) -> String {
        assert!(told.iter().all(|id| self.names.contains_key(*id)), "there is no flag of these: {told:?}");
        let no_setting = ["out", "force", "resume", "seed", "threads", "json", "verbose", "quiet"];
        let is_setting = |id: &str| !told.contains(&id) && !no_setting.contains(&id);
        let mut text = Vec::new();
        for (id, values) in self.changed.iter().filter(|(id, _)| is_setting(id)) {
            text.extend_from_slice(id.as_bytes());
            for value in values {
                text.push(b'=');
                text.extend_from_slice(value.as_encoded_bytes());
            }
            text.push(b'\n');
        }
        if text.is_empty() { String::new() } else { format!("_{:06x}", crc32fast::hash(&text) >> 8) }
    }

    /// Returns whether the flag was given on the command line; its id is the name of its field.
    ///
    /// # Panics
    /// If the program does not have this flag.
    pub fn has(&self, id: &str) -> bool {
        assert!(self.names.contains_key(id), "there is no flag {id}");
        self.ids.contains(id)
    }

    /// Fails if one of the flags was given. `why` follows "has no effect" in the message, such as
    /// `with --policy expert`.
    ///
    /// # Errors
    /// If one of the flags was given; the error names the first one.
    ///
    /// # Panics
    /// If the program does not have one of these flags.
    pub fn refuse(&self, ids: &[&str], why: impl Display) -> anyhow::Result<()> {
        match ids.iter().find(|id| self.has(id)) {
            Some(id) => bail!("{} has no effect {why}", self.names[*id]),
            None => Ok(()),
        }
    }

    /// Fails if a flag of a group was given, see [`refuse`](Self::refuse).
    ///
    /// # Errors
    /// If a flag of the group was given; the error names the first one.
    ///
    /// # Panics
    /// If the program does not have the group.
    pub fn refuse_all<A: Args>(&self, why: impl Display) -> anyhow::Result<()> {
        self.refuse_all_but::<A>(&[], why)
    }

    /// Fails if a flag of a group was given, except those of `but`, see [`refuse`](Self::refuse).
    ///
    /// # Errors
    /// If such a flag was given; the error names the first one.
    ///
    /// # Panics
    /// If the program does not have the group.
    pub fn refuse_all_but<A: Args>(&self, but: &[&str], why: impl Display) -> anyhow::Result<()> {
        let group = A::augment_args(Command::new("group"));
        let ids = group.get_arguments().map(|arg| arg.get_id().as_str()).filter(|id| !but.contains(id));
        self.refuse(&ids.collect::<Vec<_>>(), why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Program {
        #[arg(long, default_value_t = 1.5, global = true)]
        rate: f64,
        #[command(flatten)]
        group: Group,
        #[command(subcommand)]
        command: Option<Sub>,
    }

    #[derive(Debug, clap::Args)]
    struct Group {
        #[arg(long)]
        top_k: Option<u32>,
        #[arg(long)]
        distinct: bool,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Sub {
        Run {
            #[arg(long, default_value_t = 0)]
            shift: i32,
        },
    }

    fn parsed(flags: &str) -> (Program, Given) {
        try_parse_from(["program"].into_iter().chain(flags.split_whitespace())).expect("flags")
    }

    #[test]
    fn a_flag_with_its_default_value_is_given_all_the_same() {
        let (_, given) = parsed("--rate 1.5");
        assert!(given.has("rate") && !given.has("top_k") && !given.has("distinct"));
        assert!(given.refuse_all::<Group>("here").is_ok());
        let (_, given) = parsed("--distinct --top-k 3");
        assert_eq!(given.refuse_all::<Group>("here").unwrap_err().to_string(), "--top-k has no effect here");
        let refused = given.refuse_all_but::<Group>(&["top_k"], "here").unwrap_err();
        assert_eq!(refused.to_string(), "--distinct has no effect here");
    }

    #[test]
    fn numbers_below_zero_are_values() {
        for (text, rate) in [("-1e-3", -1e-3), ("-2", -2.0), ("-inf", f64::NEG_INFINITY)] {
            assert_eq!(parsed(&format!("--rate {text} --distinct")).0.rate, rate);
        }
        let (program, given) = parsed("run --shift -3 --rate -1e-3");
        assert_eq!(program.rate, -1e-3);
        assert!(matches!(program.command, Some(Sub::Run { shift: -3 })));
        assert!(given.has("shift") && given.has("rate"));
        let error = try_parse_from::<Program>(["program", "--top-k", "-1"]).unwrap_err().to_string();
        assert!(error.contains("invalid value '-1' for '--top-k"), "{error}");
    }

    #[test]
    fn names_end_in_digits_that_tell_settings_apart() {
        let digits = |flags: &str| parsed(flags).1.digits(&["top_k"]);
        assert_eq!(digits(""), "");
        assert_eq!(digits("--rate 1.5 --top-k 3"), "", "defaults, and what is told otherwise");
        let all = ["--rate 2", "--rate 3", "--distinct", "--rate 2 --distinct", "run --shift -1"].map(digits);
        for (i, digits) in all.iter().enumerate() {
            assert!(digits.len() == 7 && digits.starts_with('_'), "{digits}");
            assert!(!all[..i].contains(digits), "{all:?}");
        }
        assert_eq!(all[3], digits("--distinct --rate 2"), "whatever their order");
    }

    #[test]
    #[should_panic(expected = "there is no flag speed")]
    fn an_unknown_flag_is_a_mistake_of_the_program() {
        parsed("").1.has("speed");
    }
}
