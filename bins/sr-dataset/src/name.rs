//! What the folder of a data set is called where nobody names one.

use sr_cli::output::{seed_in_name, short_number};
use sr_lab::dataset::Plan;
use sr_lab::sr_corpus::Mode;
use sr_lab::sr_problems::{GeneratorPreset, Provenance};

/// A folder's name that says what is in it.
pub(crate) fn of_plan(plan: &Plan) -> String {
    let short = |n: u64| short_number(n);
    let problems = match &plan.params().origin {
        Provenance::Random(params) => {
            let count = short(plan.problems());
            let mut name = match params.label().split_once('_') {
                Some((operators, complexity)) => format!("{operators}_{count}_{complexity}"),
                None => format!("{}_{count}", params.label()),
            };
            if params.preset != GeneratorPreset::E2e && params.max_variables != 3 {
                name += &format!("_v{}", params.max_variables);
            }
            if params.constants != [1.0] {
                name += &format!("_k{}", params.constants.len());
            }
            name
        }
        Provenance::Suite { name, .. } => name.clone(),
        _ => "problems".into(),
    };
    let searches = plan.search().map(|search| format!("gen{}_", short(search.config.generations.into())));
    let mode = plan.corpus().mode;
    let mode = if mode == Mode::OneStep { String::new() } else { format!("_{}", mode.name()) };
    format!("{}{problems}{mode}{}", searches.unwrap_or_default(), seed_in_name(plan.seed()))
}
