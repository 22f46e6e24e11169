//! A corpus of real searches, small enough for a test.

use std::path::Path;
use std::sync::Arc;

use sr_corpus::{Options, Problems, Shape, convert_problems, convert_trace};
use sr_engine::{Expert, Search, SearchConfig, run};
use sr_problems::{Generator, ProblemSet, RandomParams, SetParams, parse_operators};
use sr_trace::{Recorder, TraceHeader, TraceWriter};

/// Writes `problems.sr`, and corpora `train.sr` and `val.sr` in `onestep`, `autoregressive` and `direct`, into `folder`.
pub(crate) fn corpora(folder: &Path, n_problems: u32, generations: u32) {
    let params = RandomParams::arith(parse_operators("+,-,*").expect("operators"), vec![1.0], 0.5, 3);
    let generator = Generator::new(params.clone()).expect("settings");
    let problems: Vec<_> = (0..n_problems).map(|index| generator.problem(index).expect("a problem")).collect();
    let (operators, constants) = (problems[0].operators.clone(), problems[0].constants.clone());
    let set = SetParams { operators, constants, seed: 3, origin: sr_problems::Provenance::Random(params) };
    ProblemSet { params: set, problems: problems.clone() }.write(folder.join("problems.sr")).expect("written");

    let config = SearchConfig { generations, early_stop_mse: None, ..SearchConfig::basic() };
    let mut writer = None;
    for problem in &problems {
        let instance = Arc::new(problem.instance().expect("an instance"));
        let writer = writer.get_or_insert_with(|| {
            let header = TraceHeader::of_expert("problems.sr", instance.primitives(), &config, "basic", 3);
            TraceWriter::create(folder.join("trace.sr"), &header).expect("created")
        });
        let mut search = Search::new(instance, config.clone(), 3).expect("a search");
        let mut recorders = [Recorder::new(3)];
        let outcome = run(std::slice::from_mut(&mut search), &mut Expert, &mut recorders)
            .expect("the expert never fails")
            .remove(0);
        let [recorder] = recorders;
        writer.append(&recorder.finish(&outcome).expect("recorded")).expect("written");
    }
    writer.expect("there are problems").finish().expect("finished");

    let problems = Problems::open(folder.join("problems.sr")).expect("the set");
    let options = Options { val_fraction: 0.3, ..Options::default() };
    convert_trace(&folder.join("trace.sr"), &problems, &options, &folder.join("onestep"), || {}).expect("converted");
    let whole = Options { shape: Shape::WholeGeneration { fitness: true }, ..options.clone() };
    let folder_of_whole = folder.join("autoregressive");
    convert_trace(&folder.join("trace.sr"), &problems, &whole, &folder_of_whole, || {}).expect("converted");
    convert_problems(&problems, &options, &folder.join("direct"), || {}).expect("converted");
}
