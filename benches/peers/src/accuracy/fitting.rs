//! Our `sr_lab::fit`, what `sr-fit` runs, as a method.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context;
use sr_expr::{Columns, Op, Semantics};
use sr_lab::fit::{FitOptions, Fitted, Fitting, Part, Reason};
use sr_lab::sr_neural::{Learner, Sampling};
use sr_problems::{Problem, Sampler};

use super::wire::{Candidate, Report, Request};
use super::{Method, Syntax};
use crate::machine;

/// Fits tables as `sr-fit` does, with its defaults beside operators, seconds, threads and seed.
#[derive(Debug)]
pub struct Fit {
    version: String,
    without: BTreeSet<Part>,
    max_work: Option<u64>,
    /// What proposes formulas too, and the share of the work that it may take.
    learner: Option<(Learner, f64)>,
}

impl Fit {
    /// Makes the method; its version is the commit and a checksum of the running program.
    ///
    /// - without: the parts that are left out
    /// - max_work: the budget in node · rows, beside the seconds
    pub fn new(without: BTreeSet<Part>, max_work: Option<u64>) -> Self {
        let mut version = machine::program_version();
        for part in &without {
            version += &format!(", without {}", part.name());
        }
        if let Some(work) = max_work {
            version += &format!(", work {work}");
        }
        Fit { version, without, max_work, learner: None }
    }

    /// Lets the learner of a checkpoint propose formulas, for at most this share of the work: the method `learner`.
    ///
    /// # Errors
    /// Returns an error if the checkpoint cannot be loaded.
    pub fn with_learner(self, checkpoint: &Path, share: f64) -> anyhow::Result<Self> {
        let sampling = Sampling { max_child_size: FitOptions::default().max_size, ..Sampling::default() };
        let learner = sr_lab::learner::open(checkpoint, "cpu", sampling)?;
        let id = sr_lab::sr_neural::checkpoint_id(checkpoint)?;
        let version = format!("{}, {share} of {id}", self.version);
        Ok(Fit { version, learner: Some((learner, share)), ..self })
    }
}

impl Method for Fit {
    fn name(&self) -> &str {
        if self.learner.is_some() { "learner" } else { "ours" }
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn syntax(&self) -> Syntax {
        Syntax::Ours
    }

    fn fit(&mut self, request: &Request, on_report: &mut dyn FnMut(Report)) -> anyhow::Result<()> {
        let started = Instant::now();
        let problem = problem(request)?;
        let options = FitOptions {
            seed: request.seed,
            threads: request.threads,
            operators: problem.operators.clone(),
            time_limit: Some(Duration::from_secs_f64(request.seconds)),
            max_work: self.max_work,
            without: self.without.clone(),
            policy_share: self.learner.as_ref().map_or(FitOptions::default().policy_share, |(_, share)| *share),
            ..FitOptions::default()
        };
        // What the model cannot read is fitted without it, as sr-fit does.
        let n_variables = problem.x.n_columns();
        let mut learner = self.learner.as_mut().map(|(learner, _)| learner);
        learner.take_if(|learner| learner.check_variables(n_variables).is_err());
        let never = AtomicBool::new(false);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(request.threads).build().context("threads")?;
        pool.in_place_scope(|_| {
            let mut fitting = Fitting::new(&problem, &options)?;
            let mut revision = None;
            let mut advance = |fitting: &mut Fitting| match &mut learner {
                Some(learner) => fitting.advance_with(started, &never, &mut **learner),
                None => fitting.advance(started, &never),
            };
            while pool.install(|| advance(&mut fitting))? {
                if revision.replace(fitting.revision()) != Some(fitting.revision()) {
                    on_report(report(&fitting.fitted(), started));
                }
            }
            on_report(Report { end: true, ..report(&fitting.fitted(), started) });
            Ok(())
        })
    }
}

fn problem(request: &Request) -> anyhow::Result<Problem> {
    let op = |name: &&str| Op::from_name(name).with_context(|| format!("no operator {name}"));
    Ok(Problem {
        id: request.id.clone(),
        source: None,
        semantics: Semantics::Ieee,
        x: Columns::new(request.y.len(), request.columns.len(), request.columns.concat()),
        y: request.y.clone(),
        weights: None,
        operators: request.operators.iter().map(op).collect::<anyhow::Result<_>>()?,
        constants: request.constants.clone(),
        sampler: Sampler::Fixed,
        seed: 0,
    })
}

fn report(fitted: &Fitted, started: Instant) -> Report {
    let text = |expr: &sr_expr::Expr| expr.display(fitted.semantics).to_string();
    let candidate = |formula: &sr_lab::fit::FrontFormula| Candidate {
        formula: text(&formula.expr),
        size: formula.expr.size() as f64,
        error: formula.fit.mse,
    };
    Report {
        seconds: started.elapsed().as_secs_f64(),
        front: fitted.front.iter().map(candidate).collect(),
        chosen: Some(text(&fitted.chosen().expr)),
        claims_exact: Some(fitted.reason == Reason::Exact),
        end: false,
    }
}
