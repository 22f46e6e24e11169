//! The contexts of problems, as a model's prompts contain them, as text.

use std::path::Path;

use anyhow::{Context as _, bail};
use sr_codec::Kind;
use sr_corpus::{ProblemRef, Problems, find_problems};
use sr_engine::{PrimitiveSet, SearchConfig};
use sr_problems::Problem;
use sr_prompt::{Context, infix};
use sr_trace::Trajectory;

/// The contexts of problems as text.
#[derive(Debug)]
pub struct Contexts {
    kind: Context,
    problems: Problems,
}

impl Contexts {
    /// Opens the problem set of a file's records: the file itself, the `given` one, or the one that the file names.
    ///
    /// # Errors
    /// If the file is of another kind, or the problem set is not found.
    pub fn open(kind: Context, file: &Path, given: Option<&Path>) -> anyhow::Result<Self> {
        if !file.is_file() {
            bail!("{}: --context is for problem sets, traces and corpora", file.display());
        }
        let header = sr_codec::peek_header(file)?;
        let set = match (header.kind, header.params["problems"].as_str()) {
            (Kind::Problems, _) => file.to_owned(),
            (_, name) => find_problems(file, name.unwrap_or_default(), given)?,
        };
        Ok(Contexts { kind, problems: Problems::open(set)? })
    }

    /// Returns the context of a problem of the set.
    pub(super) fn of_problem(&self, id: &str) -> anyhow::Result<String> {
        let problem = self.problems.by_id(id)?;
        Ok(self.text(&problem, 0, problem.instance()?.primitives()))
    }

    /// Returns the context of a corpus's example. The problem must have the points that the example was converted from.
    pub(super) fn of_example(&self, problem: &ProblemRef, generation: u32) -> anyhow::Result<String> {
        Ok(self.text(&*self.problems.get(problem)?, generation, &problem.primitives))
    }

    /// Returns the contexts of all states of a search. The problem must have the points that were searched.
    pub(super) fn of_search(&self, search: &Trajectory, config: &SearchConfig) -> anyhow::Result<Vec<String>> {
        let problem = self.problems.by_id(&search.problem_id)?;
        search
            .check_searched(&problem.instance()?, config)
            .with_context(|| self.problems.path().display().to_string())?;
        let text = |generation| self.text(&problem, generation, &search.primitives);
        Ok(search.generations.iter().map(|record| text(record.generation)).collect())
    }

    fn text(&self, problem: &Problem, generation: u32, primitives: &PrimitiveSet) -> String {
        infix::context(self.kind, generation, primitives, &problem.x, &problem.y)
    }
}
