//! Writes one small file of each kind in the current format versions. The files in `fixtures/`, which must stay
//! readable, were written this way: `cargo run -p sr-dagger --example fixtures -- FOLDER`.
//!
//! Files in `fixtures/` are never overwritten. When a version changes, add the new version's files beside the old ones:
//! `problems.sr` as `fixtures/problems/v1.sr`, `wide.sr` as `fixtures/problems/v2.sr` (both versions are written),
//! `trace.sr` as `fixtures/traces/vN-labelled.sr`, and the `train.sr` of the three corpora as
//! `fixtures/corpora/vN-MODE.sr`.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use sr_corpus::{Options, Problems, Shape, convert_problems, convert_trace};
use sr_dagger::{ExpertLabeller, label_states};
use sr_engine::{Expert, Origin, Parents, Search, SearchConfig, run};
use sr_expr::Expr;
use sr_problems::{Problem, ProblemSet, Sampler, suite};
use sr_trace::{GenerationsBuilder, IndividualRecord, Recorder, SamplingCounts, TraceHeader, TraceWriter, Trajectory};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("give a folder")?);
    std::fs::create_dir_all(&folder)?;
    let set = problems()?;
    set.write(folder.join("problems.sr"))?;
    wide(&set).write(folder.join("wide.sr"))?;

    let config = SearchConfig { population_size: 5, generations: 4, early_stop_mse: None, ..SearchConfig::basic() };
    let mut header =
        TraceHeader::of_expert("problems.sr", set.problems[0].instance()?.primitives(), &config, "basic", 7);
    header.dagger = true;
    header.original_source = Some("basic_sr".to_owned());
    let mut writer = TraceWriter::create(folder.join("trace.sr"), &header)?;
    for problem in &set.problems[..2] {
        let instance = Arc::new(problem.instance()?);
        let mut search = [Search::new(instance.clone(), config.clone(), 7)?];
        let mut recorder = [Recorder::new(7)];
        let outcome = run(&mut search, &mut Expert, &mut recorder).expect("the expert never fails").remove(0);
        let [recorder] = recorder;
        let mut trajectory = recorder.finish(&outcome).expect("recorded");
        for seed in [1, 2] {
            let labels = label_states(&trajectory, &instance, &config, seed, &mut ExpertLabeller::default())?;
            trajectory.add_labels(labels);
        }
        writer.append(&trajectory)?;
    }
    writer.append(&unusual(&set.problems[1], &config)?)?;
    writer.finish()?;

    let found = Problems::open(folder.join("problems.sr"))?;
    let options = Options { val_fraction: 0.0, ..Options::default() };
    let whole = Options { shape: Shape::WholeGeneration { fitness: true }, ..options.clone() };
    convert_trace(&folder.join("trace.sr"), &found, &options, &folder.join("onestep"), || ())?;
    convert_trace(&folder.join("trace.sr"), &found, &whole, &folder.join("autoregressive"), || ())?;
    convert_problems(&found, &options, &folder.join("direct"), || ())?;
    Ok(())
}

/// Returns problems with few points, each kind of sampler, and extreme values.
fn problems() -> Result<ProblemSet, Box<dyn Error>> {
    let mut set = suite("simple", 3)?;
    set.problems.truncate(2);
    let uniform = Sampler::Uniform { ranges: vec![[-2.0, 2.0]] };
    for (problem, source) in set.problems.iter_mut().zip(["((x0 * x0) + 1.0)", "(x0 - (2.5 * x0))"]) {
        let n = problem.x.n_columns();
        problem.x = sr_expr::Columns::new(4, n, (0..4 * n).map(|i| i as f64 / 2.0 - 1.0).collect());
        problem.source = Some(source.parse()?);
        problem.sampler = Sampler::Uniform { ranges: vec![[-2.0, 2.0]; n] };
        let source = problem.source.as_ref().expect("it was just given");
        problem.y = sr_expr::reference::predict(source, &problem.x, sr_expr::Semantics::Ieee);
    }
    let (x, y) =
        (sr_expr::Columns::new(2, 1, vec![f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)]), vec![-0.0, 1e300]);
    let (operators, constants) = (set.problems[0].operators.clone(), vec![1.0, -2.5e-300]);
    let own = |id: &str, sampler| Problem {
        id: id.to_owned(),
        source: Some("x0".parse().expect("a formula")),
        semantics: sr_expr::Semantics::Ieee,
        x: x.clone(),
        y: y.clone(),
        weights: None,
        operators: operators.clone(),
        constants: constants.clone(),
        sampler,
        seed: u64::MAX,
    };
    set.problems.push(own("uniform", uniform));
    set.problems.push(own("größer als ASCII", Sampler::Even { ranges: vec![[0.0, 1.0]], points: vec![2] }));
    set.problems.push(own("fixed", Sampler::Fixed));
    Ok(set)
}

/// Returns problems whose inputs do not fit in 32 bits, with weights and without.
fn wide(set: &ProblemSet) -> ProblemSet {
    let x = vec![0.1, 1e300, 1e-50, 1_700_000_001.0, -5e-324, f64::MAX];
    let own = |id: &str, weights| Problem {
        id: id.to_owned(),
        source: None,
        x: sr_expr::Columns::new(3, 2, x.clone()),
        y: vec![-0.0, 0.1, 1e300],
        weights,
        sampler: Sampler::Fixed,
        seed: 0,
        ..set.problems[0].clone()
    };
    let mut params = set.params.clone();
    params.origin = sr_problems::Provenance::Csv { target: "y".into(), variables: vec!["Höhe".into(), "a,b".into()] };
    let problems = vec![own("plain", None), own("weighted", Some(vec![0.0, 0.5, 1e300]))];
    ProblemSet { params, problems }
}

/// Returns a trajectory with what the expert alone never produces: a learner's offspring, fallbacks, infinite scores, a
/// large variable index.
fn unusual(problem: &Problem, config: &SearchConfig) -> Result<Trajectory, Box<dyn Error>> {
    let instance = Arc::new(problem.instance()?);
    let mut search = [Search::new(instance, SearchConfig { generations: 2, ..config.clone() }, 8)?];
    let mut recorder = [Recorder::new(8)];
    let outcome = run(&mut search, &mut Expert, &mut recorder).expect("the expert never fails").remove(0);
    let [recorder] = recorder;
    let mut trajectory = recorder.finish(&outcome).expect("recorded");
    trajectory.sampling = Some(SamplingCounts { well_formed: 3, fallback: 1, children: 4 });
    let changes = [
        (Origin::Learner, Parents::Two(0, 3), "(tan(inv(x0)) / 1e-300)", f32::INFINITY, Some(-3.5)),
        (Origin::Learner, Parents::None, "(x200 ** 3.25)", 0.125, None),
        (Origin::Fallback, Parents::One(2), "x0", 1e-30, None),
        (Origin::Injected, Parents::None, "exp(acos(x0))", 3e30, Some(0.0)),
    ];
    let exprs = changes.map(|change| change.2.parse::<Expr>().expect("an expression"));
    let mut builder = GenerationsBuilder::new(0);
    for record in trajectory.generations.iter() {
        let mut individuals: Vec<_> = record.individuals().collect();
        if record.generation == 1 {
            let changed = individuals[1..].iter_mut().zip(changes).zip(&exprs);
            for ((individual, (origin, parents, _, mse, log_prob)), expr) in changed {
                let fitness = if mse.is_finite() { -mse - 0.25 } else { -1e10 };
                *individual = IndividualRecord { expr, mse, fitness, origin, parents, edit: None, log_prob };
            }
        }
        builder.push(individuals, record.best_index, record.improved)?;
    }
    trajectory.generations = builder.build()?;
    Ok(trajectory)
}
