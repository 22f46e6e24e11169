//! One law for many groups of rows, such as experiments, whose constants may differ from group to group.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use rayon::prelude::*;
use sr_engine::random::{Key, Purpose, problem_key};
use sr_engine::{ConstantFitter, ConstantRole, GroupFitter, GroupRows, Instance, Loss, LossChoice, PrimitiveSet};
use sr_enumerate::snapped;
use sr_expr::{Columns, Expr, Node, Op, Semantics, Tree};
use sr_problems::Problem;

use super::choice::{AS_GOOD, ROUNDING, description_length};
use super::{FitOptions, LAST_STEPS, Part, Reason, fit};
use crate::Monitor;

/// Groups in which forms are looked for, the largest first, and the fewest rows of such a group.
const SEARCHED: usize = 3;
const FEWEST_ROWS: usize = 8;
/// The share of the time in which forms are looked for; the other is for their constants.
const SEARCHING: f64 = 0.7;
/// Groups in which all forms are tried, and the steps there.
const TRIED: usize = 8;
const TRIED_STEPS: u32 = 15;
/// Forms whose constants are fitted in every group, those that promise the shortest descriptions.
const FORMS: usize = 16;
/// Further starts of a group's constants.
const RESTARTS: u32 = 6;
/// Steps of a fit of all groups together.
const JOINT_STEPS: u32 = 60;
/// Fewest rows of a table of which some are held out, and of a group; one row in so many is.
const FEWEST_TO_HOLD_OUT: usize = 60;
const HELD_OUT_EACH: usize = 5;
/// Constants that all groups share are off by no more than this from the round number that takes their place, and the
/// loss may grow by that share.
const NEAR: f64 = 1e-3;
const AS_GOOD_AS_BEFORE: f64 = 1.0 + 1e-6;

/// A law over groups of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupFormula {
    /// The law. Variables beyond those of the problem are the groups' own constants, in the order of `constants`.
    pub expr: Expr,
    /// The own constants of each group, `[groups, own constants]`.
    pub constants: Vec<Vec<f64>>,
    /// The size: the number of nodes, unless some of them count more.
    pub size: usize,
    /// Whether it is right on every row, see [`Instance::is_exact`].
    pub is_exact: bool,
    /// The errors over all rows.
    pub all: GroupError,
    /// The same over the rows that nothing was fitted to; `None` if there are none.
    pub held_out: Option<GroupError>,
    /// The mean loss of each group, `[groups]`.
    pub losses: Vec<f64>,
}

impl GroupFormula {
    /// Returns the number of constants that each group has of its own.
    pub fn n_own(&self) -> usize {
        self.constants.first().map_or(0, Vec::len)
    }
}

/// How well a law fits rows of groups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupError {
    /// The weighted mean loss, lower is better.
    pub loss: f64,
    /// The same relative to that of the best constant for all rows: 1 − R², or 1 − D² of another loss than squares.
    pub relative: f64,
}

/// What was found for groups of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupFitted {
    /// The groups, in the order of their first rows.
    pub groups: Vec<String>,
    /// The number of rows of each.
    pub rows: Vec<usize>,
    /// The laws, the smallest first. Each fits the rows that were fitted better than all before it.
    pub front: Vec<GroupFormula>,
    /// The index of the chosen one.
    pub choice: usize,
    /// The reason for the choice.
    pub reason: Reason,
    /// The name of the loss; `None` for the mean squared error.
    pub loss: Option<String>,
    /// The number of variables of the problem.
    pub n_variables: usize,
    /// The meaning of the operators.
    pub semantics: Semantics,
    /// Rows that nothing was fitted to.
    pub n_held_out: usize,
    /// The whole epochs of evolution, of all searches together.
    pub epochs: u32,
    /// Whether the monitor stopped the search.
    pub is_stopped: bool,
}

impl GroupFitted {
    /// Returns the chosen law.
    pub fn chosen(&self) -> &GroupFormula {
        &self.front[self.choice]
    }

    /// Returns the names of all variables of a law: those of the problem, and c0, c1, … for the groups' own constants, or
    /// k0, … where a variable is called so.
    pub fn names(&self, variables: &[String]) -> Vec<String> {
        let most = self.front.iter().map(GroupFormula::n_own).max().unwrap_or(0);
        let named = |prefix: &str| (0..most).map(|index| format!("{prefix}{index}")).collect::<Vec<String>>();
        let is_free = |names: &Vec<String>| names.iter().all(|name| !variables.contains(name));
        let own = ["c", "k", "own_", "own_constant_"].into_iter().map(named).find(is_free);
        variables.iter().cloned().chain(own.unwrap_or_else(|| named("constant_of_group_"))).collect()
    }

    /// Returns the predictions of a law for rows of known groups, `[rows]`.
    ///
    /// # Errors
    /// Names the first row whose group the law was not fitted to.
    pub fn predict(&self, law: &GroupFormula, x: &Columns, groups: &[String]) -> anyhow::Result<Vec<f64>> {
        ensure!(x.n_rows() == groups.len(), "{} rows have {} groups", x.n_rows(), groups.len());
        let numbers: HashMap<&str, usize> =
            self.groups.iter().enumerate().map(|(number, label)| (label.as_str(), number)).collect();
        let number = |(row, label): (usize, &String)| {
            let known = || {
                let mut shown: Vec<&str> = self.groups.iter().take(10).map(String::as_str).collect();
                shown.extend((self.groups.len() > 10).then_some("…"));
                format!("row {}: there is no group {label:?} among those of the fit: {}", row + 1, shown.join(", "))
            };
            numbers.get(label.as_str()).copied().with_context(known)
        };
        let numbers = groups.iter().enumerate().map(number).collect::<anyhow::Result<Vec<usize>>>()?;
        Ok(predict_groups(&law.expr, &law.constants, x, &numbers, self.semantics))
    }

    /// Returns whether the chosen law is better than the mean of all rows.
    pub fn is_better_than_mean(&self) -> bool {
        let law = self.chosen();
        law.held_out.unwrap_or(law.all).relative < 1.0
    }
}

/// Returns the values of a law whose last variables are constants of the groups, `[rows]`.
///
/// - constants: those of each group, `[groups, own constants]`
/// - x: the other variables, `[rows, variables]`
/// - groups: the group of each row as its place among the constants, `[rows]`
///
/// # Panics
/// If there are not as many groups as rows, or one of them has no constants.
pub fn predict_groups(
    expr: &Expr,
    constants: &[Vec<f64>],
    x: &Columns,
    groups: &[usize],
    semantics: Semantics,
) -> Vec<f64> {
    sr_expr::predict(expr, &with_own(x, constants, groups), semantics)
}

/// The columns of variables, and those of the constants that the group of each row has.
fn with_own(x: &Columns, constants: &[Vec<f64>], groups: &[usize]) -> Columns {
    let n_own = constants.first().map_or(0, Vec::len);
    Columns::from_fn(x.n_rows(), x.n_columns() + n_own, |row, column| match column.checked_sub(x.n_columns()) {
        None => x.column(column)[row],
        Some(own) => constants[groups[row]][own],
    })
}

/// Rows by their groups.
struct Groups {
    labels: Vec<String>,
    rows: Vec<Vec<usize>>,
    /// The number of each row's group.
    numbers: Vec<usize>,
    /// Whether each row is held out.
    is_held_out: Vec<bool>,
}

impl Groups {
    fn new(problem: &Problem, of_rows: &[String]) -> anyhow::Result<Self> {
        ensure!(of_rows.len() == problem.y.len(), "{} rows have {} groups", problem.y.len(), of_rows.len());
        let (mut labels, mut rows): (Vec<String>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for (row, label) in of_rows.iter().enumerate() {
            let number = *numbers.entry(label).or_insert_with(|| {
                labels.push(label.clone());
                rows.push(Vec::new());
                labels.len() - 1
            });
            rows[number].push(row);
        }
        ensure!(labels.len() > 1, "all rows are of the group {:?}; a fit without groups is the same", labels[0]);
        ensure!(labels.len() < of_rows.len(), "every row is a group of its own, so a law has nothing to explain");
        if let Some(weights) = &problem.weights {
            let is_empty = |rows: &&Vec<usize>| rows.iter().all(|&row| weights[row] == 0.0);
            if let Some(empty) = rows.iter().position(|rows| is_empty(&rows)) {
                bail!("all rows of the group {:?} have a weight of 0; leave them out", labels[empty]);
            }
        }
        let mut is_held_out = vec![false; of_rows.len()];
        for rows in rows.iter().filter(|rows| of_rows.len() >= FEWEST_TO_HOLD_OUT && rows.len() >= HELD_OUT_EACH) {
            // By y, so that every part spans its range; the middle one of five, so that its ends are fitted.
            let mut order = rows.clone();
            order.sort_by(|&a, &b| problem.y[a].total_cmp(&problem.y[b]).then(a.cmp(&b)));
            let held = order.iter().skip(HELD_OUT_EACH / 2).step_by(HELD_OUT_EACH);
            held.for_each(|&row| is_held_out[row] = true);
        }
        let numbers = of_rows.iter().map(|label| numbers[label.as_str()]).collect();
        Ok(Groups { labels, rows, numbers, is_held_out })
    }

    /// The rows of each group that are in a part.
    fn part(&self, is_in: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
        self.rows.iter().map(|rows| rows.iter().copied().filter(|&row| is_in(row)).collect()).collect()
    }
}

/// A form with the constants of all groups.
struct Law {
    form: Expr,
    roles: Vec<ConstantRole>,
    /// `[groups, constants of the form]`
    constants: Vec<Vec<f64>>,
    /// On the training rows.
    loss: f64,
}

/// What laws are fitted to and measured by.
struct Task<'a> {
    options: &'a FitOptions,
    loss: Option<std::sync::Arc<dyn Loss>>,
    /// The training rows of each group.
    groups: Vec<Instance>,
    training: GroupFitter,
    n_training: usize,
    /// The loss of the best constant for all rows.
    baseline: f64,
    id: u64,
}

/// Looks for one law behind all rows, with constants that may differ between groups: `groups` tells which each row
/// belongs to.
///
/// Forms are looked for in the largest groups, each by itself, and in all rows together. The constants of each form are
/// fitted in every group. Then constants become shared by all groups, one after the other, where the law with its errors
/// takes fewer words to tell so.
///
/// The monitor's progress is told in thousandths.
///
/// # Errors
/// If the options are out of range, the data cannot be searched, there is but one group, or there is no law.
pub fn fit_groups(
    problem: &Problem,
    groups: &[String],
    options: &FitOptions,
    monitor: &mut Monitor<'_>,
) -> anyhow::Result<GroupFitted> {
    let started = Instant::now();
    let split = Groups::new(problem, groups)?;
    let loss = options.loss.for_rows(&problem.x, &problem.y).context("the loss")?;
    let all_rows: Vec<usize> = (0..problem.y.len()).collect();
    let all = instance(problem, &all_rows, options, loss.as_ref())?;
    let constant = sr_engine::fit_constants(&Expr::constant(0.0), &all, Semantics::Ieee, LAST_STEPS).0;
    let baseline = Some(all.fit(&constant, Semantics::Ieee).loss).filter(|loss| *loss > 0.0).unwrap_or(1.0);
    let training = split.part(|row| !split.is_held_out[row]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.max(1)).build().context("threads")?;
    let task = Task {
        options,
        loss: loss.clone(),
        groups: training
            .iter()
            .map(|rows| instance(problem, rows, options, loss.as_ref()))
            .collect::<anyhow::Result<_>>()?,
        training: GroupFitter::new(training.iter().map(|rows| group_rows(problem, rows)).collect(), loss.clone()),
        n_training: training.iter().map(Vec::len).sum(),
        baseline,
        id: problem_key(&problem.id),
    };

    let (forms, epochs) = search(problem, &split, &training, &task, monitor)?;
    let left = options.time_limit.map(|limit| limit.saturating_sub(started.elapsed()));
    let laws = pool.install(|| task.laws(&forms, options.guesses.len(), left.map(|left| Instant::now() + left)));
    monitor.advance(1000 - (1000.0 * SEARCHING) as u64);

    let held = split.part(|row| split.is_held_out[row]);
    let n_held_out = held.iter().map(Vec::len).sum();
    let fitter = |rows: &[Vec<usize>]| {
        GroupFitter::new(rows.iter().map(|rows| group_rows(problem, rows)).collect(), loss.clone())
    };
    let (mut whole, mut held_out) = (fitter(&split.rows), (n_held_out > 0).then(|| fitter(&held)));
    let mut front: Vec<(GroupFormula, f64)> = Vec::new();
    for law in &laws {
        let error = |loss: f64| GroupError { loss, relative: loss / baseline };
        let (expr, constants) = (law.written(problem.x.n_columns()), law.own());
        let x = with_own(&problem.x, &constants, &split.numbers);
        let of_rows = Problem { x, ..problem.clone() };
        let formula = GroupFormula {
            is_exact: instance(&of_rows, &all_rows, options, loss.as_ref())?.is_exact(&expr, Semantics::Ieee),
            expr,
            constants,
            size: options.rules.complexity.of(&law.form),
            all: error(whole.loss(&law.form, Semantics::Ieee, &law.constants)),
            held_out: held_out.as_mut().map(|rows| error(rows.loss(&law.form, Semantics::Ieee, &law.constants))),
            losses: whole.losses(&law.form, Semantics::Ieee, &law.constants),
        };
        front.push((formula, task.length(law)));
    }
    ensure!(!front.is_empty(), "no law was found that keeps the rules and has a value in every row of all groups");
    let (choice, reason) = task.choose(&front);
    Ok(GroupFitted {
        groups: split.labels,
        rows: split.rows.iter().map(Vec::len).collect(),
        front: front.into_iter().map(|(formula, _)| formula).collect(),
        choice,
        reason,
        loss: loss.map(|loss| loss.name()),
        n_variables: problem.x.n_columns(),
        semantics: Semantics::Ieee,
        n_held_out,
        epochs,
        is_stopped: monitor.is_stopped(),
    })
}

/// Looks for forms in the largest groups and in all rows, and returns them with the epochs that this took.
fn search(
    problem: &Problem,
    split: &Groups,
    training: &[Vec<usize>],
    task: &Task<'_>,
    monitor: &mut Monitor<'_>,
) -> anyhow::Result<(Vec<Expr>, u32)> {
    let options = task.options;
    let mut order: Vec<usize> = (0..training.len()).filter(|&group| training[group].len() >= FEWEST_ROWS).collect();
    order.sort_by_key(|&group| (std::cmp::Reverse(training[group].len()), group));
    // A group may have one class only, of which nothing is to be learned.
    let can_be_searched = |rows: &[usize]| {
        let y: Vec<f64> = rows.iter().map(|&row| problem.y[row]).collect();
        task.loss.as_ref().is_none_or(|loss| loss.check(&y).is_ok())
    };
    let mut parts: Vec<(String, Vec<usize>)> = order
        .into_iter()
        .filter(|&group| can_be_searched(&training[group]))
        .take(SEARCHED)
        .map(|group| (format!("{}/{}", problem.id, split.labels[group]), training[group].clone()))
        .collect();
    let mut pooled: Vec<usize> = training.iter().flatten().copied().collect();
    pooled.sort_unstable();
    parts.push((problem.id.clone(), pooled));
    let n_parts = parts.len() as u32;
    let share = FitOptions {
        time_limit: options.time_limit.map(|limit| limit.mul_f64(SEARCHING) / n_parts),
        algebra_work: options.algebra_work / u64::from(n_parts),
        max_work: options.max_work.map(|most| most / u64::from(n_parts)),
        loss: task.loss.as_ref().map_or(LossChoice::Mse, |loss| LossChoice::Own(loss.clone())),
        ..options.clone()
    };
    // Guesses are the first ones, and differ from all others.
    let (mut forms, mut epochs, mut failure) = (options.guesses.clone(), 0, None);
    let mut skeletons: BTreeSet<_> = forms.iter().map(|guess| guess.skeleton()).collect();
    for (id, rows) in parts {
        let part = Problem { id, ..picked(problem, &rows) };
        let stop = monitor.stop();
        match fit(&part, &share, &mut Monitor::new(stop, |_| ())) {
            Ok(found) => {
                epochs += found.epochs;
                for formula in found.front {
                    forms.extend(variants(formula.expr).into_iter().filter(|form| skeletons.insert(form.skeleton())));
                }
            }
            // Rules may leave nothing for a group that there is for another.
            Err(error) => failure = Some(error),
        }
        monitor.advance((1000.0 * SEARCHING) as u64 / u64::from(n_parts));
    }
    let is_allowed = |form: &Expr| options.rules.allow(form) && options.rules.complexity.of(form) <= options.max_size;
    let found = forms.split_off(options.guesses.len()).into_iter().filter(is_allowed).collect::<Vec<Expr>>();
    match failure {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok((forms.into_iter().chain(found).collect(), epochs)),
    }
}

/// A form, and the same with a factor or an offset: that of the group in which it was found may have been 1 or 0.
fn variants(form: Expr) -> Vec<Expr> {
    let with = |op: Op, value: f64| {
        let has_it = form.nodes().last() == Some(&Node::Op(op)) && {
            let right = form.size() - 2;
            let left = form.subtree_start(right).checked_sub(1);
            [Some(right), left].into_iter().flatten().any(|node| matches!(form.nodes()[node], Node::Const(_)))
        };
        (!has_it).then(|| Expr::binary(op, &form, &Expr::constant(value)))
    };
    let more = [with(Op::Mul, 1.0), with(Op::Add, 0.0)];
    std::iter::once(form.clone()).chain(more.into_iter().flatten()).collect()
}

/// These rows of a problem.
fn picked(problem: &Problem, rows: &[usize]) -> Problem {
    let GroupRows { x, y, weights } = group_rows(problem, rows);
    Problem { x, y, weights, ..problem.clone() }
}

fn group_rows(problem: &Problem, rows: &[usize]) -> GroupRows {
    let pick = |values: &[f64]| rows.iter().map(|&row| values[row]).collect::<Vec<f64>>();
    GroupRows {
        x: Columns::from_fn(rows.len(), problem.x.n_columns(), |row, column| problem.x.column(column)[rows[row]]),
        y: pick(&problem.y),
        weights: problem.weights.as_deref().map(pick),
    }
}

fn instance(
    problem: &Problem,
    rows: &[usize],
    options: &FitOptions,
    loss: Option<&std::sync::Arc<dyn Loss>>,
) -> anyhow::Result<Instance> {
    let GroupRows { x, y, weights } = group_rows(problem, rows);
    let n_variables = u16::try_from(x.n_columns()).unwrap_or(u16::MAX);
    let primitives = PrimitiveSet::new(options.operators.clone(), vec![1.0], n_variables)?;
    let mut instance = Instance::new(&problem.id, x, y, primitives).context("the rows cannot be searched")?;
    if let Some(weights) = weights.filter(|weights| weights.iter().any(|&weight| weight > 0.0)) {
        instance = instance.with_weights(weights)?;
    }
    match loss {
        Some(loss) => Ok(instance.with_checked_loss(loss.clone())?),
        None => Ok(instance),
    }
}

impl Task<'_> {
    /// The best law of each size, the smallest first, each better than all before it on the training rows. The first
    /// forms are guesses, whose constants are fitted in any case.
    fn laws(&self, forms: &[Expr], n_guesses: usize, deadline: Option<Instant>) -> Vec<Law> {
        // Which forms are worth the time: by their errors in some groups.
        let mut tried: Vec<usize> = (0..self.groups.len()).collect();
        tried.sort_by_key(|&group| (std::cmp::Reverse(self.groups[group].y().len()), group));
        tried.truncate(TRIED);
        let promise = |form: &Expr| {
            let mut fitter = ConstantFitter::new();
            let mut sum = 0.0;
            for &group in &tried {
                let instance = &self.groups[group];
                let fitted = fitter.fit(form, instance, Semantics::Ieee, TRIED_STEPS);
                sum += instance.fit(fitted.tree, Semantics::Ieee).loss * instance.y().len() as f64;
            }
            let rows: usize = tried.iter().map(|&group| self.groups[group].y().len()).sum();
            let n_constants = form.constants().count();
            let own = 0.5 * (n_constants * tried.len()) as f64 * (rows as f64 / tried.len() as f64).ln();
            // Its own constants are counted group by group.
            let nats = self.nats(sum / rows as f64);
            description_length(form, nats, rows) - 0.5 * n_constants as f64 * (rows as f64).ln() + own
        };
        let lengths: Vec<f64> = forms.par_iter().map(promise).collect();
        let mut order: Vec<usize> = (0..forms.len()).filter(|&form| lengths[form].is_finite()).collect();
        order.sort_by(|&a, &b| lengths[a].total_cmp(&lengths[b]).then(a.cmp(&b)));
        let (guesses, mut order): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|&form| form < n_guesses);
        order.truncate(FORMS);
        order.splice(..0, guesses);
        let is_late = || deadline.is_some_and(|deadline| Instant::now() > deadline);
        let finish = |(place, &form): (usize, &usize)| {
            // The most promising one is finished whatever the time.
            if place > 0 && is_late() {
                return None;
            }
            let law = self.with_own_constants(&forms[form], form as u32);
            Some(self.rounded(self.shared(law)))
        };
        let mut laws: Vec<Law> = order.par_iter().enumerate().filter_map(finish).collect();
        laws.retain(|law| law.loss.is_finite() && self.options.rules.allow(&law.form_of_first()));
        let size = |law: &Law| self.options.rules.complexity.of(&law.form);
        // Of those of a size the one that is told shortest.
        laws.sort_by(|a, b| size(a).cmp(&size(b)).then(self.length(a).total_cmp(&self.length(b))));
        laws.dedup_by(|b, a| size(a) == size(b));
        let mut least = f64::INFINITY;
        laws.retain(|law| {
            let is_better = law.loss < least;
            least = least.min(law.loss);
            is_better
        });
        laws
    }

    /// Fits the constants of a form in every group by itself.
    fn with_own_constants(&self, form: &Expr, number: u32) -> Law {
        let mut fitter = ConstantFitter::new();
        let mut constants: Vec<Vec<f64>> = Vec::with_capacity(self.groups.len());
        for (group, instance) in self.groups.iter().enumerate() {
            let key = Key {
                seed: self.options.seed,
                purpose: Purpose::Constants,
                problem: self.id,
                generation: number,
                slot: group as u32,
                draw: 0,
            };
            let fitted = fitter.fit_restarts(form, instance, Semantics::Ieee, LAST_STEPS, RESTARTS, key);
            let (mut best, mut error): (Vec<f64>, f64) = (fitted.tree.constants().collect(), fitted.error);
            // The constants of the group before are a good start, too.
            if let Some(before) = constants.last() {
                let fitted = fitter.fit(&with_constants(form, before), instance, Semantics::Ieee, LAST_STEPS);
                if fitted.error < error {
                    (best, error) = (fitted.tree.constants().collect(), fitted.error);
                }
            }
            if !error.is_finite() {
                best = form.constants().collect();
            }
            constants.push(best);
        }
        let loss = self.training.clone().loss(form, Semantics::Ieee, &constants);
        Law { form: form.clone(), roles: vec![ConstantRole::Group; form.constants().count()], constants, loss }
    }

    /// Lets groups share constants, one after the other, for as long as the description of the law falls.
    fn shared(&self, mut law: Law) -> Law {
        let mut fitter = self.training.clone();
        let mut length = self.length(&law);
        loop {
            let own = (0..law.roles.len()).filter(|&at| law.roles[at] == ConstantRole::Group);
            let share = |at: usize| {
                let mut roles = law.roles.clone();
                roles[at] = ConstantRole::Shared;
                let mut start = law.constants.clone();
                let mut values: Vec<f64> = start.iter().map(|own| own[at]).collect();
                let middle = values.len() / 2;
                start[0][at] = *values.select_nth_unstable_by(middle, f64::total_cmp).1;
                let fit = fitter.fit(&law.form, Semantics::Ieee, &roles, start, JOINT_STEPS);
                Law { form: law.form.clone(), roles, constants: fit.constants, loss: fit.loss }
            };
            let tries: Vec<Law> = own.map(share).collect();
            let lengths: Vec<f64> = tries.iter().map(|law| self.length(law)).collect();
            let best = (0..tries.len()).min_by(|&a, &b| lengths[a].total_cmp(&lengths[b]));
            match best {
                Some(best) if lengths[best] < length => {
                    length = lengths[best];
                    law = tries.into_iter().nth(best).expect("it is one of them");
                }
                _ => return law,
            }
        }
    }

    /// Puts round numbers in the place of shared constants where they are as good.
    fn rounded(&self, mut law: Law) -> Law {
        if self.options.without.contains(&Part::Snapping) {
            return law;
        }
        let mut fitter = self.training.clone();
        for at in 0..law.roles.len() {
            if law.roles[at] != ConstantRole::Shared {
                continue;
            }
            let bound = (law.loss * AS_GOOD_AS_BEFORE).max(self.baseline * ROUNDING * ROUNDING);
            for round in snapped(law.constants[0][at], NEAR) {
                let (mut roles, mut start) = (law.roles.clone(), law.constants.clone());
                roles[at] = ConstantRole::Fixed;
                start[0][at] = round;
                let fit = fitter.fit(&law.form, Semantics::Ieee, &roles, start, JOINT_STEPS);
                if fit.loss <= bound {
                    law = Law { roles, constants: fit.constants, loss: fit.loss, ..law };
                    break;
                }
            }
        }
        law
    }

    fn relative(&self, loss: f64) -> f64 {
        (loss / self.baseline).max(ROUNDING * ROUNDING)
    }

    /// The nats that errors of a mean loss take, a row.
    fn nats(&self, loss: f64) -> f64 {
        match &self.loss {
            None => 0.5 * self.relative(loss).ln(),
            Some(own) if own.predicts_target() => own.nats(self.relative(loss)),
            Some(own) => own.nats(loss),
        }
    }

    /// Nats that it takes to tell a law, with the constants of all groups, and its errors.
    fn length(&self, law: &Law) -> f64 {
        let count = |role: ConstantRole| law.roles.iter().filter(|other| **other == role).count() as f64;
        let n_rows = self.n_training as f64;
        let of_groups: f64 = self.groups.iter().map(|group| 0.5 * (group.y().len() as f64).ln()).sum();
        // All constants of the form were counted as shared ones.
        let own = count(ConstantRole::Group) * (of_groups - 0.5 * n_rows.ln());
        description_length(&law.form, self.nats(law.loss), self.n_training) + own
    }

    /// The index of the chosen law.
    fn choose(&self, front: &[(GroupFormula, f64)]) -> (usize, Reason) {
        if let Some(exact) = front.iter().position(|(formula, _)| formula.is_exact) {
            return (exact, Reason::Exact);
        }
        let held_out = |formula: &GroupFormula| {
            let relative = formula.held_out.map_or(0.0, |error| error.relative.max(ROUNDING * ROUNDING));
            self.loss.as_ref().map_or(relative.sqrt(), |loss| loss.size_of_errors(relative))
        };
        let least = front.iter().map(|(formula, _)| held_out(formula)).fold(f64::INFINITY, f64::min);
        let good = front.iter().enumerate().filter(|(_, (formula, _))| held_out(formula) <= AS_GOOD * least);
        let shortest = good.min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b));
        let has_held_out = front.iter().any(|(formula, _)| formula.held_out.is_some());
        let reason = if has_held_out { Reason::HeldOut } else { Reason::DescriptionLength };
        (shortest.map_or(0, |(index, _)| index), reason)
    }
}

impl Law {
    /// The form with the constants of the first group.
    fn form_of_first(&self) -> Expr {
        with_constants(&self.form, &self.constants[0])
    }

    /// The form with variables in the place of the groups' own constants.
    fn written(&self, n_variables: usize) -> Expr {
        let (mut at, mut own) = (0, 0);
        let node = |node: &Node| match node {
            Node::Const(_) => {
                let role = self.roles[at];
                at += 1;
                if role == ConstantRole::Group {
                    own += 1;
                    Node::Var((n_variables + own - 1) as u16)
                } else {
                    Node::Const(self.constants[0][at - 1])
                }
            }
            other => *other,
        };
        Expr::new(self.form.nodes().iter().map(node).collect()).expect("leaves in the place of leaves")
    }

    /// The groups' own constants, `[groups, own constants]`.
    fn own(&self) -> Vec<Vec<f64>> {
        let is_own = |at: usize| self.roles[at] == ConstantRole::Group;
        let own = |all: &Vec<f64>| (0..all.len()).filter(|&at| is_own(at)).map(|at| all[at]).collect();
        self.constants.iter().map(own).collect()
    }
}

fn with_constants(tree: &Tree, constants: &[f64]) -> Expr {
    let mut constants = constants.iter();
    let node = |node: &Node| match node {
        Node::Const(value) => Node::Const(constants.next().copied().unwrap_or(*value)),
        other => *other,
    };
    Expr::new(tree.nodes().iter().map(node).collect()).expect("the nodes of a tree")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sr_problems::Sampler;

    use super::*;

    fn problem(x: &[f64], y: Vec<f64>) -> Problem {
        Problem {
            id: "groups".into(),
            source: None,
            semantics: Semantics::Ieee,
            x: Columns::new(x.len(), 1, x.to_vec()),
            y,
            weights: None,
            operators: vec![],
            constants: vec![],
            sampler: Sampler::Fixed,
            seed: 0,
        }
    }

    /// 6 groups of y = a exp(−k t) + c with the same c, and their labels.
    fn decays(noise: f64) -> (Problem, Vec<String>, [[f64; 2]; 6]) {
        let law = [[3.0, 0.55], [1.5, 1.3], [5.0, 0.8], [2.2, 2.1], [4.1, 1.05], [0.9, 0.35]];
        let (mut x, mut y, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..20 * law.len() {
            let (group, t) = (row % law.len(), (row / law.len()) as f64 / 5.0);
            let [a, k] = law[group];
            x.push(t);
            y.push(a * (-k * t).exp() + 0.73 + noise * ((row * 7919 % 101) as f64 / 50.0 - 1.0));
            labels.push(format!("run {group}"));
        }
        (problem(&x, y), labels, law)
    }

    fn options() -> FitOptions {
        FitOptions { time_limit: None, epochs: Some(6), threads: 2, algebra_work: 200_000_000, ..FitOptions::default() }
    }

    #[test]
    fn a_decay_of_many_runs_has_two_constants_of_their_own_and_one_shared() {
        for noise in [0.0, 0.01] {
            let (problem, labels, law) = decays(noise);
            let found = fit_groups(&problem, &labels, &options(), &mut Monitor::none()).expect("a law");
            let chosen = found.chosen();
            assert_eq!(chosen.constants[0].len(), 2, "{} {:?}", chosen.expr, chosen.constants);
            assert_eq!(chosen.expr.constants().count(), 1, "{}", chosen.expr);
            let shared = chosen.expr.constants().next().expect("a constant").abs();
            let tolerance = if noise == 0.0 { 1e-6 } else { 0.02 };
            assert!((shared - 0.73).abs() < tolerance, "{}", chosen.expr);
            assert_eq!((found.groups.len(), found.rows[0], found.n_held_out), (6, 20, 24));
            // Whatever way the law is written in: a exp(−k t) at two times.
            for (group, [a, k]) in law.into_iter().enumerate() {
                let label = vec![format!("run {group}"); 2];
                let at = Columns::new(2, 1, vec![0.0, 1.0]);
                let predicted = found.predict(chosen, &at, &label).expect("a known group");
                let expected = [a + 0.73, a * (-k).exp() + 0.73];
                for (predicted, expected) in predicted.iter().zip(expected) {
                    assert!((predicted - expected).abs() < 2.0 * tolerance, "{group}: {predicted} {expected}");
                }
            }
            assert_eq!(found.reason, if noise == 0.0 { Reason::Exact } else { Reason::HeldOut });
        }
    }

    #[test]
    fn threads_change_nothing() {
        let (problem, labels, _) = decays(0.05);
        let options = FitOptions { epochs: Some(1), algebra_work: 20_000_000, ..options() };
        let with = |threads| {
            let options = FitOptions { threads, ..options.clone() };
            fit_groups(&problem, &labels, &options, &mut Monitor::none()).expect("a law")
        };
        assert_eq!(with(1), with(4));
    }

    #[test]
    fn what_is_no_group_is_named() {
        let (problem, labels, _) = decays(0.0);
        let error = |labels: &[String]| {
            fit_groups(&problem, labels, &options(), &mut Monitor::none()).expect_err("an error").to_string()
        };
        let one = vec!["a".to_owned(); problem.y.len()];
        assert_eq!(error(&one), "all rows are of the group \"a\"; a fit without groups is the same");
        let each: Vec<String> = (0..problem.y.len()).map(|row| row.to_string()).collect();
        assert!(error(&each).starts_with("every row is a group of its own"));
        assert_eq!(error(&labels[..3]), "120 rows have 3 groups");
        let quick = FitOptions { epochs: Some(0), algebra_work: 1_000_000, ..options() };
        let found = fit_groups(&problem, &labels, &quick, &mut Monitor::none()).expect("a law");
        let at = Columns::new(2, 1, vec![0.0, 1.0]);
        let unknown = ["run 1", "run 9"].map(String::from);
        assert_eq!(
            found.predict(found.chosen(), &at, &unknown).expect_err("an unknown group").to_string(),
            "row 2: there is no group \"run 9\" among those of the fit: run 0, run 1, run 2, run 3, run 4, run 5"
        );
        let names = found.names(&["c0".to_owned()]);
        let distinct: BTreeMap<&String, ()> = names.iter().map(|name| (name, ())).collect();
        assert_eq!(distinct.len(), names.len());
    }
}
