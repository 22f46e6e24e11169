//! The flags that were given, so that a flag without effect is an error and file names reflect settings.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fmt::Display;

use anyhow::bail;
use clap::builder::{Resettable, StyledStr};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, Id, Parser};

use crate::generate::with_generate;
use crate::print_generated;

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
    let Parsed { mut matches, given, mut command, .. } = try_matches_from(P::command(), args)?;
    let parsed = P::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?;
    Ok((parsed, given))
}

/// A command line that was parsed, for programs that look at it in other ways than by the fields of their flags.
#[derive(Debug)]
pub struct Parsed {
    /// What clap has read.
    pub matches: ArgMatches,
    /// The flags that were given.
    pub given: Given,
    /// The arguments in the form that clap has read, the first of them the program's name.
    pub args: Vec<OsString>,
    /// The command, with which errors are formatted.
    pub command: Command,
}

/// Parses the flags of `args` by a command, as [`try_parse_from`] does.
///
/// # Errors
/// If the flags cannot be parsed, or ask for `--help` or `--version`.
pub fn try_matches_from(
    command: Command,
    args: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Parsed, clap::Error> {
    let (command, args) = with_negative_numbers(with_generate(command), args);
    let mut given = Given { names: HashMap::new(), ids: HashSet::new(), changed: BTreeMap::new() };
    let mut defaults = HashMap::new();
    given.add_flags(&command, &mut defaults);
    let mut built = command.clone();
    let matches = built.try_get_matches_from_mut(&args).map_err(|error| with_equals_hint(error, &command, &args))?;
    given.add_values(&command, &matches, &defaults);
    given.check_needs(&command, &mut built, &matches, &args)?;
    Ok(Parsed { matches, given, args, command: built })
}

/// Returns a command for which negative numbers are values, not flags, and its arguments in a form that it can read.
fn with_negative_numbers(
    command: Command,
    args: impl IntoIterator<Item = impl Into<OsString>>,
) -> (Command, Vec<OsString>) {
    let command = negative(command);
    let mut singles = HashSet::new();
    add_singles(&command, &mut singles);
    let args = attached(args, &singles);
    (command, args)
}

/// Adds a hint to the error of an argument that nothing takes, if it follows a flag whose value stands behind an equals
/// sign.
fn with_equals_hint(mut error: clap::Error, command: &Command, args: &[OsString]) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let word = |arg: &OsString| arg.to_str().filter(|word| !word.starts_with('-')).map(str::to_owned);
    let hint = args.windows(2).find_map(|pair| {
        let (flag, value) = (pair[0].to_str()?.strip_prefix("--")?, word(&pair[1])?);
        let needs_equals = any_arg(command, &|arg| arg.get_long() == Some(flag) && arg.is_require_equals_set());
        needs_equals.then(|| format!("the value of --{flag} stands behind an equals sign: --{flag}={value}"))
    });
    if let Some(hint) = hint {
        let mut hints = match error.remove(ContextKind::Suggested) {
            Some(ContextValue::StyledStrs(hints)) => hints,
            _ => Vec::new(),
        };
        hints.push(StyledStr::from(hint));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(hints));
    }
    error
}

fn any_arg(command: &Command, is_it: &dyn Fn(&Arg) -> bool) -> bool {
    command.get_arguments().any(is_it) || command.get_subcommands().any(|command| any_arg(command, is_it))
}

/// Returns a command in which no flag conflicts with another and only the flags for which `is_checked` is true require
/// others.
fn without_conflicts(command: Command, is_checked: &dyn Fn(&str) -> bool) -> Command {
    let reset = |arg: Arg| {
        let none = || Resettable::<Id>::Reset;
        let arg = arg.conflicts_with(none()).overrides_with(none()).required(false);
        if is_checked(arg.get_id().as_str()) { arg } else { arg.requires(none()) }
    };
    command.mut_args(reset).mut_subcommands(|command| without_conflicts(command, is_checked))
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

    /// Fails if a flag is given without one that it requires.
    ///
    /// clap checks this too, but not where the flag that is missing conflicts with one that is given. The given flag would
    /// then have no effect, and nobody would be told.
    fn check_needs(
        &self,
        command: &Command,
        built: &mut Command,
        matches: &ArgMatches,
        args: &[OsString],
    ) -> Result<(), clap::Error> {
        let missing = |is_checked: &dyn Fn(&str) -> bool| {
            let parsed = without_conflicts(command.clone(), is_checked).try_get_matches_from(args);
            let error = parsed.err().filter(|error| error.kind() == ErrorKind::MissingRequiredArgument)?;
            match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(names)) => Some(names.clone()),
                _ => None,
            }
        };
        if missing(&|_| true).is_none() {
            return Ok(());
        }
        let mut ids: Vec<&String> = self.ids.iter().collect();
        ids.sort();
        let found = ids.into_iter().find_map(|id| Some((id, missing(&|checked| checked == id)?)));
        let Some((id, missing)) = found else { return Ok(()) };
        // The message has the usage of the command that the flag belongs to.
        let (mut command, mut matches) = (built, matches);
        while let Some((name, of_command)) = matches.subcommand() {
            command = command.find_subcommand_mut(name).expect("it was parsed");
            matches = of_command;
        }
        let is_given = |arg: &&Arg| self.ids.contains(arg.get_id().as_str());
        let args = || command.get_arguments();
        let is_missing = |arg: &&Arg| missing.contains(&arg.to_string());
        let conflict = |a: &Arg, b: &Arg| {
            let has = |a: &Arg, b: &Arg| command.get_arg_conflicts_with(a).iter().any(|arg| arg.get_id() == b.get_id());
            has(a, b) || has(b, a)
        };
        let beside = args().filter(is_given).find(|given| args().filter(is_missing).any(|arg| conflict(arg, given)));
        let shown = |arg: &Arg| match arg.is_positional() {
            true => arg.to_string(),
            false => self.names[arg.get_id().as_str()].clone(),
        };
        let beside = beside.map(|arg| format!(", which cannot be used with {}", shown(arg)));
        let message =
            format!("{} has no effect without {}{}", self.names[id], missing.join(" and "), beside.unwrap_or_default());
        Err(command.error(ErrorKind::MissingRequiredArgument, message))
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
        #[arg(long, conflicts_with = "top_k")]
        export: Option<String>,
        #[arg(long, requires = "top_k")]
        top_out: Option<String>,
        #[command(subcommand)]
        command: Option<Sub>,
    }

    #[derive(Debug, clap::Parser)]
    struct Wants {
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "functions")]
        learner: Option<String>,
        #[arg(long, default_value_t = 1.0)]
        rate: f64,
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
            #[arg(long, conflicts_with = "shift")]
            still: bool,
            #[arg(long, requires = "shift")]
            by_rows: bool,
            #[arg(conflicts_with = "shift", value_name = "FILE")]
            file: Option<String>,
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
    fn what_a_flag_requires_is_required_whatever_conflicts_with_it() {
        let refused = |flags: &str| {
            let flags = ["program"].into_iter().chain(flags.split_whitespace());
            let error = try_parse_from::<Program>(flags).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
            error.to_string()
        };
        // clap itself sees these.
        assert!(refused("--top-out a").contains("--top-k <TOP_K>"));
        assert!(refused("run --by-rows").contains("--shift <SHIFT>"));
        // And not these.
        for flags in ["--export c --top-out a", "--top-out a --rate 2 --export c --distinct"] {
            let error = refused(flags);
            let expected =
                "error: --top-out has no effect without --top-k <TOP_K>, which cannot be used with --export\n";
            assert!(error.starts_with(expected) && error.contains("Usage: program"), "{error}");
        }
        let error = refused("run --still --by-rows");
        let expected = "error: --by-rows has no effect without --shift <SHIFT>, which cannot be used with --still\n";
        assert!(error.starts_with(expected) && error.contains("Usage: program run"), "{error}");
        let error = refused("run a.csv --by-rows");
        assert!(error.contains("without --shift <SHIFT>, which cannot be used with [FILE]\n"), "{error}");
        for flags in ["--top-k 3 --top-out a", "--export c", "run --shift 1 --by-rows", "run --still", "--top-k 3"] {
            parsed(flags);
        }
    }

    #[test]
    fn a_value_without_its_equals_sign_is_told() {
        for flags in ["--learner functions", "--learner functions --rate 2"] {
            let flags = ["program"].into_iter().chain(flags.split_whitespace());
            let error = try_parse_from::<Wants>(flags).expect_err("refused").to_string();
            let expected = "tip: the value of --learner stands behind an equals sign: --learner=functions";
            assert!(error.contains("unexpected argument 'functions'") && error.contains(expected), "{error}");
        }
        let error = try_parse_from::<Wants>(["program", "--rate", "2", "functions"]).expect_err("refused").to_string();
        assert!(!error.contains("equals sign"), "{error}");
        let (wants, _) = try_parse_from::<Wants>(["program", "--learner=a", "--rate", "3"]).expect("flags");
        assert_eq!((wants.learner.as_deref(), wants.rate), (Some("a"), 3.0));
    }

    #[test]
    fn numbers_below_zero_are_values() {
        for (text, rate) in [("-1e-3", -1e-3), ("-2", -2.0), ("-inf", f64::NEG_INFINITY)] {
            assert_eq!(parsed(&format!("--rate {text} --distinct")).0.rate, rate);
        }
        let (program, given) = parsed("run --shift -3 --rate -1e-3");
        assert_eq!(program.rate, -1e-3);
        assert!(matches!(program.command, Some(Sub::Run { shift: -3, .. })));
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
