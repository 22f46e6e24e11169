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
    /// The expression, borrowed.
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
    /// A child and its score.
    pub fn new(child: Child<'a>, score: Score) -> Self {
        let Child { tree, origin, parents, edit, log_prob } = child;
        IndividualRef { tree, score, origin, parents, edit, log_prob }
    }
}

/// The individuals of one generation, in slot order. Never empty.
#[derive(Debug, Clone)]
pub struct Population {
    individuals: Offspring,
    /// `[individuals]`
    scores: Vec<Score>,
    best_index: usize,
}

impl Population {
    /// # Panics
    /// If there are no individuals.
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

    /// Number of individuals.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// One individual.
    pub fn get(&self, index: usize) -> Option<IndividualRef<'_>> {
        self.individuals.get(index).map(|individual| IndividualRef::new(individual, self.scores[index]))
    }

    /// All of them, in slot order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = IndividualRef<'_>> + Clone {
        self.individuals.iter().zip(&self.scores).map(|(individual, &score)| IndividualRef::new(individual, score))
    }

    /// The expression of one.
    ///
    /// # Panics
    /// If there are not as many.
    #[inline]
    pub fn tree(&self, index: usize) -> &Tree {
        self.individuals.tree(index)
    }

    /// The score of one.
    ///
    /// # Panics
    /// If there are not as many.
    #[inline]
    pub fn score(&self, index: usize) -> Score {
        self.scores[index]
    }

    /// Which operator or policy made one.
    ///
    /// # Panics
    /// If there are not as many.
    #[inline]
    pub fn origin(&self, index: usize) -> Origin {
        self.individuals.origin(index)
    }

    /// The parents of one, as indices into the generation before.
    ///
    /// # Panics
    /// If there are not as many.
    #[inline]
    pub fn parents(&self, index: usize) -> Parents {
        self.individuals.parents(index)
    }

    /// The change that made one of its first parent, where there is one.
    ///
    /// # Panics
    /// If there are not as many.
    #[inline]
    pub fn edit(&self, index: usize) -> Option<EditRef<'_>> {
        self.individuals.edit(index)
    }

    /// The log-probability of one under the policy that proposed it, where it has one.
    ///
    /// # Panics
    /// If there are not as many.
    #[inline]
    pub fn log_prob(&self, index: usize) -> Option<f32> {
        self.individuals.log_prob(index)
    }

    /// A number that is equal for equal expressions, and seldom for others.
    #[inline]
    pub(crate) fn hash(&self, index: usize) -> u64 {
        self.individuals.hash(index)
    }

    /// A number that no other expression of the search has. An expression keeps it for as long as the search remembers it,
    /// which is some generations after it last stood in one; if it comes back later, it has a new number. `None` outside of
    /// a search.
    #[inline]
    pub fn expression_id(&self, index: usize) -> Option<u32> {
        self.individuals.serial(index)
    }

    /// Index of the fittest individual; the first of equals.
    #[inline]
    pub fn best_index(&self) -> usize {
        self.best_index
    }

    /// The fittest individual; the first of equals.
    pub fn best(&self) -> IndividualRef<'_> {
        self.get(self.best_index()).expect("a population has individuals")
    }

    /// Share of distinct expressions, in (0, 1].
    pub fn diversity(&self) -> f64 {
        let distinct: std::collections::HashSet<&Tree> = self.iter().map(|individual| individual.tree).collect();
        distinct.len() as f64 / self.len() as f64
    }

    /// Lets the next generation take this one's place: the survivors of both in the order given, where index `i` is an
    /// individual of this one for `i < len()`, else child `i − len()`. What does not survive is left in the offspring and
    /// scores only as memory to use again.
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

/// Index of the fittest; the first of equals.
fn best_of(scores: &[Score]) -> usize {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        if score.fitness > scores[best].fitness {
            best = index;
        }
    }
    best
}

/// By what the individuals are, not by where they stand in memory.
impl PartialEq for Population {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
