//! Weights, packed for matrix products.

use crate::product::Packed;
use crate::shape::{Layout, Shape};

/// The weights of a transformer, ready for forward passes. They are packed again whenever they change.
#[derive(Debug)]
pub struct Weights {
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
    pub(crate) flat: Vec<f32>,
    pub(crate) blocks: Vec<Block>,
    /// The head, `[C, V]`.
    pub(crate) head: Packed,
}

/// The matrices of a block.
#[derive(Debug)]
pub(crate) struct Block {
    /// Query, key and value side by side, `[C, 3C]`.
    pub(crate) heads: Packed,
    pub(crate) out: Packed,
    pub(crate) up: Packed,
    pub(crate) down: Packed,
}

/// The transposed matrices, for backward passes.
#[derive(Debug)]
pub struct Transposes {
    pub(crate) blocks: Vec<Block>,
    /// The token embedding, `[V, C]`.
    pub(crate) head: Packed,
}

impl Weights {
    /// Packs all weights, given in the order of [`Shape::n_weights`].
    ///
    /// # Panics
    /// Panics if there are more or fewer weights, or the width is no multiple of the number of heads.
    pub fn new(shape: Shape, flat: Vec<f32>) -> Self {
        let layout = shape.layout();
        assert_eq!(flat.len(), layout.len, "as many weights as the shape has");
        assert!(shape.width.is_multiple_of(shape.heads), "heads of one width");
        let (c, m) = (shape.width, shape.hidden);
        let blocks = layout.blocks.iter().map(|block| Block {
            heads: Packed::rows(&side_by_side(&flat, block, c), c, 3 * c, 3 * c),
            out: Packed::rows(&flat[block.out.clone()], c, c, c),
            up: Packed::rows(&flat[block.up.clone()], c, m, m),
            down: Packed::rows(&flat[block.down.clone()], m, c, c),
        });
        let blocks = blocks.collect();
        let head = Packed::transposed(&flat[layout.token.clone()], c, shape.vocabulary, c);
        Weights { shape, layout, flat, blocks, head }
    }

    /// Returns the shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Makes the transposed matrices, which a backward pass needs too.
    pub fn transposes(&self) -> Transposes {
        let Weights { shape, layout, flat, .. } = self;
        let (c, m) = (shape.width, shape.hidden);
        let blocks = layout.blocks.iter().map(|block| Block {
            heads: Packed::transposed(&side_by_side(flat, block, c), 3 * c, c, 3 * c),
            out: Packed::transposed(&flat[block.out.clone()], c, c, c),
            up: Packed::transposed(&flat[block.up.clone()], m, c, m),
            down: Packed::transposed(&flat[block.down.clone()], c, m, c),
        });
        Transposes { blocks: blocks.collect(), head: Packed::rows(&flat[layout.token.clone()], shape.vocabulary, c, c) }
    }
}

/// Returns query, key and value as one matrix of three times the width.
fn side_by_side(flat: &[f32], block: &crate::shape::BlockLayout, c: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(3 * c * c);
    for row in 0..c {
        for matrix in &block.heads {
            all.extend_from_slice(&flat[matrix.start + row * c..][..c]);
        }
    }
    all
}
