//! Individuals and the population they form.

use sr_expr::{Expr, Tree};

use crate::{Edit, Origin, Parents, Score};

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
    pub edit: Option<Edit>,
    /// Log-probability under the policy that proposed it, where it has one.
    pub log_prob: Option<f32>,
}

impl Individual {
    /// The expression, borrowed.
    pub fn tree(&self) -> &Tree {
        &self.expr
    }
}

/// The individuals of one generation, in slot order. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Population {
    individuals: Vec<Individual>,
}

impl Population {
    /// # Panics
    /// If there are no individuals.
    pub fn new(individuals: Vec<Individual>) -> Self {
        assert!(!individuals.is_empty(), "a population has individuals");
        Population { individuals }
    }

    /// Number of individuals.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.individuals.len()
    }

    /// One individual.
    pub fn get(&self, index: usize) -> Option<&Individual> {
        self.individuals.get(index)
    }

    /// All of them, in slot order.
    pub fn iter(&self) -> std::slice::Iter<'_, Individual> {
        self.individuals.iter()
    }

    /// Index of the fittest individual; the first of equals.
    pub fn best_index(&self) -> usize {
        let mut best = 0;
        for (index, individual) in self.individuals.iter().enumerate() {
            if individual.score.fitness > self.individuals[best].score.fitness {
                best = index;
            }
        }
        best
    }

    /// The fittest individual; the first of equals.
    pub fn best(&self) -> &Individual {
        &self.individuals[self.best_index()]
    }

    /// Share of distinct expressions, in (0, 1].
    pub fn diversity(&self) -> f64 {
        let distinct: std::collections::HashSet<&Tree> = self.iter().map(Individual::tree).collect();
        distinct.len() as f64 / self.len() as f64
    }

    /// Takes the individuals out.
    pub fn into_individuals(self) -> Vec<Individual> {
        self.individuals
    }
}

impl std::ops::Index<usize> for Population {
    type Output = Individual;

    fn index(&self, index: usize) -> &Individual {
        &self.individuals[index]
    }
}
