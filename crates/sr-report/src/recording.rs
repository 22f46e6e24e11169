//! Animations of searches.

use std::collections::HashMap;

use serde::Serialize;
use sr_engine::{Instance, Origin, SearchConfig};
use sr_expr::{Columns, Machine, Semantics, Tree};
use sr_trace::{GenerationRecord, Progress, Trajectory};

use crate::page::{page, rounded, spread};

/// The most points at which data and predictions are shown.
const MAX_POINTS: usize = 200;
/// The most individuals that are listed of a generation, the best ones.
const MAX_LISTED: usize = 100;

/// The information for a page that a trajectory does not have.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordingInfo {
    /// The method's name.
    pub method: String,
    /// The settings of the search.
    pub config: SearchConfig,
    /// The formula behind the data, if it is known.
    pub formula: Option<String>,
}

impl Default for RecordingInfo {
    /// Returns the information on an expert with the reference engine's settings.
    fn default() -> Self {
        RecordingInfo { method: "expert".into(), config: SearchConfig::basic(), formula: None }
    }
}

/// The data block of the page.
#[derive(Serialize)]
struct Data<'a> {
    problem: &'a str,
    method: &'a str,
    seed: String, // 64 bits are more than a number of JavaScript holds
    stop: &'static str,
    solved_at: Option<u32>,
    /// The number of the learner's offspring that parsed, and of all its offspring; `None` without a learner.
    well_formed: Option<(u64, u64)>,
    formula: Option<&'a str>,
    origins: [&'static str; Origin::ALL.len()],
    /// The expressions, each once; other fields refer to them by number.
    expressions: Vec<String>,
    generations: Vec<Shown>,
    best: Vec<Best>,
    points: Points,
}

#[derive(Serialize)]
struct Shown {
    number: u32,
    size: usize,
    /// The index of the fittest individual in the list.
    best: Option<usize>,
    /// Expression, MSE (`None` if invalid), size and origin of each individual, sorted by MSE.
    individuals: Vec<(usize, Option<f64>, usize, usize)>,
}

/// The best formula so far, from a generation on.
#[derive(Serialize)]
struct Best {
    generation: u32,
    expression: usize,
    mse: Option<f64>,
    size: usize,
    /// Its values on the grid or at the points; `None` where it has no value.
    predicted: Vec<Option<f64>>,
}

/// The places at which data and predictions are shown.
#[derive(Serialize)]
struct Points {
    /// With one variable, the x of the curve, in ascending order.
    grid: Option<Vec<Option<f64>>>,
    /// With one variable, the x of the data.
    x: Option<Vec<Option<f64>>>,
    /// The y of the data.
    y: Vec<Option<f64>>,
}

/// Returns an HTML page that plays a search generation by generation: the population by MSE, the best formula so far,
/// its curve against the data (with several variables, predicted against actual values) and its error over generations.
///
/// The instance must be the one that was searched; at most 200 of its points are shown, evenly spread. The best formula
/// is the fittest that solves the problem, else the fittest one; where constants are fitted it has its offset and factor,
/// which the individuals do not have. The search counts as solved from the first generation that has an individual with at
/// most the early-stop error.
pub fn recording_page(trajectory: &Trajectory, instance: &Instance, info: &RecordingInfo) -> String {
    let (rows, points) = places(instance);
    let mut expressions = Expressions { semantics: info.config.semantics, ..Expressions::default() };
    let generations = trajectory.generations.iter().map(|record| shown(trajectory, record, &mut expressions)).collect();
    let mut machine = Machine::default();
    let mut values = Vec::new();
    let mut best_at = |Progress { generation, expr, mse }: Progress<'_>| {
        let tree = &*info.config.formula_of(expr, instance);
        machine.predict(tree, &rows, info.config.semantics, &mut values);
        let predicted = values.iter().map(|&value| rounded(value)).collect();
        Best {
            generation,
            expression: expressions.number(tree),
            mse: rounded(trajectory.mse(mse)),
            size: tree.size(),
            predicted,
        }
    };
    let best = trajectory.winners(&info.config).into_iter().map(&mut best_at).collect();
    let data = Data {
        problem: &trajectory.problem_id,
        method: &info.method,
        seed: trajectory.seed.to_string(),
        stop: trajectory.stop.name(),
        solved_at: solved_at(trajectory, &info.config),
        well_formed: well_formed(trajectory),
        formula: info.formula.as_deref(),
        origins: Origin::ALL.map(Origin::name),
        expressions: expressions.texts,
        generations,
        best,
        points,
    };
    let title = format!("{}, {}, seed {}", data.problem, data.method, data.seed);
    page(include_str!("recording.html"), &title, &data)
}

/// Returns the first generation with an individual of at most the early-stop error.
fn solved_at(trajectory: &Trajectory, config: &SearchConfig) -> Option<u32> {
    let threshold = trajectory.early_stop(config)?;
    let solves = |record: &GenerationRecord<'_>| record.individuals().any(|i| i.mse <= threshold);
    trajectory.generations.iter().find(solves).map(|record| record.generation)
}

fn well_formed(trajectory: &Trajectory) -> Option<(u64, u64)> {
    if let Some(counts) = trajectory.sampling {
        return Some((counts.well_formed, counts.children));
    }
    let origins = trajectory.generations.iter().flat_map(|record| record.individuals().map(|i| i.origin));
    let (written, replaced) = origins.fold((0, 0), |(written, replaced), origin| match origin {
        Origin::Learner => (written + 1, replaced),
        Origin::Fallback => (written, replaced + 1),
        _ => (written, replaced),
    });
    (written + replaced > 0).then_some((written, written + replaced))
}

/// Returns the rows to predict, and the points for the page.
fn places(instance: &Instance) -> (Columns, Points) {
    let (x, y) = (instance.x(), instance.y());
    let is_curve = x.n_columns() == 1;
    // Rows with a value that is not finite cannot be drawn.
    let mut rows: Vec<usize> = (0..y.len()).filter(|&row| y[row].is_finite()).collect();
    if is_curve {
        let x = x.column(0);
        rows.retain(|&row| x[row].is_finite());
        rows.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    }
    let rows: Vec<usize> = spread(rows.len(), MAX_POINTS).into_iter().map(|index| rows[index]).collect();
    let shown_y = rows.iter().map(|&row| rounded(y[row])).collect();
    let (Some(&first), Some(&last), true) = (rows.first(), rows.last(), is_curve) else {
        let at = Columns::from_fn(rows.len(), x.n_columns(), |row, column| x.column(column)[rows[row]]);
        return (at, Points { grid: None, x: None, y: shown_y });
    };
    let x = x.column(0);
    let (low, width) = (x[first], x[last] - x[first]);
    let grid: Vec<f64> = (0..MAX_POINTS).map(|i| low + width * i as f64 / (MAX_POINTS - 1) as f64).collect();
    let points = Points {
        grid: Some(grid.iter().map(|&x| rounded(x)).collect()),
        x: Some(rows.iter().map(|&row| rounded(x[row])).collect()),
        y: shown_y,
    };
    (Columns::new(MAX_POINTS, 1, grid), points)
}

fn shown(trajectory: &Trajectory, record: GenerationRecord<'_>, expressions: &mut Expressions) -> Shown {
    let mut individuals: Vec<_> = record.individuals().enumerate().collect();
    individuals.sort_by(|(_, a), (_, b)| a.mse.total_cmp(&b.mse).then(a.expr.size().cmp(&b.expr.size())));
    individuals.truncate(MAX_LISTED);
    let best = individuals.iter().position(|&(slot, _)| slot == record.best_index as usize);
    let row = |(_, i): (usize, sr_trace::IndividualRecord<'_>)| {
        (expressions.number(i.expr), rounded(trajectory.mse(i.mse)), i.expr.size(), i.origin as usize)
    };
    let individuals = individuals.into_iter().map(row).collect();
    Shown { number: record.generation, size: record.len(), best, individuals }
}

/// The expressions and their numbers.
#[derive(Default)]
struct Expressions {
    semantics: Semantics,
    texts: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Expressions {
    fn number(&mut self, tree: &Tree) -> usize {
        let text = tree.display(self.semantics).to_string();
        if let Some(&number) = self.numbers.get(&text) {
            return number;
        }
        self.numbers.insert(text.clone(), self.texts.len());
        self.texts.push(text);
        self.texts.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;
    use sr_engine::{Expert, PrimitiveSet, Search, SearchConfig, run};
    use sr_expr::Op;
    use sr_trace::Recorder;

    use super::*;

    fn searched(id: &str, x: Columns, y: Vec<f64>, generations: u32) -> (Trajectory, Instance) {
        let primitives = PrimitiveSet::new(vec![Op::Add, Op::Sub, Op::Mul], vec![1.0], x.n_columns() as u16);
        let instance = Instance::new(id, x, y, primitives.expect("primitives")).expect("an instance");
        let config = SearchConfig { generations, early_stop_mse: None, ..SearchConfig::basic() };
        let mut searches = [Search::new(Arc::new(instance.clone()), config, 3).expect("a search")];
        let mut recorders = [Recorder::new(3)];
        let outcome = run(&mut searches, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
        let [recorder] = recorders;
        (recorder.finish(&outcome).expect("recorded"), instance)
    }

    fn curve(rows: usize, generations: u32) -> (Trajectory, Instance) {
        let x = Columns::from_fn(rows, 1, |row, _| ((row * 7) % rows) as f64 / rows as f64 * 4.0 - 2.0);
        let y = x.column(0).iter().map(|x| x * x * x - x + 0.5).collect();
        searched("a <b> & \"c\"</script>", x, y, generations)
    }

    fn data(page: &str) -> Value {
        let start = page.find("id=\"data\">").expect("a block") + "id=\"data\">".len();
        let end = start + page[start..].find("</script>").expect("an end");
        serde_json::from_str(&page[start..end]).expect("JSON")
    }

    #[test]
    fn the_page_says_what_the_trajectory_says() {
        let (trajectory, instance) = curve(50, 30);
        let info = RecordingInfo { formula: Some("x0 < 1".into()), ..RecordingInfo::default() };
        let page = recording_page(&trajectory, &instance, &info);
        assert!(page == recording_page(&trajectory, &instance, &info), "equal input gives equal bytes");
        assert!(page.contains("<title>a &lt;b&gt; &amp; &quot;c&quot;&lt;/script&gt;, expert, seed 3</title>"));
        let data = data(&page);
        assert_eq!(data["problem"], trajectory.problem_id);
        assert_eq!((&data["formula"], &data["well_formed"]), (&"x0 < 1".into(), &Value::Null));
        let generations = data["generations"].as_array().expect("generations");
        assert_eq!(generations.len(), 30);
        for (shown, record) in generations.iter().zip(trajectory.generations.iter()) {
            let individuals = shown["individuals"].as_array().expect("individuals");
            assert_eq!(individuals.len(), record.len());
            let mse = |i: &Value| i[1].as_f64().unwrap_or(f64::INFINITY);
            assert!(individuals.is_sorted_by(|a, b| mse(a) <= mse(b)));
            let best = &individuals[shown["best"].as_u64().expect("a best") as usize];
            let text = &data["expressions"][best[0].as_u64().expect("a number") as usize];
            assert_eq!(*text, record.best().expr.to_string());
        }
        let best = data["best"].as_array().expect("best");
        assert_eq!(best.len(), trajectory.best_progression().len(), "only changes are stored");
        assert!(best.iter().all(|best| best["predicted"].as_array().is_some_and(|p| p.len() == MAX_POINTS)));
    }

    #[test]
    fn a_solution_is_told_with_its_generation() {
        let (trajectory, instance) = curve(50, 10);
        let least = |record: GenerationRecord<'_>| record.individuals().map(|i| i.mse).fold(f32::INFINITY, f32::min);
        let bound = least(trajectory.generations.last());
        let expected = trajectory.generations.iter().find(|record| least(*record) <= bound).expect("one").generation;
        let solved = |early_stop_mse: f64| {
            let config = SearchConfig { early_stop_mse: Some(early_stop_mse), ..SearchConfig::basic() };
            let info = RecordingInfo { config, ..RecordingInfo::default() };
            data(&recording_page(&trajectory, &instance, &info))["solved_at"].clone()
        };
        assert_eq!((solved(bound.into()), solved(1e-30)), (expected.into(), Value::Null));
    }

    #[test]
    fn several_variables_are_shown_by_at_most_200_points() {
        let x = Columns::from_fn(1000, 2, |row, column| ((row * (3 + column)) % 101) as f64 / 50.0);
        let y: Vec<f64> = x.column(0).iter().zip(x.column(1)).map(|(a, b)| a * b + a).collect();
        let (trajectory, instance) = searched("two", x, y.clone(), 5);
        let data = data(&recording_page(&trajectory, &instance, &RecordingInfo::default()));
        let shown = data["points"]["y"].as_array().expect("y");
        assert_eq!((shown.len(), &data["points"]["grid"]), (MAX_POINTS, &Value::Null));
        assert_eq!(shown[0].as_f64(), rounded(y[0]));
        assert!(shown.iter().all(Value::is_number));
        assert_eq!(data["best"][0]["predicted"].as_array().expect("values").len(), MAX_POINTS);
    }

    #[test]
    fn a_hundred_generations_stay_under_a_megabyte() {
        let (trajectory, instance) = curve(2000, 100);
        let size = recording_page(&trajectory, &instance, &RecordingInfo::default()).len();
        assert!(size < 500_000, "{size} bytes");
    }

    #[test]
    fn nothing_is_fetched() {
        let (trajectory, instance) = curve(5, 1);
        let page = recording_page(&trajectory, &instance, &RecordingInfo::default());
        let links = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!links.contains("http:") && !links.contains("https:") && !links.contains("src="));
    }
}
