//! The whole loop in a page: problems of one's own, the expert's traces, a round of DAgger, and a comparison.
//!
//! ```text
//! cargo run --release --manifest-path examples/lab/Cargo.toml -- FOLDER
//! ```

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use sr_lab::evaluate::{Evaluation, Learning, Method, Rows, policies};
use sr_lab::record::{self, Recording, Searcher};
use sr_lab::sr_engine::SearchConfig;
use sr_lab::tasks::{self, RoundsOptions, Run, formula};
use sr_lab::{Monitor, sr_dagger, sr_eval, sr_neural, sr_problems, sr_train};

const LAWS: &str = "x0*x0*x1 + x1\nx0*x1 - x0*x0*x0\nx0*x0 + x1*x1 - x0\nx0*x0*x0 + x0*x0 + x1\n";

fn main() -> anyhow::Result<()> {
    let out = PathBuf::from(std::env::args().nth(1).unwrap_or("lab-example".to_owned()));
    std::fs::create_dir_all(&out)?;

    // Problems: formulas, one a line, and 50 points of each.
    std::fs::write(out.join("laws.txt"), LAWS)?;
    let options = sr_problems::FormulaOptions { points: 50, ..Default::default() };
    let set = sr_problems::from_formulas(&out.join("laws.txt"), &options)?;
    set.write(out.join("problems.sr"))?;

    // The expert searches each of them three times; every generation is recorded.
    let config = SearchConfig { generations: 30, extra_generations: 0, ..SearchConfig::basic() };
    let (jobs, trace) = (record::jobs(&set, 0..3)?, out.join("expert.sr"));
    let header = record::header("problems.sr", &set, &config, "basic", 0)?;
    let recording = Recording { out: &trace, header: &header, config: &config, jobs: &jobs, batch: 64 };
    recording.begin()?.run(&mut Searcher::Expert, &mut Monitor::none(), &mut |_| ())?;

    // DAgger: the expert acts in the first round, the learner in the second, and the expert labels the states of both.
    let model = "mode = 'one-step'\n[model]\npreset = 'micro'\n[training]\nwarmup_steps = 5\neval_batches = 1\n";
    let problems = Some(out.join("problems.sr"));
    let milestone =
        formula::Milestone { problems, eval_suite: Some("simple".into()), ..formula::Milestone::new("laws") };
    let amount = sr_dagger::Amount::Steps { steps: 40, batch: 8 };
    let rounds = RoundsOptions {
        dagger_iterations: 2,
        episodes_per_iter: 8,
        eval_episodes: 5,
        amount,
        hidden_dim: 64,
        min_success_rate: 0.0,
        ..Default::default()
    };
    let sampling = sr_neural::Sampling { max_child_size: 25, ..Default::default() };
    let train = sr_train::TrainConfig::from_toml(model)?;
    let options = formula::FormulaOptions {
        rounds,
        search: config.clone(),
        sampling,
        ..formula::FormulaOptions::new(vec![milestone], train)
    };
    let stop = AtomicBool::new(false);
    let run = Run::new(out.join("dagger"));
    tasks::run(&mut formula::Formula::new(options, &stop)?, &run, &mut |_| ())?;

    // Expert and learner on a suite that neither was trained on.
    let suite = sr_problems::suite("simple", 1)?;
    let learner = format!("learner=neural:{}", run.out.join("models/laws/best").display());
    let methods =
        ["expert", &learner].map(|method| method.parse::<Method>()).into_iter().collect::<Result<Vec<_>, _>>();
    let methods = methods.map_err(anyhow::Error::msg)?;
    let learning = Learning { device: "cpu", sampling, mode: None, share: None };
    let mut rows = Rows::in_memory();
    let evaluation = Evaluation { seeds: 2, ..Evaluation::new(&suite, &methods, &config) };
    let _ended =
        evaluation.plan()?.run(&mut policies(&methods, &suite, &learning)?, &mut rows, &mut Monitor::none())?;
    println!("{}", sr_eval::summary_table(&sr_eval::summarise(rows.rows(), 0)));
    Ok(())
}
