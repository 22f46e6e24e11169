//! The bank: all semantically distinct expressions by cost, each one operator on columns that are there already.
//!
//! The cost of an expression is its number of nodes, where functions count for more than one (TiSR has such weights too):
//! with a dozen functions to choose from, they would otherwise fill the bank before sums of products are there.

use rayon::ThreadPool;
use rayon::prelude::*;
use sr_expr::rules::Rules;
use sr_expr::{Expr, Level, Op};

use crate::hashes::{self, Hashes};
use crate::kernel::{
    BlockKernel, Column, Judged, Moments, Probes, SumKernel, Sums, apply, block_kernels, judged, sums,
};
use crate::prepare::{Prepared, ROWS};

/// The candidates of one round, after which new columns are merged and a stop is looked for.
const ROUND: usize = 1 << 15;
/// Columns are stored in pieces, so that growing copies none.
const PIECE: usize = 1 << 10;
/// The columns that one kernel is called for, which fit in the first cache.
const TILE: usize = 32;
/// The bytes of a column with its recipe, score and place in the table of hashes.
pub(crate) const COLUMN_BYTES: usize = size_of::<Column>() + 56;
/// The largest cost of an expression without variables: 1 + 1, 1 / (1 + 1), …
const MAX_CONSTANT_COST: usize = 5;

/// Returns what an operator adds to the cost of an expression.
fn cost_of(op: Op) -> usize {
    match op {
        Op::Neg | Op::Pow3 | Op::Exp | Op::Log | Op::Sin | Op::Cos => 2,
        Op::Tan | Op::Tanh | Op::Asin | Op::Acos | Op::Atan => 3,
        _ => 1,
    }
}

/// How a column was computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Recipe {
    /// A variable, by its index among those used.
    Variable(u16),
    /// A constant of the options, by its index among those that are finite.
    Constant(u16),
    /// An operator on one column.
    Unary(Op, u32),
    /// An operator on two columns.
    Binary(Op, u32, u32),
}

/// What an expression contains. Searches that nest trigonometric functions, or exp and log, find approximations more
/// often than laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Contents(u8);

impl Contents {
    const WAVE: u8 = 1;
    const EXPONENTIAL: u8 = 2;
    const CONSTANT: u8 = 4;

    fn of(op: Op) -> Contents {
        match op {
            Op::Sin | Op::Cos | Op::Tan | Op::Tanh | Op::Asin | Op::Acos | Op::Atan => Contents(Self::WAVE),
            Op::Exp | Op::Log => Contents(Self::EXPONENTIAL),
            _ => Contents(0),
        }
    }

    fn is_constant(self) -> bool {
        self.0 & Self::CONSTANT != 0
    }

    /// Returns the contents of an operator's result, or `None` if the operator may not be applied to such operands.
    fn after(op: Op, a: Contents, b: Contents) -> Option<Contents> {
        let own = Contents::of(op);
        let functions = (a.0 | b.0) & !Self::CONSTANT;
        let constant = a.0 & b.0 & Self::CONSTANT;
        match (own.0 & functions != 0, op.arity()) {
            (true, _) => None,
            // Functions of constants are constants that nobody can read; fitted ones do their work.
            (false, 1) if constant != 0 => None,
            _ => Some(Contents(own.0 | functions | constant)),
        }
    }
}

/// The binary operators whose chains can be bracketed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// + and −
    Sum,
    /// · and /
    Product,
    /// What has no such chains.
    Power,
}

impl Group {
    const COUNT: usize = 3;

    #[inline]
    fn of(op: Op) -> Group {
        match op {
            Op::Add | Op::Sub => Group::Sum,
            Op::Mul | Op::Div => Group::Product,
            _ => Group::Power,
        }
    }
}

/// The columns of a tile that the operators of each group are applied to.
#[derive(Debug, Default)]
struct Picks {
    places: [[u8; TILE]; Group::COUNT],
    len: [usize; Group::COUNT],
}

impl Picks {
    fn push(&mut self, place: u8, groups: [bool; Group::COUNT]) {
        for ((places, len), is_made) in self.places.iter_mut().zip(&mut self.len).zip(groups) {
            // Written in any case, and counted if it is one: no branch.
            places[*len] = place;
            *len += usize::from(is_made);
        }
    }

    fn of(&self, group: Group) -> &[u8] {
        &self.places[group as usize][..self.len[group as usize]]
    }
}

/// The operations of one round, on columns that are stored.
#[derive(Debug, Clone, Copy)]
enum Block {
    /// An operator on columns `from..to`.
    Unary { op: Op, from: u32, to: u32 },
    /// All binary operators on column `a` and columns `from..to`.
    Binary { a: u32, from: u32, to: u32 },
}

/// An expression that is new, as far as a thread can see. Its column is computed again where it is needed.
#[derive(Debug, Clone, Copy)]
struct New {
    recipe: Recipe,
    contents: Contents,
    hash: u64,
    score: f32,
}

/// What is computed of each expression of a block: what the bank keeps it for, or the sums of a scan.
trait Measure: Copy + Default {
    type Kernel;

    /// Returns the kernel of an operator, if it has one.
    fn kernel(op: Op, is_reversed: bool) -> Option<Self::Kernel>;

    /// Measures op(a, b) for the columns b that are picked of a row.
    fn block(kernel: &Self::Kernel, a: &Column, others: &[Column], picks: &[u8], probes: &Probes, out: &mut [Self]);

    /// Measures a column that was written out.
    fn of(column: &Column, probes: &Probes) -> Self;

    fn moments(&self) -> &Moments;
}

impl Measure for Judged {
    type Kernel = BlockKernel;

    fn kernel(op: Op, is_reversed: bool) -> Option<BlockKernel> {
        block_kernels(op, is_reversed).map(|kernels| kernels.0)
    }

    fn block(kernel: &BlockKernel, a: &Column, others: &[Column], picks: &[u8], probes: &Probes, out: &mut [Self]) {
        kernel(a, others, picks, probes, out);
    }

    fn of(column: &Column, probes: &Probes) -> Self {
        judged(column, probes)
    }

    fn moments(&self) -> &Moments {
        &self.moments
    }
}

impl Measure for Sums {
    type Kernel = SumKernel;

    fn kernel(op: Op, is_reversed: bool) -> Option<SumKernel> {
        block_kernels(op, is_reversed).map(|kernels| kernels.1)
    }

    fn block(kernel: &SumKernel, a: &Column, others: &[Column], picks: &[u8], probes: &Probes, out: &mut [Self]) {
        kernel(a, others, picks, probes, out);
    }

    fn of(column: &Column, probes: &Probes) -> Self {
        sums(column, probes)
    }

    fn moments(&self) -> &Moments {
        &self.moments
    }
}

/// All distinct expressions up to a cost.
#[derive(Debug)]
pub(crate) struct Bank {
    level: Level,
    unary: Vec<Op>,
    binary: Vec<Op>,
    /// The ways to apply the binary operators to two columns: in order, and reversed where that may be another result.
    ways: Vec<(Op, bool)>,
    leaves: Vec<Expr>,
    constants: Vec<f64>,
    /// The columns of the first recipes, see [`Bank::fill`].
    pieces: Vec<Vec<Column>>,
    recipes: Vec<Recipe>,
    contents: Vec<Contents>,
    scores: Vec<f32>,
    /// `ends[c]` is the number of columns of costs up to c.
    ends: Vec<usize>,
    seen: Hashes,
    /// The blocks of the cost at hand that were not done yet, last one first.
    blocks: Vec<Block>,
    probes: Probes,
    /// Whether bracketings that come later than equal ones are left out, see [`Bank::groups_of_pair`].
    prunes: bool,
    /// The rules for parts of formulas, `None` if all are allowed.
    rules: Option<Rules>,
    /// The number of expressions that were computed.
    pub(crate) enumerated: u64,
}

impl Bank {
    /// Makes the bank of cost 1: the variables and constants.
    pub(crate) fn new(data: &Prepared, operators: &[Op], constants: &[f64], probes: Probes, rules: &Rules) -> Self {
        let with_arity = |arity| operators.iter().copied().filter(|op| op.arity() == arity).collect::<Vec<Op>>();
        let binary = with_arity(2);
        let both = |op| if matches!(op, Op::Add | Op::Mul) { vec![(op, false)] } else { vec![(op, false), (op, true)] };
        let mut bank = Bank {
            ways: binary.iter().flat_map(|&op| both(op)).collect(),
            constants: Vec::new(),
            level: Level::detect(),
            unary: with_arity(1),
            binary,
            leaves: (0..data.n_used()).map(|index| data.leaf(index)).collect(),
            pieces: Vec::new(),
            recipes: Vec::new(),
            contents: Vec::new(),
            scores: Vec::new(),
            ends: vec![0],
            seen: Hashes::new(),
            blocks: Vec::new(),
            probes,
            prunes: rules.allow_all(),
            rules: (!rules.allow_all()).then(|| rules.clone()),
            enumerated: 0,
        };
        let n = data.n_working();
        for index in 0..data.n_used() {
            let (values, scale) = (&data.fit_x[index], data.scales[index]);
            let column = Column(std::array::from_fn(|row| values[row % n] * scale));
            bank.insert_leaf(Recipe::Variable(index as u16), Contents::default(), column);
        }
        bank.constants = constants.iter().copied().filter(|value| value.is_finite()).collect();
        for index in 0..bank.constants.len().min(usize::from(u16::MAX)) {
            let column = Column([bank.constants[index]; ROWS]);
            bank.insert_leaf(Recipe::Constant(index as u16), Contents(Contents::CONSTANT), column);
        }
        bank.ends.push(bank.len());
        bank
    }

    fn insert_leaf(&mut self, recipe: Recipe, contents: Contents, column: Column) {
        let measured = judged(&column, &self.probes);
        if self.seen.insert(measured.hash, 0) {
            self.keep(New { recipe, contents, hash: measured.hash, score: score(&measured.moments) });
            self.push(column);
        }
    }

    /// Returns the number of expressions.
    pub(crate) fn len(&self) -> usize {
        self.recipes.len()
    }

    /// Returns the largest cost of which all distinct expressions are here.
    pub(crate) fn complete_cost(&self) -> usize {
        self.ends.len() - 1
    }

    /// Returns a column.
    pub(crate) fn column(&self, id: u32) -> &Column {
        &self.pieces[id as usize / PIECE][id as usize % PIECE]
    }

    pub(crate) fn is_constant(&self, id: u32) -> bool {
        self.contents[id as usize].is_constant()
    }

    /// Returns the squared correlation with the target.
    pub(crate) fn score(&self, id: u32) -> f32 {
        self.scores[id as usize]
    }

    /// Returns the expression of a column, in raw units.
    pub(crate) fn expr(&self, id: u32) -> Expr {
        self.expr_of(self.recipes[id as usize])
    }

    /// Returns the expression of a recipe, in raw units.
    pub(crate) fn expr_of(&self, recipe: Recipe) -> Expr {
        match recipe {
            Recipe::Variable(index) => self.leaves[usize::from(index)].clone(),
            Recipe::Constant(index) => Expr::constant(self.constants[usize::from(index)]),
            Recipe::Unary(op, a) => Expr::unary(op, &self.expr(a)),
            Recipe::Binary(op, a, b) => Expr::binary(op, &self.expr(a), &self.expr(b)),
        }
    }

    /// Computes the column of a recipe on columns that are stored.
    pub(crate) fn compute(&self, recipe: Recipe) -> Column {
        let mut out = Column::ZERO;
        match recipe {
            Recipe::Unary(op, a) => apply(self.level, op, self.column(a), self.column(a), &mut out),
            Recipe::Binary(op, a, b) => apply(self.level, op, self.column(a), self.column(b), &mut out),
            // Only operators are applied on the fly.
            Recipe::Variable(_) | Recipe::Constant(_) => {}
        }
        out
    }

    /// Returns whether the expression of a recipe may be a part of a formula.
    fn allows(&self, recipe: Recipe) -> bool {
        self.rules.as_ref().is_none_or(|rules| rules.allow_part(&self.expr_of(recipe)))
    }

    /// Returns the cost of a column's expression, the scale of a variable not counted.
    pub(crate) fn cost(&self, id: u32) -> usize {
        self.ends.partition_point(|&end| end <= id as usize)
    }

    /// Grows the bank to `limit` columns or expressions of `max_cost`, and returns whether it can grow further
    /// than that. `go_on` is asked after every round with the work that it did.
    pub(crate) fn grow(
        &mut self,
        pool: &ThreadPool,
        limit: usize,
        max_cost: usize,
        go_on: impl FnMut(usize) -> bool,
    ) -> bool {
        let can_grow = self.enumerate(pool, limit, max_cost, go_on);
        self.fill(pool);
        can_grow
    }

    /// Does what [`Bank::grow`] does, but leaves the columns of the last cost to [`Bank::fill`].
    pub(crate) fn enumerate(
        &mut self,
        pool: &ThreadPool,
        limit: usize,
        max_cost: usize,
        mut go_on: impl FnMut(usize) -> bool,
    ) -> bool {
        while self.len() < limit {
            if self.blocks.is_empty() {
                if self.complete_cost() >= max_cost {
                    return false;
                }
                self.fill_to(pool, self.n_operands(self.complete_cost() + 1));
                self.blocks = self.blocks_of(self.complete_cost() + 1);
                self.blocks.reverse();
                if self.blocks.is_empty() {
                    // Without unary operators there are no expressions of even costs.
                    self.ends.push(self.len());
                    continue;
                }
            }
            let round = self.next_round();
            let this = &*self;
            let new: Vec<(Vec<New>, usize)> =
                pool.install(|| round.par_iter().map(|&block| this.new_of(block)).collect());
            let mut done = 0;
            for (new, n_computed) in new {
                done += n_computed;
                self.insert(&new);
            }
            self.enumerated += done as u64;
            if self.blocks.is_empty() {
                self.ends.push(self.len());
            }
            if !go_on(done * ROWS) {
                break;
            }
        }
        self.complete_cost() < max_cost
    }

    /// Computes all expressions of a cost without storing them, and calls `found` with those that
    /// `wanted` picks by their sums, in order. Returns whether it came to the end.
    pub(crate) fn scan(
        &mut self,
        pool: &ThreadPool,
        cost: usize,
        wanted: impl Fn(&Sums) -> bool + Sync,
        mut found: impl FnMut(&Bank, Recipe),
        mut go_on: impl FnMut(usize) -> bool,
    ) -> bool {
        self.fill(pool);
        // Parts of higher costs, which another bracketing may have, are not stored.
        self.prunes &= cost <= self.complete_cost() + 1;
        let blocks = self.blocks_of(cost);
        let mut next = 0;
        while next < blocks.len() {
            let (from, mut n) = (next, 0);
            while next < blocks.len() && n < 16 * ROUND {
                n += self.count(blocks[next]);
                next += 1;
            }
            let this = &*self;
            let results: Vec<(Vec<Recipe>, usize)> = pool.install(|| {
                let scan = |&block: &Block| {
                    let mut hits = Vec::new();
                    let n = this.each(block, |recipe, _, sums: &Sums| {
                        if wanted(sums) && this.allows(recipe) {
                            hits.push(recipe);
                        }
                    });
                    (hits, n)
                };
                blocks[from..next].par_iter().map(scan).collect()
            });
            let done: usize = results.iter().map(|(_, n)| n).sum();
            self.enumerated += done as u64;
            for hit in results.into_iter().flat_map(|(hits, _)| hits) {
                found(self, hit);
            }
            if !go_on(done * ROWS) {
                return false;
            }
        }
        true
    }

    /// Returns the blocks of all expressions of a cost, whose operands are of complete costs.
    fn blocks_of(&self, cost: usize) -> Vec<Block> {
        let range = |cost: usize| match cost <= self.complete_cost() && cost > 0 {
            true => (self.ends[cost - 1] as u32, self.ends[cost] as u32),
            false => (0, 0),
        };
        const MAX_UNARY: u32 = 256;
        let mut blocks = Vec::new();
        for &op in &self.unary {
            let (from, to) = range(cost.saturating_sub(cost_of(op)));
            let starts = (from..to).step_by(MAX_UNARY as usize);
            blocks.extend(starts.map(|start| Block::Unary { op, from: start, to: to.min(start + MAX_UNARY) }));
        }
        // Binary operators cost 1.
        for smaller in 1..=(cost.saturating_sub(1) / 2) {
            let larger = cost - 1 - smaller;
            let ((first, last), (from, to)) = (range(smaller), range(larger));
            let is_same = smaller == larger;
            for a in first..last {
                let from = if is_same { a } else { from };
                blocks.extend((from < to).then_some(Block::Binary { a, from, to }));
            }
        }
        blocks
    }

    /// Returns the number of expressions of a block, about.
    fn count(&self, block: Block) -> usize {
        match block {
            Block::Unary { from, to, .. } => (to - from) as usize,
            Block::Binary { from, to, .. } => (to - from) as usize * (self.binary.len() + 2),
        }
    }

    /// Takes blocks from the list. Large ones are cut, so that a round is never much larger than [`ROUND`].
    fn next_round(&mut self) -> Vec<Block> {
        const MAX_BINARY: u32 = 512;
        let (mut round, mut n) = (Vec::new(), 0);
        while n < ROUND {
            let Some(block) = self.blocks.pop() else { break };
            let block = match block {
                Block::Binary { a, from, to } if to - from > MAX_BINARY => {
                    self.blocks.push(Block::Binary { a, from: from + MAX_BINARY, to });
                    Block::Binary { a, from, to: from + MAX_BINARY }
                }
                whole => whole,
            };
            n += self.count(block);
            round.push(block);
        }
        round
    }

    /// Measures the expressions of a block that may be applied, and calls `each` with those that are finite and no
    /// constants, unless made of constants, in order. Returns how many were computed.
    fn each<M: Measure>(&self, block: Block, mut each: impl FnMut(Recipe, Contents, &M)) -> usize {
        let mut n = 0;
        match block {
            Block::Unary { op, from, to } => {
                let mut out = Column::ZERO;
                for a in from..to {
                    let contents = self.contents[a as usize];
                    let Some(contents) = Contents::after(op, contents, contents) else { continue };
                    apply(self.level, op, self.column(a), self.column(a), &mut out);
                    n += 1;
                    let measured = M::of(&out, &self.probes);
                    if is_kept(measured.moments(), contents) {
                        each(Recipe::Unary(op, a), contents, &measured);
                    }
                }
            }
            Block::Binary { a, from, to } => {
                let kernels: Vec<Option<M::Kernel>> =
                    self.ways.iter().map(|&(op, is_reversed)| M::kernel(op, is_reversed)).collect();
                let mut measured = vec![[M::default(); TILE]; kernels.len()];
                let mut start = from;
                while start < to {
                    // Columns that are one after another in memory.
                    let piece = start as usize / PIECE;
                    let end = to.min(start + TILE as u32).min(((piece + 1) * PIECE) as u32);
                    let others = &self.pieces[piece][start as usize % PIECE..][..(end - start) as usize];
                    let mut picks = Picks::default();
                    (start..end).for_each(|b| picks.push((b - start) as u8, self.groups_of_pair(a, b)));
                    for ((kernel, out), (op, _)) in kernels.iter().zip(&mut measured).zip(&self.ways) {
                        if let Some(kernel) = kernel {
                            M::block(kernel, self.column(a), others, picks.of(Group::of(*op)), &self.probes, out);
                        }
                    }
                    let mut places = [0; Group::COUNT];
                    for b in start..end {
                        let groups = self.groups_of_pair(a, b);
                        n += self.each_of_pair(a, b, groups, |way, recipe, contents| {
                            let measured = match &kernels[way] {
                                Some(_) => measured[way][places[Group::of(self.ways[way].0) as usize]],
                                None => M::of(&self.compute(recipe), &self.probes),
                            };
                            if is_kept(measured.moments(), contents) {
                                each(recipe, contents, &measured);
                            }
                        });
                        places.iter_mut().zip(groups).for_each(|(place, is_made)| *place += usize::from(is_made));
                    }
                    start = end;
                }
            }
        }
        n
    }

    /// Returns the groups of operators that are applied to two columns, a the earlier one.
    ///
    /// A sum of three terms z, a and w comes in several bracketings, all of the same cost. If z is stored before a, then z
    /// beside what a and w make comes before a beside what z and w make, so the latter is not computed. The same goes for
    /// products. What a and w make is stored, or equal to what is, unless it is a constant: such parts are not built. Two
    /// numbers are combined up to a cost only, and rules may forbid a part, so there nothing is left out.
    #[inline]
    fn groups_of_pair(&self, a: u32, b: u32) -> [bool; Group::COUNT] {
        let (of_a, of_b) = (self.contents[a as usize], self.contents[b as usize]);
        let mut groups = [true; Group::COUNT];
        if of_a.is_constant() && of_b.is_constant() {
            let is_small = self.cost(a) + self.cost(b) < MAX_CONSTANT_COST;
            return [is_small; Group::COUNT];
        }
        if !self.prunes {
            return groups;
        }
        if let Recipe::Binary(op, ..) = self.recipes[a as usize] {
            groups[Group::of(op) as usize] = false;
        }
        if let Recipe::Binary(op, c, d) = self.recipes[b as usize] {
            let is_constant = |id: u32| self.contents[id as usize].is_constant();
            let has_earlier = |z: u32, w: u32| z < a && !(of_a.is_constant() && is_constant(w));
            if has_earlier(c, d) || has_earlier(d, c) {
                groups[Group::of(op) as usize] = false;
            }
        }
        groups[Group::Power as usize] = true;
        groups
    }

    /// Calls `each` with the binary expressions of two columns that may be made, by their places in [`Bank::ways`], and
    /// returns how many there are.
    #[inline]
    fn each_of_pair(
        &self,
        a: u32,
        b: u32,
        groups: [bool; Group::COUNT],
        mut each: impl FnMut(usize, Recipe, Contents),
    ) -> usize {
        let (of_a, of_b) = (self.contents[a as usize], self.contents[b as usize]);
        let mut n = 0;
        for (way, &(op, is_reversed)) in self.ways.iter().enumerate() {
            let (left, right, exponent) = if is_reversed { (b, a, of_a) } else { (a, b, of_b) };
            let may_be = groups[Group::of(op) as usize]
                && match op {
                    // An exponent that is no constant is an exponential function: exp and log do that.
                    Op::Pow => exponent.is_constant(),
                    _ => !is_reversed || a != b,
                };
            if may_be && let Some(contents) = Contents::after(op, of_a, of_b) {
                n += 1;
                each(way, Recipe::Binary(op, left, right), contents);
            }
        }
        n
    }

    /// Returns the expressions of a block that are not stored, and how many were computed.
    fn new_of(&self, block: Block) -> (Vec<New>, usize) {
        let mut new: Vec<New> = Vec::with_capacity(self.count(block) / 4);
        // The table is asked about many at once, see `Hashes::first_slots`.
        let mut batch: Vec<(Recipe, Contents, Judged)> = Vec::with_capacity(hashes::BATCH);
        let n = self.each(block, |recipe, contents, measured: &Judged| {
            batch.push((recipe, contents, *measured));
            if batch.len() == hashes::BATCH {
                self.take_new(&mut batch, &mut new);
            }
        });
        self.take_new(&mut batch, &mut new);
        (new, n)
    }

    fn take_new(&self, batch: &mut Vec<(Recipe, Contents, Judged)>, new: &mut Vec<New>) {
        let first = self.seen.first_slots(batch.iter().map(|(.., measured)| measured.hash));
        for (&(recipe, contents, Judged { moments, hash }), first) in batch.iter().zip(first) {
            if !self.seen.contains(hash, first) && self.allows(recipe) {
                new.push(New { recipe, contents, hash, score: score(&moments) });
            }
        }
        batch.clear();
    }

    /// Keeps the expressions that are equal to none before them.
    fn insert(&mut self, new: &[New]) {
        for batch in new.chunks(hashes::BATCH) {
            let first = self.seen.first_slots(batch.iter().map(|new| new.hash));
            for (new, first) in batch.iter().zip(first) {
                if self.seen.insert(new.hash, first) {
                    self.keep(*new);
                }
            }
        }
    }

    fn keep(&mut self, new: New) {
        self.recipes.push(new.recipe);
        self.contents.push(new.contents);
        self.scores.push(new.score);
    }

    fn push(&mut self, column: Column) {
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        self.pieces.last_mut().expect("one was pushed").push(column);
    }

    /// Returns the number of columns that are stored.
    fn n_filled(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len())
    }

    /// Returns the number of expressions that may be operands of those of a cost.
    fn n_operands(&self, cost: usize) -> usize {
        let least = self.unary.iter().map(|&op| cost_of(op)).min().unwrap_or(2).min(2);
        self.ends[cost.saturating_sub(least).min(self.complete_cost())]
    }

    /// Computes and stores the columns of all expressions.
    pub(crate) fn fill(&mut self, pool: &ThreadPool) {
        self.fill_to(pool, self.len());
    }

    /// Computes and stores the columns of the first expressions, in order, so that their operands are there.
    fn fill_to(&mut self, pool: &ThreadPool, to: usize) {
        // A cost after the other: operands are of smaller costs, but not always of smaller pieces.
        while self.n_filled() < to {
            let filled = self.n_filled();
            let of_one_cost = self.ends.iter().copied().find(|&end| end > filled).unwrap_or(to).min(to);
            let whole = filled.next_multiple_of(PIECE).min(of_one_cost);
            for id in filled..whole {
                let column = self.compute(self.recipes[id]);
                self.push(column);
            }
            let this = &*self;
            let pieces = this.recipes[whole..of_one_cost].par_chunks(PIECE).map(|recipes| {
                let mut piece = Vec::with_capacity(PIECE);
                piece.extend(recipes.iter().map(|&recipe| this.compute(recipe)));
                piece
            });
            let pieces: Vec<Vec<Column>> = pool.install(|| pieces.collect());
            self.pieces.extend(pieces);
        }
    }
}

/// Returns whether a column is finite and no constant, unless made of constants.
fn is_kept(moments: &Moments, contents: Contents) -> bool {
    moments.is_usable() && (moments.is_spread() || contents.is_constant())
}

fn score(moments: &Moments) -> f32 {
    let score = moments.correlation();
    if score.is_finite() { score.min(1.0) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use sr_expr::{Columns, Node, Semantics, predict};

    use sr_expr::rules::{Nesting, UnitRule};
    use sr_expr::units::ConstantUnits;

    use super::*;
    use crate::Data;

    const OPERATORS: [Op; 8] = [Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Sqrt, Op::Exp, Op::Sin, Op::Pow2];

    fn prepared(n: usize) -> Prepared {
        let value =
            |row: usize, column: usize| 0.3 + ((row * 37 + column * 11 + row * row * column) % 101) as f64 / 29.0;
        let x = Columns::from_fn(90, n, value);
        let y: Vec<f64> = (0..90).map(|row| (value(row, 0) * 1.3).sin()).collect();
        Prepared::new(Data { x: &x, y: &y, weights: None }).expect("usable")
    }

    fn bank(n: usize, max_cost: usize, limit: usize, threads: usize) -> (Prepared, Bank) {
        let data = prepared(n);
        let ones = Column([1.0; ROWS]);
        let probes = Probes { target: Column(std::array::from_fn(|row| data.fit_y[row])), outside: [ones, ones] };
        let mut bank = Bank::new(&data, &OPERATORS, &[1.0], probes, &Rules::default());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        bank.grow(&pool, limit, max_cost, |_| true);
        (data, bank)
    }

    /// Returns what a tree contains, or `None` if the bank's rules forbid it.
    fn contents(expr: &Expr) -> Option<Contents> {
        let mut stack: Vec<Contents> = Vec::new();
        for node in expr.nodes() {
            let contents = match node {
                Node::Var(_) => Contents::default(),
                Node::Const(_) => Contents(Contents::CONSTANT),
                Node::Op(op) => {
                    let b = stack.pop()?;
                    let a = if op.arity() == 2 { stack.pop()? } else { b };
                    Contents::after(*op, a, b)?
                }
            };
            stack.push(contents);
        }
        stack.pop()
    }

    /// A column whose relative spread is smaller than this is constant.
    const CONSTANT: f64 = 1e-18;
    /// What is left of x − √x² is rounding, which the bank never computes: to it, √x² is x.
    const ROUNDING: f64 = 1e-20;

    /// Returns the values of a tree, unless the bank's rules forbid it, or it is a constant that is not written as one.
    fn usable(data: &Prepared, expr: &Expr) -> Option<Vec<f64>> {
        let is_constant = contents(expr)?.is_constant();
        let values = predict(expr, &data.fit_table, Semantics::Ieee)[..ROWS].to_vec();
        let squares: f64 = values.iter().map(|v| v * v).sum();
        let spread = crate::linear::spread(&values);
        let is_usable =
            squares.is_finite() && squares > ROUNDING && (is_constant || spread * spread > CONSTANT * squares);
        is_usable.then_some(values)
    }

    /// The definition: all trees of each cost, one by one, without those equal to an earlier one on the working rows.
    fn distinct_by_trial(data: &Prepared, max_cost: usize) -> Vec<Vec<(Expr, Vec<f64>)>> {
        let mut trees: Vec<Vec<Expr>> = vec![vec![], (0..data.n_used()).map(|i| data.variable(i)).collect()];
        trees[1].push(Expr::constant(1.0));
        let mut distinct: Vec<Vec<(Expr, Vec<f64>)>> = Vec::new();
        for cost in 1..=max_cost {
            let mut level: Vec<Expr> = Vec::new();
            for op in OPERATORS {
                if op.arity() == 1 {
                    let operands = cost.checked_sub(cost_of(op)).map_or(&[][..], |cost| &trees[cost]);
                    level.extend(operands.iter().map(|a| Expr::unary(op, a)));
                } else {
                    for left in 1..cost.saturating_sub(1) {
                        for a in &trees[left] {
                            level.extend(trees[cost - 1 - left].iter().map(|b| Expr::binary(op, a, b)));
                        }
                    }
                }
            }
            if cost == 1 {
                level = trees[1].clone();
            } else {
                trees.push(Vec::new());
            }
            distinct.push(Vec::new());
            level.retain(|expr| {
                let Some(values) = usable(data, expr) else { return false };
                let is_equal =
                    |other: &Vec<f64>| other.iter().zip(&values).all(|(a, b)| (a - b).abs() <= 1e-8 * a.abs());
                if !distinct.iter().flatten().any(|(_, other)| is_equal(other)) {
                    distinct[cost - 1].push((expr.clone(), values));
                }
                true
            });
            trees[cost] = level;
        }
        distinct
    }

    #[test]
    fn costs_hold_what_trial_finds() {
        for (n, max_cost) in [(1, 6), (2, 5)] {
            let (data, bank) = bank(n, max_cost, usize::MAX, 1);
            assert_eq!(bank.complete_cost(), max_cost);
            let expected = distinct_by_trial(&data, max_cost);
            let is_missing = |values: &[f64]| {
                let hash = Column(std::array::from_fn(|row| values[row])).hash();
                !bank.seen.contains(hash, 0)
            };
            let all = expected.iter().flatten();
            let missing: Vec<String> =
                all.filter(|(_, values)| is_missing(values)).map(|(expr, _)| expr.to_string()).collect();
            assert!(missing.is_empty(), "{missing:?}");
            let counts: Vec<usize> = bank.ends.windows(2).map(|ends| ends[1] - ends[0]).collect();
            assert_eq!(counts, expected.iter().map(Vec::len).collect::<Vec<_>>(), "{n} variables");
        }
    }

    #[test]
    fn bracketings_that_are_left_out_are_equal_to_others() {
        const POW: [Op; 5] = [Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Pow];
        const SUMS: [Op; 3] = [Op::Add, Op::Mul, Op::Cos];
        for (operators, constants, n, max_cost) in [
            (&OPERATORS[..4], &[1.0, 2.5][..], 2, 7),
            (&OPERATORS[..], &[1.0], 1, 8),
            (&OPERATORS[..], &[], 3, 6),
            (&POW[..], &[2.0], 2, 7),
            (&SUMS[..], &[1.0], 2, 9),
        ] {
            let data = prepared(n);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
            let ones = Column([1.0; ROWS]);
            let probes = Probes { target: Column(std::array::from_fn(|row| data.fit_y[row])), outside: [ones, ones] };
            let bank = |prunes: bool| {
                let mut bank = Bank::new(&data, operators, constants, probes.clone(), &Rules::default());
                bank.prunes = prunes;
                bank.grow(&pool, usize::MAX, max_cost, |_| true);
                bank
            };
            let (whole, pruned) = (bank(false), bank(true));
            assert!(pruned.enumerated < whole.enumerated, "{} of {}", pruned.enumerated, whole.enumerated);
            // Rounding tells a few columns apart that are equal to nine digits, in one bank or the other.
            let is_equal = |a: &Column, b: &Column| a.0.iter().zip(&b.0).all(|(a, b)| (a - b).abs() <= 1e-8 * a.abs());
            let all = |bank: &Bank| -> Vec<Column> { (0..bank.len() as u32).map(|id| *bank.column(id)).collect() };
            for (bank, other) in [(&whole, &pruned), (&pruned, &whole)] {
                let columns = all(other);
                let mut are_rounding: Vec<bool> = Vec::new();
                for id in 0..bank.len() as u32 {
                    let column = bank.column(id);
                    // x + (z − (x + z)) is rounding, of which the bank that leaves out bracketings has less.
                    let is_rounding = column.0.iter().map(|v| v * v).sum::<f64>() < ROUNDING
                        || match bank.recipes[id as usize] {
                            Recipe::Unary(_, a) => are_rounding[a as usize],
                            Recipe::Binary(_, a, b) => are_rounding[a as usize] || are_rounding[b as usize],
                            _ => false,
                        };
                    are_rounding.push(is_rounding);
                    if is_rounding {
                        continue;
                    }
                    let is_there = other.seen.contains(column.hash(), 0) || columns.iter().any(|c| is_equal(column, c));
                    assert!(is_there, "{} of {operators:?}", bank.expr(id));
                }
            }
        }
    }

    #[test]
    fn blocks_hold_what_one_by_one_finds() {
        let (_, mut bank) = bank(2, 6, usize::MAX, 1);
        bank.prunes = false;
        let mut n = 0;
        for block in bank.blocks_of(7) {
            let mut got = Vec::new();
            bank.each(block, |recipe, _, measured: &Judged| {
                got.push((recipe, measured.hash, score(&measured.moments)))
            });
            let mut expected = Vec::new();
            let mut add = |recipe: Recipe, contents: Option<Contents>| {
                let column = bank.compute(recipe);
                let measured = sums(&column, &bank.probes).moments;
                if contents.is_some_and(|contents| is_kept(&measured, contents)) {
                    expected.push((recipe, column.hash(), score(&measured)));
                }
            };
            let contents =
                |op, a: u32, b: u32| Contents::after(op, bank.contents[a as usize], bank.contents[b as usize]);
            match block {
                Block::Unary { op, from, to } => {
                    (from..to).for_each(|a| add(Recipe::Unary(op, a), contents(op, a, a)));
                }
                Block::Binary { a, from, to } => {
                    for b in (from..to).filter(|b| !(bank.is_constant(a) && bank.is_constant(*b))) {
                        for &op in &bank.binary {
                            add(Recipe::Binary(op, a, b), contents(op, a, b));
                            if matches!(op, Op::Sub | Op::Div) && a != b {
                                add(Recipe::Binary(op, b, a), contents(op, b, a));
                            }
                        }
                    }
                }
            }
            assert_eq!(got, expected, "{block:?}");
            n += got.len();
        }
        assert!(n > 10_000, "{n}");
    }

    #[test]
    fn columns_are_the_values_of_their_expressions() {
        let (data, bank) = bank(2, 7, 3000, 2);
        assert!(bank.len() >= 3000);
        for id in (0..bank.len() as u32).step_by(7) {
            let expr = bank.expr(id);
            let cost = |node: &Node| if let Node::Op(op) = node { cost_of(*op) } else { 1 };
            assert_eq!(expr.nodes().iter().map(cost).sum::<usize>(), bank.cost(id), "{expr}");
            assert_eq!(predict(&expr, &data.fit_table, Semantics::Ieee)[..ROWS], bank.column(id).0, "{expr}");
        }
    }

    #[test]
    fn threads_and_steps_change_no_column() {
        let (_, whole) = bank(2, 7, 6000, 1);
        for threads in [2, 8] {
            let (_, other) = bank(2, 7, 6000, threads);
            assert_eq!(other.recipes, whole.recipes);
        }
        let (data, mut steps) = bank(2, 7, 10, 1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("threads");
        while steps.len() < whole.len() {
            steps.grow(&pool, steps.len() + 100, 7, |_| true);
        }
        assert_eq!(steps.recipes[..whole.len()], whole.recipes);
        drop(data);
    }

    #[test]
    fn what_is_scanned_is_what_would_be_stored() {
        let (_, mut small) = bank(1, 4, usize::MAX, 1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
        let mut seen = std::collections::BTreeSet::new();
        let is_whole =
            small.scan(&pool, 5, |_| true, |bank, found| _ = seen.insert(bank.compute(found).hash()), |_| true);
        assert!(is_whole);
        let (_, large) = bank(1, 5, usize::MAX, 1);
        for id in large.ends[4] as u32..large.ends[5] as u32 {
            assert!(seen.contains(&large.column(id).hash()), "{}", large.expr(id));
        }
    }

    #[test]
    fn columns_that_break_the_rules_are_not_built() {
        let data = prepared(2);
        let ones = Column([1.0; ROWS]);
        let probes = Probes { target: Column(std::array::from_fn(|row| data.fit_y[row])), outside: [ones, ones] };
        let rule = UnitRule {
            variables: vec!["m".parse().expect("metre"), "s".parse().expect("second")],
            target: "m/s".parse().expect("a speed"),
            constants: ConstantUnits::Dimensionless,
        };
        let nesting = vec![Nesting { outer: Op::Sqrt, inner: Op::Sqrt, most: 0 }];
        let rules = Rules { units: Some(rule), nesting, max_depth: Some(3), ..Rules::default() };
        let mut bank = Bank::new(&data, &OPERATORS, &[1.0], probes, &rules);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
        bank.grow(&pool, usize::MAX, 6, |_| true);
        let all: Vec<Expr> = (0..bank.len() as u32).map(|id| bank.expr(id)).collect();
        assert!(all.iter().all(|expr| rules.allow_part(expr)));
        let (_, free) = self::bank(2, 6, usize::MAX, 1);
        assert!(4 * all.len() < free.len(), "{} of {}", all.len(), free.len());
        for (text, is_there) in
            [("(x0 / x1)", true), ("(x0 * x1)", true), ("(x0 + x1)", false), ("sqrt(sqrt(x0))", false)]
        {
            assert_eq!(all.iter().any(|expr| expr.to_string() == text), is_there, "{text}");
        }
        // Columns on the fly keep them too.
        let mut hits = Vec::new();
        bank.scan(&pool, 7, |_| true, |bank, recipe| hits.push(bank.expr_of(recipe)), |_| true);
        assert!(!hits.is_empty() && hits.iter().all(|expr| rules.allow_part(expr)));
    }
}
