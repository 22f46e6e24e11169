//! Man pages, completions for shells and lists of flags, made from the flags themselves: `PROGRAM --generate WHAT`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use clap::builder::{EnumValueParser, PossibleValue, StyledStr};
use clap::{Arg, ArgAction, Command, CommandFactory, Parser, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

/// What `--generate` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Generate {
    /// A man page with the flags of all commands
    Man,
    /// Completions for bash
    CompleteBash,
    /// Completions for zsh
    CompleteZsh,
    /// Completions for fish
    CompleteFish,
    /// Completions for PowerShell
    CompletePowershell,
    /// The flags as Markdown, a section of docs/reference/flags.md
    Flags,
}

/// Returns the command with the flag `--generate`.
///
/// It is no field of [`Common`](crate::Common): like `--help` it stands alone, without what the program needs otherwise.
/// [`print_generated`] does what it says.
pub(crate) fn with_generate(command: Command) -> Command {
    let help = "Print a man page, completions for a shell, or the flags as Markdown, and nothing else";
    let flag = Arg::new("generate").long("generate").value_name("WHAT").help(help).help_heading("Common options");
    command.arg(flag.value_parser(EnumValueParser::<Generate>::new()).exclusive(true))
}

/// Prints what `--generate` asks for and ends the program, if the command line has this flag and nothing else.
pub fn print_generated(command: Command, args: impl IntoIterator<Item = OsString>) {
    let args: Vec<String> = args.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let Some((program, args)) = args.split_first() else { return };
    let what = match args {
        [flag, what] if flag == "--generate" => what,
        [flag] => match flag.strip_prefix("--generate=") {
            Some(what) => what,
            None => return,
        },
        _ => return,
    };
    let Ok(what) = Generate::from_str(what, false) else { return }; // clap says what there is
    // The name of the program, which need not be that of its package.
    let name = Path::new(program).file_stem().map(|name| name.to_string_lossy().into_owned());
    let command = match name {
        Some(name) => command.name(&*Box::leak(name.into_boxed_str())), // once, before the program ends
        None => command,
    };
    let printed = generated(command, what).map_err(anyhow::Error::from).and_then(|text| crate::out(&text));
    let ends_well = printed.as_ref().err().is_none_or(crate::is_broken_pipe);
    if let Err(error) = printed.as_ref()
        && !ends_well
    {
        eprintln!("error: {error:#}");
    }
    std::process::exit(if ends_well { 0 } else { 2 })
}

/// Returns the text that `--generate` prints for a command.
///
/// # Errors
/// None but those of writing to memory.
pub fn generated(command: Command, what: Generate) -> io::Result<String> {
    let mut command = with_generate(command).disable_help_subcommand(true);
    let name = command.get_name().to_owned();
    let mut bytes = Vec::new();
    let mut complete = |shell: Shell| clap_complete::generate(shell, &mut command, &name, &mut bytes);
    match what {
        Generate::CompleteBash => complete(Shell::Bash),
        Generate::CompleteZsh => complete(Shell::Zsh),
        Generate::CompleteFish => complete(Shell::Fish),
        Generate::CompletePowershell => complete(Shell::PowerShell),
        Generate::Man => bytes = man(&mut command)?,
        Generate::Flags => return Ok(flags(&mut command)),
    }
    Ok(String::from_utf8(bytes).expect("flags are text"))
}

/// A man page of the command. The commands within it are sections of the same page, so that a program has one page.
fn man(command: &mut Command) -> io::Result<Vec<u8>> {
    command.build();
    let mut page = Vec::new();
    let whole = Man::new(command.clone());
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    page.extend(synopsis(command).bytes());
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    // The flags of all commands stand once, above.
    let hidden = |arg: Arg| match is_common(&arg) {
        true => arg.hide(true),
        false => arg,
    };
    for command in command.get_subcommands() {
        let (part, mut options) = (Man::new(command.clone().mut_args(hidden)), Vec::new());
        let name = command.get_bin_name().unwrap_or(command.get_name()).replace('-', "\\-").to_uppercase();
        page.extend(format!(".SH \"{name}\"\n").bytes());
        let mut about = Vec::new();
        part.render_description_section(&mut about)?;
        part.render_options_section(&mut options)?;
        // The parts' own headings go one level down, and that of the description goes.
        let text = String::from_utf8_lossy(&about).replace(".SH DESCRIPTION\n", "");
        page.extend(text.bytes());
        page.extend(String::from_utf8_lossy(&options).replace(".SH ", ".SS ").bytes());
    }
    if command.get_version().is_some() {
        whole.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// The section with the usage of the command and of those within it, as `--help` shows it: a list of all flags says nothing.
fn synopsis(command: &Command) -> String {
    let mut usages: Vec<String> = Vec::new();
    let mut add = |command: &Command| {
        let usage = command.clone().render_usage().to_string();
        let lines = usage.trim_start_matches("Usage:").lines().map(|line| line.trim().replace('-', "\\-"));
        usages.extend(lines.filter(|line| !line.is_empty()));
    };
    add(command);
    command.get_subcommands().for_each(&mut add);
    format!(".SH SYNOPSIS\n{}\n", usages.join("\n.br\n"))
}

/// Whether a flag is one that all programs have.
fn is_common(arg: &Arg) -> bool {
    arg.get_help_heading() == Some("Common options")
}

/// A section of Markdown: what the program is for, how it is called, and its flags without those of all programs.
fn flags(command: &mut Command) -> String {
    command.build();
    let mut text = String::new();
    section(command, 2, &mut text);
    text
}

/// Returns the flags that all programs have, as the list that [`Generate::Flags`] leaves out.
pub fn common_flags() -> String {
    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        common: crate::Common,
    }
    let mut text = String::new();
    let mut command = with_generate(Flags::command());
    command.build();
    for arg in command.get_arguments() {
        item(arg, &mut text);
    }
    text
}

fn section(command: &Command, level: usize, text: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let _ = write!(text, "{} {name}\n\n", "#".repeat(level));
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    // A drawing of a folder is indented.
    let mut is_drawing = false;
    for line in about.lines() {
        if line.starts_with("  ") != is_drawing {
            text.push_str(if is_drawing { "```\n" } else { "```text\n" });
            is_drawing = !is_drawing;
        }
        match is_drawing {
            true => text.push_str(line),
            false => text.push_str(&escaped(line)),
        }
        text.push('\n');
    }
    text.push_str(if is_drawing { "```\n\n" } else { "\n" });
    let usage = command.clone().render_usage().to_string();
    let usage: Vec<&str> = usage.trim_start_matches("Usage:").lines().map(str::trim).collect();
    let _ = write!(text, "```text\n{}\n```\n\n", usage.join("\n").trim());
    let is_shown = |arg: &&Arg| {
        !is_common(arg) && !arg.is_hide_set() && !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version)
    };
    let (places, options): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(is_shown).partition(|arg| arg.is_positional());
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in &options {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    places.into_iter().for_each(|arg| item(arg, text));
    for heading in headings {
        if let Some(heading) = heading {
            let _ = write!(text, "\n{heading}:\n\n");
        }
        options.iter().filter(|arg| arg.get_help_heading() == heading).for_each(|arg| item(arg, text));
    }
    text.push('\n');
    for command in command.get_subcommands() {
        section(command, level + 1, text);
    }
}

/// A flag as an item of a list.
fn item(arg: &Arg, text: &mut String) {
    if matches!(arg.get_action(), ArgAction::Help | ArgAction::Version) {
        return;
    }
    let names = arg.get_value_names().unwrap_or_default();
    let values: Vec<String> = names.iter().map(|name| format!("<{name}>")).collect();
    let mut written = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (_, Some(long)) => format!("--{long}"),
        (Some(short), _) => format!("-{short}"),
        (None, None) => values.join(" "),
    };
    if arg.get_action().takes_values() && !arg.is_positional() {
        let _ = write!(written, " {}", values.join(" "));
    }
    let help = |styled: &StyledStr| styled.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let help = arg.get_long_help().or(arg.get_help()).map(help).unwrap_or_default();
    let _ = write!(text, "- `{written}`: {}", escaped(&help));
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() && !arg.is_hide_default_value_set() {
        let _ = write!(text, " (default: {})", defaults.join(" "));
    }
    let mut values: Vec<PossibleValue> = match arg.get_action().takes_values() {
        true => arg.get_possible_values(),
        false => Vec::new(),
    };
    values.retain(|value| !value.is_hide_set());
    // Names that nothing is said of need no lines of their own.
    if !values.is_empty() && values.iter().all(|value| value.get_help().is_none()) {
        let names: Vec<String> = values.drain(..).map(|value| format!("`{}`", value.get_name())).collect();
        let _ = write!(text, " (one of {})", names.join(", "));
    }
    text.push('\n');
    for value in &values {
        let about = value.get_help().map(|help| format!(": {}", escaped(&help.to_string()))).unwrap_or_default();
        let _ = writeln!(text, "  - `{}`{about}", value.get_name());
    }
}

/// Text in which Markdown finds no marks of its own.
fn escaped(text: &str) -> String {
    // What stands in backticks is shown as it is.
    let parts = text.split('`').enumerate().map(|(index, part)| match index % 2 {
        0 => part.replace('*', "\\*").replace('_', "\\_").replace('<', "&lt;").replace('[', "\\["),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Count words
    ///
    /// The words of a file_name and of * others.
    #[derive(Parser)]
    #[command(name = "wc")]
    struct Args {
        /// The file
        file: String,
        /// What to count
        #[arg(long, value_name = "WHAT", value_parser = ["words", "lines"], default_value = "words")]
        what: String,
        #[command(flatten)]
        common: crate::Common,
        #[command(subcommand)]
        command: Option<Of>,
    }

    #[derive(clap::Subcommand)]
    enum Of {
        /// Count columns
        Columns {
            /// The least
            #[arg(short, long)]
            least: bool,
        },
    }

    #[test]
    fn every_text_names_the_flags_of_the_program_and_of_its_commands() {
        for &what in Generate::value_variants() {
            let text = generated(Args::command(), what).expect("it is written to memory");
            for name in ["what", "least"] {
                assert!(text.contains(name), "{what:?} without {name}:\n{text}");
            }
        }
        let text = generated(Args::command(), Generate::Flags).expect("text");
        assert!(text.starts_with("## wc\n\nCount words\n\nThe words of a file\\_name and of \\* others.\n"), "{text}");
        assert!(
            text.contains("- `--what <WHAT>`: What to count (default: `words`) (one of `words`, `lines`)\n"),
            "{text}"
        );
        assert!(text.contains("### wc columns") && !text.contains("--seed"), "{text}");
        assert!(common_flags().contains("- `--seed <SEED>`: Seed of every random draw"));
    }
}
