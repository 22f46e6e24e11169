//! Traces.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sr_engine::{Origin, StopReason};
use sr_expr::Tree;
use sr_trace::{Candidates, TraceReader, Trajectory};

use crate::view::{Contexts, Record, Spread, View, ellipsis, short, table};

pub(crate) struct Trace {
    reader: TraceReader,
    file_bytes: u64,
    trajectories: u64,
    generations: Spread,
    individuals: u64,
    stops: BTreeMap<&'static str, u64>,
    origins: [u64; Origin::ALL.len()],
    sizes: Spread,
    first_diversity: Spread,
    last_diversity: Spread,
    children: u64,
    well_formed: u64,
    label_sets: BTreeMap<String, u64>,
    labels: u64,
}

impl Trace {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Trace {
            reader: TraceReader::open(path)?,
            file_bytes: std::fs::metadata(path)?.len(),
            trajectories: 0,
            generations: Spread::default(),
            individuals: 0,
            stops: BTreeMap::new(),
            origins: Default::default(),
            sizes: Spread::default(),
            first_diversity: Spread::default(),
            last_diversity: Spread::default(),
            children: 0,
            well_formed: 0,
            label_sets: BTreeMap::new(),
            labels: 0,
        })
    }

    fn count(&mut self, trajectory: &Trajectory) {
        self.trajectories += 1;
        self.generations.add(trajectory.generations.len() as f64);
        *self.stops.entry(trajectory.stop.name()).or_default() += 1;
        for individual in trajectory.generations.iter().flat_map(|record| record.individuals()) {
            self.individuals += 1;
            self.origins[individual.origin as usize] += 1;
            self.sizes.add(individual.expr.size() as f64);
        }
        if trajectory.generations.len() > 1 {
            self.first_diversity.add(trajectory.generations.first().diversity());
            self.last_diversity.add(trajectory.generations.last().diversity());
        }
        if let Some(counts) = trajectory.sampling {
            self.children += counts.children;
            self.well_formed += counts.well_formed;
        }
        for set in &trajectory.labels {
            *self.label_sets.entry(format!("{} of {}", set.mode, set.source)).or_default() += 1;
            self.labels += set.states.iter().map(|state| state.children.len() as u64).sum::<u64>();
        }
    }
}

impl View for Trace {
    type Record = Trajectory;
    const KIND: &'static str = "trace";
    const COLUMNS: &'static [&'static str] =
        &["problem", "# seed", "# generations", "stop", "# best mse", "# size", "best expression"];

    fn format_version(&self) -> u32 {
        self.reader.header().version()
    }

    fn header(&self) -> Value {
        serde_json::to_value(self.reader.header()).expect("a header is plain data")
    }

    fn is_finished(&self) -> bool {
        self.reader.stated_records().is_some()
    }

    fn next_record(&mut self) -> anyhow::Result<Option<Trajectory>> {
        let record = self.reader.next_trajectory()?;
        if let Some(trajectory) = &record {
            self.count(trajectory);
        }
        Ok(record)
    }

    fn statistics(&self) -> Vec<(&'static str, Value)> {
        let share = |n: u64, of: u64| n as f64 / of as f64;
        let origins = Origin::ALL.iter().zip(self.origins).filter(|(_, n)| *n > 0);
        let origins: BTreeMap<&str, f64> =
            origins.map(|(origin, n)| (origin.name(), share(n, self.individuals))).collect();
        let mut statistics = vec![
            ("trajectories", json!(self.trajectories)),
            ("generations", self.generations.json()),
            ("individuals", json!(self.individuals)),
            ("stop reasons", json!(self.stops)),
            ("origins", json!(origins)),
            ("sizes", self.sizes.json()),
            ("first diversity", self.first_diversity.json()),
            ("last diversity", self.last_diversity.json()),
        ];
        if self.children > 0 {
            statistics.push(("well formed", json!(share(self.well_formed, self.children))));
        }
        if self.labels > 0 {
            statistics.push(("label sets", json!(self.label_sets)));
            statistics.push(("labels", json!(self.labels)));
        }
        if self.individuals > 0 {
            statistics.push(("bytes per individual", json!(share(self.file_bytes, self.individuals))));
        }
        statistics
    }
}

impl Record for Trajectory {
    fn id(&self) -> &str {
        &self.problem_id
    }

    fn row(&self) -> Vec<String> {
        let progression = self.best_progression();
        let (mse, expr) = match progression.last() {
            Some(best) => (best.mse, best.expr),
            None => {
                let best = self.generations.first().best();
                (best.mse, best.expr)
            }
        };
        vec![
            self.problem_id.clone(),
            self.seed.to_string(),
            self.generations.len().to_string(),
            self.stop.name().into(),
            short(mse.into()),
            expr.size().to_string(),
            ellipsis(&expr.to_string()),
        ]
    }

    fn contexts(&self, contexts: &Contexts) -> anyhow::Result<Vec<String>> {
        let text = |generation| contexts.text(&self.problem_id, generation, Some(&self.primitives));
        self.generations.iter().map(|record| text(record.generation)).collect()
    }

    fn json(&self) -> Value {
        let text = |expr: &Tree| expr.to_string();
        let lineage = self.lineage();
        let progression: Vec<Value> = self
            .best_progression()
            .iter()
            .map(|step| json!({ "generation": step.generation, "expression": text(step.expr), "mse": step.mse }))
            .collect();
        let generations = self.generations.iter().zip(lineage).map(|(record, lineage)| {
            let each = || record.individuals();
            let mut value = json!({
                "generation": record.generation,
                "expressions": each().map(|i| text(i.expr)).collect::<Vec<_>>(),
                "fitnesses": each().map(|i| i.fitness).collect::<Vec<_>>(),
                "mses": each().map(|i| i.mse).collect::<Vec<_>>(),
                "origins": each().map(|i| i.origin.name()).collect::<Vec<_>>(),
                "parents": each().map(|i| i.parents.iter().collect::<Vec<_>>()).collect::<Vec<_>>(),
                "best_index": record.best_index,
                "lineage": lineage,
                "diversity": record.diversity(),
            });
            if let Some(labels) = self.dagger_labels(record.generation) {
                let each = || labels.children.iter();
                value["dagger_expressions"] = each().map(|label| text(label.child.expr)).collect();
                value["dagger_gains"] = each().map(|label| label.gain_best).collect();
                if let Some(Candidates { drawn, distinct, improving, gains }) = labels.children.candidates {
                    let gains = Some(gains).filter(|gains| gains.iter().all(|gain| gain.is_finite()));
                    value["dagger_candidates"] =
                        json!({ "drawn": drawn, "distinct": distinct, "improving": improving, "gains": gains });
                }
            }
            value
        });
        json!({
            "problem_id": self.problem_id,
            "seed": self.seed,
            "operators": self.primitives.ops().iter().map(|op| op.name()).collect::<Vec<_>>(),
            "constants": self.primitives.constants(),
            "variables": self.primitives.n_variables(),
            "stop_reason": self.stop.name(),
            "stop_limit": stop_limit(self.stop),
            "evaluations": self.evaluations.search,
            "duplicates": self.evaluations.duplicates,
            "proposals": self.evaluations.proposals,
            "sampling": self.sampling,
            "label_sets": self.labels.iter().map(|set| json!({
                "mode": set.mode,
                "source": set.source,
                "params": set.params,
                "states": set.states.len(),
            })).collect::<Vec<_>>(),
            "best_progression": progression,
            "generations": generations.collect::<Vec<_>>(),
        })
    }

    fn detail(&self) -> String {
        let lineage = self.lineage();
        let rows = self.generations.iter().zip(lineage).map(|(record, lineage)| {
            let best = record.best();
            vec![
                record.generation.to_string(),
                short(best.mse.into()),
                short(best.fitness.into()),
                short(record.diversity()),
                lineage.len().to_string(),
                self.dagger_labels(record.generation).map_or(0, |state| state.children.len()).to_string(),
                format!("{}{}", best.expr, if record.improved { "  *" } else { "" }),
            ]
        });
        let rows = table(
            &["# generation", "# best mse", "# fitness", "# diversity", "# ancestors", "# labels", "best (* new)"],
            rows.collect(),
        );
        let (problem, seed, stop) = (&self.problem_id, self.seed, self.stop.name());
        format!("problem {problem}, seed {seed}, ended: {stop}\n\n{rows}")
    }
}

/// The number that belongs to a stop reason.
fn stop_limit(stop: StopReason) -> Value {
    match stop {
        StopReason::Solved { mse } => json!(mse),
        StopReason::Generations(limit) => json!(limit),
        StopReason::Evaluations(limit) => json!(limit),
        StopReason::TimeLimit(limit) => json!(limit.as_secs_f64()),
        StopReason::Exhausted | StopReason::Observer => Value::Null,
    }
}
