//! Individuals and the population they form.

use sr_expr::{Expr, Tree};

use crate::cache::ScoreCache;
use crate::{Child, Edit, EditRef, Offspring, Origin, Parents, Score};

/// An expression with its score and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Individual {
    /// The expression.
    pub expr: Expr,
    /// Error and fitness on the instance's data.
    pub score: Score,
    /// Which operator or policy made it.
    pub origin: Origin,
    /// Indices of its parents in the previous generation.
    pub parents: Parents,
    /// The change that made it from its first parent, where there is one.
    pub edit: Option<Edit<'static>>,
    /// Log-probability under the policy that proposed it, where it has one.
    pub log_prob: Option<f32>,
}

impl Individual {
    /// Returns the expression, borrowed.
    pub fn tree(&self) -> &Tree {
        &self.expr
    }
}

impl From<IndividualRef<'_>> for Individual {
    fn from(member: IndividualRef<'_>) -> Self {
        let IndividualRef { tree, score, origin, parents, edit, log_prob } = member;
        Individual { expr: tree.to_owned(), score, origin, parents, edit: edit.map(Edit::into_owned), log_prob }
    }
}

/// An [`Individual`] of a [`Population`], borrowed.
#[derive(Debug, Clone, PartialEq)]
pub struct IndividualRef<'a> {
    /// The expression.
    pub tree: &'a Tree,
    /// Error and fitness on the instance's data.
    pub score: Score,
    /// Which operator or policy made it.
    pub origin: Origin,
    /// Indices of its parents in the previous generation.
    pub parents: Parents,
    /// The change that made it from its first parent, where there is one.
    pub edit: Option<Edit<'a>>,
    /// Log-probability under the policy that proposed it, where it has one.
    pub log_prob: Option<f32>,
}

impl<'a> IndividualRef<'a> {
    /// Makes an individual from a child and its score.
    pub fn new(child: Child<'a>, score: Score) -> Self {
        let Child { tree, origin, parents, edit, log_prob } = child;
        IndividualRef { tree, score, origin, parents, edit, log_prob }
    }
}

/// The individuals of one generation, in slot order. Never empty.
#[derive(Debug, Clone)]
pub struct Population {
    individuals: Offspring,
    /// The scores, `[individuals]`.
    scores: Vec<Score>,
    best_index: usize,
}

impl Population {
    /// Makes a population of the individuals, in slot order.
    ///
    /// # Panics
    /// Panics if there are no individuals.
    pub fn new<'a>(individuals: impl IntoIterator<Item = IndividualRef<'a>>) -> Self {
        let mut population = Population { individuals: Offspring::default(), scores: Vec::new(), best_index: 0 };
        let individuals = individuals.into_iter();
        population.individuals.reserve(individuals.size_hint().0);
        population.scores.reserve(individuals.size_hint().0);
        for IndividualRef { tree, score, origin, parents, edit, log_prob } in individuals {
            population.individuals.push(&Child { tree, origin, parents, edit, log_prob });
            population.scores.push(score);
        }
        assert!(!population.scores.is_empty(), "a population has individuals");
        population.best_index = best_of(&population.scores);
        population
    }

    /// Returns the number of individuals.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Returns individual `index`, or `None` if there are not as many.
    pub fn get(&self, index: usize) -> Option<IndividualRef<'_>> {
        self.individuals.get(index).map(|individual| IndividualRef::new(individual, self.scores[index]))
    }

    /// Returns an iterator over all individuals, in slot order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = IndividualRef<'_>> + Clone {
        self.individuals.iter().zip(&self.scores).map(|(individual, &score)| IndividualRef::new(individual, score))
    }

    /// Returns the expression of individual `index`.
    ///
    /// # Panics
    /// Panics if there is no such individual.
    #[inline]
    pub fn tree(&self, index: usize) -> &Tree {
        self.individuals.tree(index)
    }

    /// Returns the score of individual `index`.
    ///
    /// # Panics
    /// Panics if there is no such individual.
    #[inline]
    pub fn score(&self, index: usize) -> Score {
        self.scores[index]
    }

    /// Returns which operator or policy made individual `index`.
    ///
    /// # Panics
    /// Panics if there is no such individual.
    #[inline]
    pub fn origin(&self, index: usize) -> Origin {
        self.individuals.origin(index)
    }

    /// Returns the parents of individual `index`, as indices into the previous generation.
    ///
    /// # Panics
    /// Panics if there is no such individual.
    #[inline]
    pub fn parents(&self, index: usize) -> Parents {
        self.individuals.parents(index)
    }

    /// Returns the change that made individual `index` from its first parent, if there is one.
    ///
    /// # Panics
    /// Panics if there is no such individual.
    #[inline]
    pub fn edit(&self, index: usize) -> Option<EditRef<'_>> {
        self.individuals.edit(index)
    }

    /// Returns the log-probability of individual `index` under the policy that proposed it, if it has one.
    ///
    /// # Panics
    /// Panics if there is no such individual.
    #[inline]
    pub fn log_prob(&self, index: usize) -> Option<f32> {
        self.individuals.log_prob(index)
    }

    /// Returns a number that is equal for equal expressions, and seldom for others.
    #[inline]
    pub(crate) fn hash(&self, index: usize) -> u64 {
        self.individuals.hash(index)
    }

    /// Returns a number that no other expression of the search has, or `None` outside of a search. An expression keeps
    /// it for as long as the search remembers it, which is some generations after it was last in one. If it comes back
    /// later, it has a new number.
    #[inline]
    pub fn expression_id(&self, index: usize) -> Option<u32> {
        self.individuals.serial(index)
    }

    /// Returns the index of the fittest individual, the first among equals.
    #[inline]
    pub fn best_index(&self) -> usize {
        self.best_index
    }

    /// Returns the fittest individual, the first among equals.
    pub fn best(&self) -> IndividualRef<'_> {
        self.get(self.best_index()).expect("a population has individuals")
    }

    /// Returns the share of distinct expressions, in (0, 1].
    pub fn diversity(&self) -> f64 {
        let distinct: std::collections::HashSet<&Tree> = self.iter().map(|individual| individual.tree).collect();
        distinct.len() as f64 / self.len() as f64
    }

    /// Replaces this generation by the next one, which has the survivors in the order given. Index `i` is an individual
    /// of this generation if `i < len()`, else child `i − len()`. `offspring` and `scores` are empty afterwards and
    /// keep their memory for reuse.
    pub(crate) fn succeed(&mut self, offspring: &mut Offspring, scores: &mut Vec<Score>, survivors: &[u32]) {
        let children = offspring.len();
        for &survivor in survivors {
            let survivor = survivor as usize;
            match survivor.checked_sub(self.len()) {
                None => {
                    offspring.carry_over(&self.individuals, survivor);
                    scores.push(self.scores[survivor]);
                }
                Some(child) => {
                    offspring.repeat(child);
                    scores.push(scores[child]);
                }
            }
        }
        offspring.drop_first(children);
        scores.drain(..children);
        std::mem::swap(&mut self.individuals, offspring);
        std::mem::swap(&mut self.scores, scores);
        offspring.clear();
        scores.clear();
        self.best_index = best_of(&self.scores);
    }

    /// Marks its forms in `cache` as those of this generation, and sees to it that there is room for the children's.
    pub(crate) fn mark_in(&mut self, cache: &mut ScoreCache, generation: u32, children: usize) {
        let Population { individuals, scores, .. } = self;
        if !cache.has_room(children) {
            cache.clear(scores.len() + children);
            for (index, &score) in scores.iter().enumerate() {
                let form = cache.find_or_score(individuals.tree(index), individuals.hash(index), || Some(score));
                let form = form.expect("there is a score");
                if let Some(serial) = individuals.serial(index) {
                    cache.set_serial(form, serial);
                }
                individuals.set_form(index, form, cache.serial(form));
            }
        }
        (0..scores.len()).for_each(|index| cache.mark(individuals.form(index), generation));
    }
}

/// Returns the index of the highest fitness, the first among equals.
fn best_of(scores: &[Score]) -> usize {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        if score.fitness > scores[best].fitness {
            best = index;
        }
    }
    best
}

/// Compares the individuals, not how they lie in memory.
impl PartialEq for Population {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
