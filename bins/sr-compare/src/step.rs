//! Two searches generation by generation.

use std::fmt::Write as _;
use std::io::IsTerminal;

use console::{Key, Term};
use serde_json::{Value, json};
use sr_lab::compare::{Searched, well_formed};
use sr_lab::sr_trace::{GenerationRecord, IndividualRecord};

use crate::OneArgs;

/// Lines of a generation on a terminal beside the individuals: a title, four a search, one for the keys.
const FIXED_LINES: usize = 10;
/// Columns of a terminal that is narrower than any line can be.
const LEAST_WIDTH: usize = 40;

/// Shows the generations: one at a time to a person at a terminal, else all of them.
pub(crate) fn show(both: &[Searched; 2], args: &OneArgs) -> anyhow::Result<()> {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if is_terminal && !args.non_interactive {
        return walk(both, args.show);
    }
    let limit = args.show.unwrap_or(usize::MAX);
    for generation in 0..count(both) {
        sr_cli::out(&page(both, generation, limit, usize::MAX))?;
        sr_cli::out("\n")?;
    }
    Ok(())
}

/// Generations of the longer search.
fn count(both: &[Searched; 2]) -> usize {
    both.iter().map(|one| one.trajectory.generations.len()).max().unwrap_or_default()
}

/// Where a person is among the generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Walk {
    at: usize,
    count: usize,
    /// A number that is being typed.
    typed: Option<usize>,
}

impl Walk {
    /// Where a key leads; `None` is out.
    fn after(self, key: &Key) -> Option<Walk> {
        let at = |index: usize| Some(Walk { at: index.min(self.count - 1), typed: None, ..self });
        match (key, self.typed) {
            (Key::Char('q') | Key::CtrlC, _) | (Key::Escape, None) => None,
            (Key::Escape, Some(_)) => at(self.at),
            (Key::Char(digit @ '0'..='9'), typed) => {
                let digit = *digit as usize - '0' as usize;
                let typed = typed.unwrap_or(0).saturating_mul(10).saturating_add(digit);
                Some(Walk { typed: Some(typed), ..self })
            }
            (Key::Backspace, Some(typed)) => Some(Walk { typed: (typed >= 10).then_some(typed / 10), ..self }),
            (Key::Enter, Some(typed)) => at(typed),
            (Key::Enter | Key::Char(' ' | 'n') | Key::ArrowRight | Key::PageDown, None) => at(self.at + 1),
            (Key::Char('b') | Key::ArrowLeft | Key::PageUp | Key::Backspace, None) => at(self.at.saturating_sub(1)),
            (Key::Home, _) => at(0),
            (Key::End, _) => at(usize::MAX),
            _ => Some(self),
        }
    }

    fn prompt(self) -> String {
        match self.typed {
            Some(typed) => format!("to generation {typed}: Enter, Escape"),
            None => "Enter next · b back · number and Enter · q quit".into(),
        }
    }
}

fn walk(both: &[Searched; 2], show: Option<usize>) -> anyhow::Result<()> {
    let term = Term::stdout();
    let mut walk = Walk { at: 0, count: count(both), typed: None };
    loop {
        let (height, width) = term.size();
        let fits = usize::from(height).saturating_sub(FIXED_LINES) / 2;
        term.clear_screen()?;
        let width = usize::from(width).max(LEAST_WIDTH);
        term.write_str(&page(both, walk.at, show.unwrap_or(fits.max(1)), width))?;
        term.write_str(&cut(walk.prompt(), width))?;
        let next = walk.after(&term.read_key()?);
        term.write_line("")?;
        match next {
            Some(next) => walk = next,
            None => return Ok(()),
        }
    }
}

/// A generation of both searches: the `limit` fittest of each, in lines of at most `width` characters.
fn page(both: &[Searched; 2], generation: usize, limit: usize, width: usize) -> String {
    let mut lines = vec![format!("Generation {generation} of {}", count(both) - 1)];
    for one in both {
        lines.extend(lines_of(one, generation, limit));
    }
    let mut page = String::new();
    for line in lines {
        writeln!(page, "{}", cut(line, width)).expect("a string takes all");
    }
    page
}

fn lines_of(one: &Searched, generation: usize, limit: usize) -> Vec<String> {
    let generations = &one.trajectory.generations;
    let Some(record) = generations.get(generation) else {
        let ended = format!(
            "ended after generation {} ({})",
            generations.len() - 1,
            one.outcome.stop.map_or("stopped", sr_lab::sr_engine::StopReason::name)
        );
        return vec![format!("{}: {ended}", one.name)];
    };
    let best = one.best_so_far(generation);
    let mse = |recorded: f32| one.trajectory.mse(recorded);
    let mut head = format!("{}: best MSE {}, size {}", one.name, number(mse(best.mse)), best.expr.size());
    if generation > 0 && record.improved {
        head += ", new";
    }
    let (least, mean, most) = sizes(record);
    let mut facts = format!("  sizes {least}–{most}, mean {mean:.1}");
    if let Some(counts) = well_formed(std::iter::once(record)) {
        write!(facts, "; well-formed {}", of_all(Some(counts))).expect("a string takes all");
    }
    let mut lines = vec![head, format!("  {}", best.expr.display(one.semantics)), facts];
    lines.push(format!("  {:>4} {:>10} {:>10} {:>4} {:<9} expression", "rank", "fitness", "MSE", "size", "origin"));
    for (rank, individual) in sorted(record).into_iter().take(limit).enumerate() {
        let IndividualRecord { expr, mse: recorded, fitness, origin, .. } = individual;
        let (fitness, mse, size) = (number(fitness.into()), number(mse(recorded)), expr.size());
        let expr = expr.display(one.semantics);
        lines.push(format!("  {:>4} {fitness:>10} {mse:>10} {size:>4} {:<9} {expr}", rank + 1, origin.name()));
    }
    lines
}

/// The fittest first; among equals in slot order, as the search has it.
fn sorted(record: GenerationRecord<'_>) -> Vec<IndividualRecord<'_>> {
    let mut individuals: Vec<_> = record.individuals().collect();
    individuals.sort_by(|a, b| b.fitness.total_cmp(&a.fitness));
    individuals
}

/// Least, mean and greatest size.
fn sizes(record: GenerationRecord<'_>) -> (usize, f64, usize) {
    let sizes = record.individuals().map(|individual| individual.expr.size());
    let (least, most) = (sizes.clone().min().unwrap_or_default(), sizes.clone().max().unwrap_or_default());
    (least, sizes.sum::<usize>() as f64 / record.len() as f64, most)
}

/// The generations as JSON: for each search its individuals, the fittest first.
pub(crate) fn json(both: &[Searched; 2]) -> Value {
    let of = |one: &Searched, generation: usize| -> Value {
        let Some(record) = one.trajectory.generations.get(generation) else { return Value::Null };
        let (best, (least, mean, most)) = (one.best_so_far(generation), sizes(record));
        let individual = |i: &IndividualRecord<'_>| {
            json!({
                "expression": i.expr.display(one.semantics).to_string(),
                "fitness": i.fitness,
                "mse": i.mse.is_finite().then_some(one.trajectory.mse(i.mse)),
                "size": i.expr.size(),
                "origin": i.origin.name(),
            })
        };
        json!({
            "best": individual(&best),
            "sizes": { "least": least, "mean": mean, "most": most },
            "well_formed": well_formed(std::iter::once(record)),
            "individuals": sorted(record).iter().map(individual).collect::<Vec<_>>(),
        })
    };
    let generation = |index: usize| {
        let mut object = json!({ "generation": index });
        for one in both {
            object[&one.name] = of(one, index);
        }
        object
    };
    (0..count(both)).map(generation).collect()
}

/// A number in at most ten characters.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => if value > 0.0 { "∞" } else { "invalid" }.into(),
        0.0 => "0".into(),
        size if (1e-3..1e5).contains(&size) => {
            let digits = 4_usize.saturating_sub((size.log10().floor() as i32 + 1).max(0) as usize);
            format!("{value:.digits$}")
        }
        _ => format!("{value:.2e}"),
    }
}

/// `n/N`.
pub(crate) fn of_all(counts: Option<(u64, u64)>) -> String {
    counts.map_or("–".into(), |(part, all)| format!("{part}/{all}"))
}

/// The first `width` characters.
fn cut(line: String, width: usize) -> String {
    if line.chars().count() <= width {
        return line;
    }
    line.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(keys: &[Key]) -> Option<Walk> {
        keys.iter().try_fold(Walk { at: 5, count: 50, typed: None }, |walk, key| walk.after(key))
    }

    fn ended(keys: &[Key]) -> Option<usize> {
        walked(keys).map(|walk| walk.at)
    }

    #[test]
    fn keys_lead_through_the_generations() {
        use Key::{ArrowLeft, ArrowRight, Backspace, Char, End, Enter, Escape, Home};
        assert_eq!(ended(&[Enter, Char(' '), ArrowRight]), Some(8));
        assert_eq!(ended(&[Char('b'), ArrowLeft, Backspace]), Some(2));
        assert_eq!(ended(&[Home, Char('b')]), Some(0));
        assert_eq!(ended(&[End, Enter]), Some(49));
        assert_eq!(ended(&[Char('1'), Char('7'), Enter]), Some(17));
        assert_eq!(ended(&[Char('1'), Char('7'), Backspace, Enter]), Some(1));
        assert_eq!(ended(&[Char('1'), Backspace, Enter]), Some(6), "nothing is left of the number");
        assert_eq!(ended(&[Char('1'), Escape]), Some(5), "Escape takes a number back");
        assert_eq!(ended(&[Char('9'), Char('9'), Enter]), Some(49));
        assert_eq!(ended(&[Char('x')]), Some(5));
        for key in [Char('q'), Escape, Key::CtrlC] {
            assert_eq!(ended(&[key]), None);
        }
        assert_eq!(walked(&[Char('4')]).expect("here").prompt(), "to generation 4: Enter, Escape");
    }

    #[test]
    fn numbers_fit_their_column() {
        for (value, text) in [
            (0.0, "0"),
            (0.323_14, "0.3231"),
            (12.345_6, "12.35"),
            (-99_999.4, "-99999"),
            (5.9e-33, "5.90e-33"),
            (-1e10, "-1.00e10"),
            (f64::INFINITY, "∞"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(cut("abcdef".into(), 4), "abc…");
        assert_eq!(cut("abcd".into(), 4), "abcd");
    }
}
