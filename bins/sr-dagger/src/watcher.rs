//! What a person reads of a run: lines while it goes on, a table at the end.

use comfy_table::{CellAlignment, Table, presets};
use sr_args::LabelsArg;
use sr_lab::report::REPORT;
use sr_lab::sr_dagger::{Event, Results, RoundResult};
use sr_lab::tasks::Notice;

use crate::args::{Args, TaskArg};

/// Prints what happens in a run.
pub(crate) struct Watcher {
    is_quiet: bool,
    /// What each milestone is.
    about: Vec<String>,
    /// Whether the titles of the table of rounds were printed in this milestone.
    has_titles: bool,
}

impl Watcher {
    pub(crate) fn new(args: &Args, about: Vec<String>) -> Self {
        Watcher { is_quiet: args.common.quiet, about, has_titles: false }
    }

    pub(crate) fn see(&mut self, told: &Notice<'_>) {
        if self.is_quiet {
            return;
        }
        match told {
            Notice::Changed(change) => eprintln!("{change}"),
            Notice::Event(Event::Begins { id, index, of }) => {
                self.has_titles = false;
                let about = &self.about[*index];
                let colon = if about.is_empty() { "" } else { ": " };
                eprintln!("== milestone {}/{of} {id}{colon}{about}", index + 1);
            }
            Notice::Event(Event::Expert { stats, max_steps, .. }) => {
                let number = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{x:.1}"));
                let allowed = max_steps.map_or(String::new(), |steps| format!("; the learner may take {steps}"));
                eprintln!(
                    "   expert: {:.0} % of {} episodes, {} ± {} steps{allowed}",
                    100.0 * stats.success_rate,
                    stats.episodes,
                    number(stats.mean_steps),
                    number(stats.std_steps),
                );
            }
            Notice::Event(Event::Round { result, .. }) => {
                // Not before the first round is done, which tells of its buffer.
                if !std::mem::replace(&mut self.has_titles, true) {
                    eprintln!("   {HEADER}");
                }
                eprintln!("   {}", line(result));
            }
            Notice::Event(Event::Ends { result }) => {
                let reason = result.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
                eprintln!("   {}{reason}", result.status.name());
            }
        }
    }
}

const HEADER: &str = "round     β   states  success  95 % interval  agreement    loss  novelty";

/// A round in a line under [`HEADER`].
fn line(result: &RoundResult) -> String {
    let evaluation = &result.evaluation;
    let find = |name: &str| evaluation.metrics.iter().find(|metric| metric.name == name);
    let percent = |name| match find(name).and_then(|metric| metric.value) {
        Some(value) => format!("{:.1} %", 100.0 * value),
        None => "–".to_owned(),
    };
    let loss = find("imitation_loss").and_then(|metric| metric.value);
    let first = evaluation.metrics.first();
    let interval = first.and_then(|metric| Some(format!("{:.0}–{:.0} %", 100.0 * metric.lo?, 100.0 * metric.hi?)));
    format!(
        "{:>5}  {:>4.2}  {:>7}  {:>5.0} %  {:>13}  {:>9}  {:>6}  {:>7}{}",
        result.round.index,
        result.round.beta,
        result.buffered,
        100.0 * evaluation.success_rate(),
        interval.unwrap_or_default(),
        percent("agreement"),
        loss.map_or("–".to_owned(), |loss| if loss < 0.01 { format!("{loss:.0e}") } else { format!("{loss:.3}") }),
        percent("novelty"),
        if result.is_best { "  best" } else { "" },
    )
}

/// Says where labels come from, by their kind in the results.
fn labels_in_words(kind: &str, args: &Args) -> &'static str {
    match (kind, args.task) {
        ("teacher", _) if matches!(args.labels.labels, LabelsArg::Path | LabelsArg::Target) => {
            "labels lead to the formula that each search found at its end; nobody had to know one"
        }
        ("teacher", _) => {
            "labels are the expert's, who was asked in every state that was visited; nobody had to know a formula"
        }
        (_, TaskArg::Search) => "labels are privileged: they lead to the problem's own formula, which has to be known",
        (_, TaskArg::PointControl) => "labels are privileged: the teacher sees what the student does not",
    }
}

/// The table at the end.
pub(crate) fn summary(results: &Results, args: &Args) -> String {
    let percent = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.0} %", 100.0 * share));
    let number = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{x:.1}"));
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["milestone", "status", "expert", "its steps", "allowed", "rounds", "learner, last", "best"]);
    for result in &results.milestones {
        table.add_row([
            result.milestone_id.clone(),
            result.status.name().to_owned(),
            percent(result.expert_success_rate),
            number(result.expert_mean_steps),
            result.max_episode_steps.map_or("–".to_owned(), |steps| steps.to_string()),
            result.rounds.len().to_string(),
            percent(result.dagger_final_success_rate),
            percent(result.dagger_best_success_rate),
        ]);
    }
    for column in 2..8 {
        table.column_mut(column).expect("a column").set_cell_alignment(CellAlignment::Right);
    }
    // A milestone that was not begun has none.
    let labels = results.milestones.iter().map(|result| &*result.labels).find(|labels| !labels.is_empty());
    let labels = labels.map_or(String::new(), |kind| format!("{}\n", labels_in_words(kind, args)));
    let out = args.out.display();
    format!("{table}\n{labels}report: {out}/{REPORT}\nresults: {out}/results.csv, {out}/results.json")
}
