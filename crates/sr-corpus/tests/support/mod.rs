//! Searches to convert.

use std::path::Path;
use std::sync::Arc;

use sr_engine::{Policy, Search, SearchConfig, run};
use sr_problems::{Generator, RandomParams};
use sr_trace::{Recorder, TraceHeader, TraceWriter};

/// Makes `problems.sr`, random problems of `params`, and `trace.sr`, a search of each by `policy`.
pub(crate) fn searches(
    folder: &Path,
    params: RandomParams,
    n_problems: u32,
    generations: u32,
    policy: &mut impl Policy,
) {
    let set = Generator::new(params).expect("settings").generate(n_problems, || ()).expect("problems");
    set.write(folder.join("problems.sr")).expect("written");
    let config = SearchConfig { generations, early_stop_mse: None, ..SearchConfig::basic() };
    let mut writer = None;
    for problem in &set.problems {
        let instance = Arc::new(problem.instance().expect("an instance"));
        let writer = writer.get_or_insert_with(|| {
            let header = TraceHeader::of_expert("problems.sr", instance.primitives(), &config, "basic", 3);
            TraceWriter::create(folder.join("trace.sr"), &header).expect("created")
        });
        let mut search = [Search::new(instance, config.clone(), 3).expect("a search")];
        let mut recorders = [Recorder::new(3)];
        let outcome = run(&mut search, policy, &mut recorders).expect("the expert never fails").remove(0);
        let [recorder] = recorders;
        writer.append(&recorder.finish(&outcome).expect("recorded")).expect("written");
    }
    writer.expect("there are problems").finish().expect("finished");
}
