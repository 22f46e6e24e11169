//! Children side by side in one piece of memory, so that making them allocates nothing once there was room for as many.

use sr_expr::hash::quick;
use sr_expr::{Forest, Node, Tree};

use crate::{Edit, EditRef, Origin, Parents, Population, Replacement};

/// A child, as it is added to an [`Offspring`] and read from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Child<'a> {
    /// The expression.
    pub tree: &'a Tree,
    /// The operator or policy that made it.
    pub origin: Origin,
    /// The indices of its parents in the previous generation.
    pub parents: Parents,
    /// The change that made it from its first parent, where there is one.
    pub edit: Option<Edit<'a>>,
    /// Log-probability under the policy, where it has one.
    pub log_prob: Option<f32>,
}

impl<'a> Child<'a> {
    /// Returns a child without parents.
    pub fn orphan(tree: &'a Tree, origin: Origin) -> Self {
        Child { tree, origin, parents: Parents::None, edit: None, log_prob: None }
    }
}

/// The offspring of one generation, in slot order, without scores. The search owns and reuses it; a policy adds to it.
#[derive(Debug, Clone, Default)]
pub struct Offspring {
    /// The trees, those of dropped offspring and what was written for a child among them.
    trees: Forest,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Its number in `Offspring::trees`.
    tree: u32,
    hash: u64,
    /// The index of its expression among those that the search remembers, once it is scored; `serial` is that
    /// expression's serial number.
    form: u32,
    serial: Option<u32>,
    origin: Origin,
    parents: Parents,
    change: Change,
    /// Whether `change` was carried out here, so that the search need not check it.
    is_grafted: bool,
    log_prob: Option<f32>,
}

/// The contents of a [`Slot`] beside the tree.
struct Made {
    origin: Origin,
    parents: Parents,
    change: Change,
    is_grafted: bool,
    log_prob: Option<f32>,
}

/// An [`Edit`] whose written nodes are in `Offspring::nodes`.
#[derive(Debug, Clone, Copy)]
enum Change {
    None,
    Donor {
        parent: u32,
        node: u32,
        donor: u32,
        from: u32,
    },
    Written {
        parent: u32,
        node: u32,
        /// The number in `Offspring::trees` of what was written.
        tree: u32,
    },
}

impl Offspring {
    /// Reserves memory for so many more offspring of the usual size.
    pub(crate) fn reserve(&mut self, offspring: usize) {
        self.slots.reserve(offspring);
        self.trees.reserve(2 * offspring, 8 * offspring);
    }

    /// Returns the number of offspring.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns whether there are no offspring.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns the expression of child `index`.
    ///
    /// # Panics
    /// Panics if there is no such child.
    #[inline]
    pub fn tree(&self, index: usize) -> &Tree {
        self.tree_of(&self.slots[index])
    }

    /// Returns child `index`, or `None` if there are not as many.
    pub fn get(&self, index: usize) -> Option<Child<'_>> {
        self.slots.get(index).map(|slot| self.view(slot))
    }

    /// Returns an iterator over all children, in slot order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Child<'_>> + Clone {
        self.slots.iter().map(|slot| self.view(slot))
    }

    /// Adds a child.
    ///
    /// # Panics
    /// Panics if a tree has 2³² nodes or more.
    pub fn push(&mut self, child: &Child<'_>) {
        let number = self.trees.push(child.tree);
        let change = match &child.edit {
            None => Change::None,
            Some(edit) => Change::new(edit, |tree| self.trees.push(tree)),
        };
        let Child { origin, parents, log_prob, .. } = *child;
        let is_grafted = matches!(change, Change::None);
        self.add(number, Made { origin, parents, change, is_grafted, log_prob });
    }

    fn add(&mut self, tree: usize, made: Made) {
        let hash = quick_hash(self.trees.get(tree));
        let Made { origin, parents, change, is_grafted, log_prob } = made;
        let tree = tree as u32;
        self.slots.push(Slot {
            tree,
            hash,
            form: u32::MAX,
            serial: None,
            origin,
            parents,
            change,
            is_grafted,
            log_prob,
        });
    }

    /// Returns whether child `index` was pushed with an edit, which has to be checked.
    pub(crate) fn is_claimed(&self, index: usize) -> bool {
        !self.slots[index].is_grafted
    }

    /// Returns the nodes of child `index` that were written for it, and not copied from the population.
    pub(crate) fn written(&self, index: usize) -> &[Node] {
        let slot = &self.slots[index];
        match slot.change {
            _ if !slot.is_grafted => self.tree_of(slot).nodes(),
            Change::None => self.tree_of(slot).nodes(),
            Change::Donor { .. } => &[],
            Change::Written { tree, .. } => self.trees.get(tree as usize).nodes(),
        }
    }

    /// Adds the child that `edit` makes from `population`, or a copy of the edit's parent if the child would have more
    /// than `max_size` nodes.
    ///
    /// # Panics
    /// Panics if the edit points outside of the population.
    pub fn graft(
        &mut self,
        population: &Population,
        edit: &Edit<'_>,
        max_size: usize,
        origin: Origin,
        parents: Parents,
    ) {
        let (parent, node) = (population.tree(edit.parent as usize), edit.node as usize);
        let graft = match &edit.replacement {
            Replacement::Donor { parent, node } => population.tree(*parent as usize).subtree(*node as usize),
            Replacement::Written(tree) => tree,
        };
        let (tree, change) = match self.trees.splice(parent, node, graft, max_size) {
            Some([tree, graft]) => (tree, Change::new(edit, |_| graft)),
            None => {
                let copy = Edit::copy(edit.parent, parent);
                (self.trees.push(parent), Change::new(&copy, |_| unreachable!("a copy writes nothing")))
            }
        };
        self.add(tree, Made { origin, parents, change, is_grafted: true, log_prob: None });
    }

    /// Replaces the constants of child `index`, which no edit makes any more.
    ///
    /// # Panics
    /// Panics if there is no such child, or it has more constants.
    pub(crate) fn set_constants(&mut self, index: usize, constants: &[f64]) {
        let slot = &mut self.slots[index];
        let number = self.trees.push_with_constants(slot.tree as usize, constants);
        slot.tree = number as u32;
        slot.hash = quick_hash(self.trees.get(number));
        slot.change = Change::None;
    }

    /// Sets the origin of the child that was added last.
    ///
    /// # Panics
    /// Panics if there are no offspring.
    pub fn set_last_origin(&mut self, origin: Origin) {
        self.slots.last_mut().expect("a child was added").origin = origin;
    }

    /// Drops the offspring from `start` on for which `keep` is false.
    pub(crate) fn retain_from(&mut self, start: usize, mut keep: impl FnMut(&Tree) -> bool) {
        let mut kept = start;
        for index in start..self.len() {
            if keep(self.tree(index)) {
                self.slots.swap(kept, index);
                kept += 1;
            }
        }
        self.slots.truncate(kept);
    }

    /// Drops all children and keeps the memory.
    pub fn clear(&mut self) {
        self.trees.clear();
        self.slots.clear();
    }

    /// Adds an individual of the generation before, which is its own parent.
    pub(crate) fn carry_over(&mut self, from: &Offspring, index: usize) {
        let slot = from.slots[index];
        let tree = self.trees.push(from.tree_of(&slot)) as u32;
        let parents = Parents::One(index as u32);
        let (origin, change) = (Origin::Elite, Change::None);
        self.slots.push(Slot { tree, origin, parents, change, is_grafted: true, log_prob: None, ..slot });
    }

    /// Adds child `index` once more; both share their nodes.
    pub(crate) fn repeat(&mut self, index: usize) {
        self.slots.push(self.slots[index]);
    }

    /// Drops the first `count` children.
    pub(crate) fn drop_first(&mut self, count: usize) {
        self.slots.drain(..count);
    }

    /// Returns a number that is equal for equal trees, and seldom for others.
    #[inline]
    pub(crate) fn hash(&self, index: usize) -> u64 {
        self.slots[index].hash
    }

    /// Returns the index of a child's expression among those that the search remembers.
    #[inline]
    pub(crate) fn form(&self, index: usize) -> u32 {
        self.slots[index].form
    }

    /// Returns the serial number of that expression, or `None` before the child is scored.
    #[inline]
    pub(crate) fn serial(&self, index: usize) -> Option<u32> {
        self.slots[index].serial
    }

    #[inline]
    pub(crate) fn set_form(&mut self, index: usize, form: u32, serial: u32) {
        (self.slots[index].form, self.slots[index].serial) = (form, Some(serial));
    }

    /// Returns the origin of child `index`.
    #[inline]
    pub(crate) fn origin(&self, index: usize) -> Origin {
        self.slots[index].origin
    }

    /// Returns the parents of child `index`.
    #[inline]
    pub(crate) fn parents(&self, index: usize) -> Parents {
        self.slots[index].parents
    }

    /// Returns the edit of child `index`, if it has one.
    #[inline]
    pub(crate) fn edit(&self, index: usize) -> Option<EditRef<'_>> {
        self.edit_of(&self.slots[index])
    }

    /// Returns the log-probability of child `index`, if it has one.
    #[inline]
    pub(crate) fn log_prob(&self, index: usize) -> Option<f32> {
        self.slots[index].log_prob
    }

    #[inline]
    fn tree_of(&self, slot: &Slot) -> &Tree {
        self.trees.get(slot.tree as usize)
    }

    #[inline]
    fn edit_of(&self, slot: &Slot) -> Option<EditRef<'_>> {
        match slot.change {
            Change::None => None,
            Change::Donor { parent, node, donor, from } => Some(EditRef::Donor { parent, node, donor, from }),
            Change::Written { parent, node, tree } => {
                Some(EditRef::Written { parent, node, tree: self.trees.get(tree as usize) })
            }
        }
    }

    fn view(&self, slot: &Slot) -> Child<'_> {
        let &Slot { origin, parents, log_prob, .. } = slot;
        Child { tree: self.tree_of(slot), origin, parents, edit: self.edit_of(slot).map(Edit::from), log_prob }
    }
}

impl Change {
    /// `number` gives what was written its number.
    fn new(edit: &Edit<'_>, number: impl FnOnce(&Tree) -> usize) -> Self {
        let (parent, node) = (edit.parent, edit.node);
        match &edit.replacement {
            &Replacement::Donor { parent: donor, node: from } => Change::Donor { parent, node, donor, from },
            Replacement::Written(tree) => Change::Written { parent, node, tree: number(tree) as u32 },
        }
    }
}

/// A hash for looking up, where trees are compared too.
fn quick_hash(tree: &Tree) -> u64 {
    tree.nodes().iter().fold(0, |hash, node| quick(hash, node.bits()))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use sr_expr::Expr;

    use super::*;
    use crate::{IndividualRef, Score};

    fn expr(text: &str) -> Expr {
        text.parse().expect(text)
    }

    fn written(parent: u32, node: u32, tree: &Tree) -> Edit<'_> {
        Edit { parent, node, replacement: Replacement::Written(Cow::Borrowed(tree)) }
    }

    #[test]
    fn what_is_added_is_read_back() {
        let (child, part) = (expr("x0 * sin(x1)"), expr("sin(x1)"));
        let with_edit = Child {
            tree: &child,
            origin: Origin::Mutation,
            parents: Parents::One(3),
            edit: Some(written(3, 1, &part)),
            log_prob: Some(-1.5),
        };
        let graft = Edit { parent: 1, node: 2, replacement: Replacement::Donor { parent: 4, node: 0 } };
        let all = [
            Child::orphan(&part, Origin::Random),
            Child { edit: Some(graft), parents: Parents::Two(1, 4), ..with_edit.clone() },
            with_edit,
        ];
        let mut offspring = Offspring::default();
        all.iter().for_each(|child| offspring.push(child));
        assert!(offspring.iter().eq(all.iter().cloned()));
        offspring.set_last_origin(Origin::Fallback);
        let mut kept = [false, true].into_iter();
        offspring.retain_from(1, |_| kept.next().expect("two are asked for"));
        assert!(offspring.iter().map(|child| child.origin).eq([Origin::Random, Origin::Fallback]));
        offspring.clear();
        assert!(offspring.is_empty() && offspring.get(0).is_none());
    }

    #[test]
    fn a_graft_is_its_edit_or_a_copy_of_the_parent() {
        let (parents, part) = ([expr("x0 * sin(x1)"), expr("x2 + 1.0")], expr("cos(x3)"));
        let population =
            parents.iter().map(|tree| IndividualRef::new(Child::orphan(tree, Origin::Random), Score::INVALID));
        let population = Population::new(population);
        let donor = Edit { parent: 0, node: 2, replacement: Replacement::Donor { parent: 1, node: 2 } };
        let edits = [written(0, 0, &part), written(0, 3, &part), donor];
        let mut offspring = Offspring::default();
        for edit in &edits {
            offspring.graft(&population, edit, 9, Origin::Crossover, Parents::None);
        }
        offspring.graft(&population, &edits[0], 4, Origin::Crossover, Parents::None);
        let forms: Vec<String> = offspring.iter().map(|child| child.tree.to_string()).collect();
        assert_eq!(forms, ["(cos(x3) * sin(x1))", "cos(x3)", "(x0 * (x2 + 1.0))", "(x0 * sin(x1))"]);
        for (child, edit) in offspring.iter().zip(edits.into_iter().chain([Edit::copy(0, &parents[0])])) {
            assert_eq!(edit.apply(&population).as_deref(), Some(child.tree));
            assert_eq!(child.edit, Some(edit));
        }
    }
}
