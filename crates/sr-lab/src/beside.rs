//! Tables of the share of searches that solve each problem, beside published figures.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sr_eval::{Equal, Row, aligned_table};

/// Published results of other methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Where the figures come from, and how they were measured.
    pub source: String,
    /// For each method, the share of searches that solved each problem.
    pub methods: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Published {
    /// Reads a JSON file of published figures.
    ///
    /// # Errors
    /// If the file cannot be read, or has figures for none of the problems.
    pub fn read<'a>(path: &Path, problems: impl Iterator<Item = &'a str>) -> anyhow::Result<Self> {
        let read = || -> anyhow::Result<Self> { Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?) };
        let published = read().with_context(|| format!("reading {}", path.display()))?;
        let known = |problem: &str| published.methods.values().any(|shares| shares.contains_key(problem));
        ensure!(
            problems.into_iter().any(known),
            "{}: it has figures of none of the problems that are evaluated",
            path.display()
        );
        Ok(published)
    }
}

/// Returns the tables of the share solved, one line a problem: one table for each equal budget, or a single one without
/// budgets.
pub fn tables(rows: &[Row], published: &Published) -> String {
    let mut budgets: Vec<Option<Equal>> = rows.iter().map(|row| row.budget).collect();
    budgets.dedup();
    let table = |budget: Option<Equal>| {
        let title = budget.map_or(String::new(), |budget| format!(", equal {}", budget.name()));
        let rows: Vec<&Row> = rows.iter().filter(|row| row.budget == budget).collect();
        format!("share solved by problem{title}\n{}", one(&rows, published))
    };
    let tables: Vec<String> = budgets.into_iter().map(table).collect();
    format!("{}\n\npublished: {}", tables.join("\n\n"), published.source)
}

fn one(rows: &[&Row], published: &Published) -> String {
    let names = |of: &dyn Fn(&Row) -> String| {
        let mut names: Vec<String> = Vec::new();
        for row in rows {
            let name = of(row);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    };
    let methods = names(&|row| row.method.clone());
    let problems = names(&|row| row.problem.clone());
    let headers: Vec<&str> = ["problem"]
        .into_iter()
        .chain(methods.iter().map(String::as_str))
        .chain(published.methods.keys().map(String::as_str))
        .collect();
    let share = |problem: &String, method: &String| {
        let of = rows.iter().filter(|row| row.problem == *problem && row.method == *method);
        let (n, solved) = of.fold((0, 0), |(n, solved), row| (n + 1, solved + u32::from(row.solved)));
        format!("{solved}/{n}")
    };
    let lines = problems.iter().map(|problem| {
        let ours = methods.iter().map(|method| share(problem, method));
        let theirs = published.methods.values().map(|shares| match shares.get(problem) {
            Some(share) => format!("{share:.2}"),
            None => "–".to_owned(),
        });
        [problem.clone()].into_iter().chain(ours).chain(theirs).collect()
    });
    aligned_table(&headers, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_file_is_of_the_suite() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/published/original-harder.json");
        let suite = sr_problems::suite("harder", 1).expect("a suite");
        let published = Published::read(&path, suite.problems.iter().map(|problem| &*problem.id)).expect("figures");
        for shares in published.methods.values() {
            assert!(suite.problems.iter().all(|problem| shares.contains_key(&problem.id)), "{shares:?}");
        }
        let error = Published::read(&path, ["Nguyen-1"].into_iter()).expect_err("none of them").to_string();
        assert!(error.contains("figures of none"), "{error}");
    }
}
