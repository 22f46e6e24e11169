//! Attention masks, as numbers added to attention scores.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::{Attention, PrefixAttention};

/// The number added to the score of a hidden key. Softmax is safe with −∞ because every query sees at least itself, and
/// `exp` is faster on it than on a large negative number, which takes libm's underflow path.
pub(crate) const HIDDEN: f32 = f32::NEG_INFINITY;

/// The numbers added to the scores of the blocks, `[B, 1, Q, K]` each.
#[derive(Debug, Clone)]
pub(crate) struct Bias {
    pub(crate) global: Tensor<4>,
    /// The bias of blocks with local attention, if the model has any.
    pub(crate) local: Option<Tensor<4>>,
}

impl Bias {
    /// Returns the bias for a block with this kind of attention.
    pub(crate) fn of(&self, attention: Attention) -> Tensor<4> {
        match (attention, &self.local) {
            (Attention::Local, Some(local)) => local.clone(),
            _ => self.global.clone(),
        }
    }
}

/// The layout of rows `[B, N + T]`.
pub(crate) struct Layout<'a> {
    pub(crate) rows: usize,
    /// `[B, N]`: true for real points.
    pub(crate) points: &'a [bool],
    /// `[B, T]` as in [`TrainBatch`](crate::TrainBatch).
    pub(crate) segments: &'a [i32],
    /// `[B, T]` as in [`TrainBatch`](crate::TrainBatch), or empty.
    pub(crate) individuals: &'a [i32],
    /// `[B, T]` as in [`TrainBatch`](crate::TrainBatch).
    pub(crate) positions: &'a [i32],
    pub(crate) prefix_attention: PrefixAttention,
}

impl Layout<'_> {
    /// Returns `[B, 1, L, L]` row-major; entry (i, j) for query i and key j is 0 or [`HIDDEN`].
    ///
    /// A point sees real points (those before it and itself, if causal). A token sees real points, and the tokens up to
    /// itself that belong to the prompt or to its own target; a token of an individual sees no other individual. With a
    /// window, it sees the last `window` positions only. Padding sees itself, so that every query has a key.
    pub(crate) fn bias(&self, window: Option<usize>) -> Vec<f32> {
        let near = |distance: i32| window.is_none_or(|window| (distance as usize) < window);
        let n = self.points.len() / self.rows;
        let t = self.segments.len() / self.rows;
        let l = n + t;
        let mut bias = vec![HIDDEN; self.rows * l * l];
        for (row, cells) in bias.chunks_exact_mut(l * l).enumerate() {
            let points = &self.points[row * n..(row + 1) * n];
            let segments = &self.segments[row * t..(row + 1) * t];
            let individual = |i: usize| self.individuals.get(row * t + i).copied().unwrap_or(0);
            let positions = &self.positions[row * t..(row + 1) * t];
            for (i, keys) in cells.chunks_exact_mut(l).enumerate() {
                keys[i] = 0.0;
                let (to_points, to_tokens) = keys.split_at_mut(n);
                let padding = if i < n { !points[i] } else { segments[i - n] < 0 };
                if padding {
                    continue;
                }
                let visible = if i < n && self.prefix_attention == PrefixAttention::Causal { i + 1 } else { n };
                for (key, &real) in to_points[..visible].iter_mut().zip(points) {
                    if real {
                        *key = 0.0;
                    }
                }
                if let Some(i) = i.checked_sub(n) {
                    let own = individual(i);
                    for (j, key) in to_tokens[..=i].iter_mut().enumerate() {
                        let of_prompt = segments[j] == 0 && (own == 0 || individual(j) == 0);
                        let is_seen = of_prompt || (segments[j] == segments[i] && individual(j) == own);
                        if is_seen && near(positions[i] - positions[j]) {
                            *key = 0.0;
                        }
                    }
                }
            }
        }
        bias
    }

    /// Computes [`bias`](Self::bias) on the device, `[B, 1, L, L]`, from a few numbers per position: on a GPU, writing
    /// and copying the cells would take longer than the pass itself.
    pub(crate) fn bias_on(&self, window: Option<usize>, device: &Device) -> Tensor<4> {
        let n = self.points.len() / self.rows;
        let t = self.segments.len() / self.rows;
        let l = n + t;
        let of_each = |point: &dyn Fn(usize) -> i32, token: &dyn Fn(usize) -> i32| {
            let row = |row: usize| (row * n..(row + 1) * n).map(point).chain((row * t..(row + 1) * t).map(token));
            let values: Vec<i32> = (0..self.rows).flat_map(row).collect();
            let values = Tensor::<2, Int>::from_data(TensorData::new(values, [self.rows, l]), device);
            let as_query = values.clone().reshape([self.rows, 1, l, 1]).expand([self.rows, 1, l, l]);
            (as_query, values.reshape([self.rows, 1, 1, l]).expand([self.rows, 1, l, l]))
        };
        // The group of each position. Queries see their own group and the context; positions after the individuals see
        // those too.
        let individual = |i: usize| self.individuals.get(i).copied().unwrap_or(0);
        let group = |i: usize| match (self.segments[i], individual(i)) {
            (..0, _) => PADDING,
            (0, 0) => CONTEXT,
            (0, individual) => INDIVIDUALS + individual,
            (segment, _) => segment,
        };
        let (of_query, of_key) = of_each(&|point| if self.points[point] { POINT } else { PADDING }, &group);
        let (own, own_of_key) = of_each(&|_| 0, &individual);
        let individual = own_of_key.greater_elem(0);
        let sees_individuals = own.equal_elem(0).bool_and(of_query.clone().greater_elem(POINT));

        let place = Tensor::<1, Int>::arange(0..l as i64, device);
        let query_place = place.clone().reshape([1, 1, l, 1]).expand([self.rows, 1, l, l]);
        let key_place = place.reshape([1, 1, 1, l]).expand([self.rows, 1, l, l]);
        let itself = query_place.clone().equal(key_place.clone());
        let no_later = query_place.clone().greater_equal(key_place);

        let point = of_key.clone().equal_elem(POINT);
        let points: Tensor<4, Bool> = match self.prefix_attention {
            PrefixAttention::Causal => point.bool_and(no_later.clone()),
            PrefixAttention::Bidirectional => point,
        };
        let tokens = of_key
            .clone()
            .equal_elem(CONTEXT)
            .bool_or(of_query.clone().equal(of_key))
            .bool_or(individual.bool_and(sees_individuals))
            .bool_and(no_later)
            .bool_and(query_place.greater_equal_elem(n as i64));
        let tokens = match window {
            Some(window) => {
                let (query, key) = of_each(&|_| 0, &|i| self.positions[i]);
                tokens.bool_and((query - key).lower_elem(window as i64))
            }
            None => tokens,
        };
        let seen = points.bool_or(tokens).bool_and(of_query.greater_equal_elem(POINT)).bool_or(itself);
        Tensor::<4>::zeros([self.rows, 1, l, l], device).mask_fill(seen.bool_not(), HIDDEN)
    }
}

/// Groups of positions; targets have their segment, individuals [`INDIVIDUALS`] plus their number.
const PADDING: i32 = -2;
const POINT: i32 = -1;
const CONTEXT: i32 = 0;
const INDIVIDUALS: i32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceKind, open};
    use proptest::prelude::*;

    fn picture(prefix_attention: PrefixAttention, window: Option<usize>) -> String {
        let layout = Layout {
            rows: 1,
            points: &[true, true, false],
            segments: &[0, 0, 1, 1, 2, -1],
            individuals: &[],
            positions: &[0, 1, 2, 3, 2, 0],
            prefix_attention,
        };
        let bias = layout.bias(window);
        let line = |keys: &[f32]| keys.iter().map(|&b| if b == 0.0 { 'x' } else { '.' }).collect::<String>();
        bias.chunks(9).map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn targets_see_points_and_prompt_but_not_each_other() {
        let expected = "\
xx.......
xx.......
..x......
xx.x.....
xx.xx....
xx.xxx...
xx.xxxx..
xx.xx..x.
........x";
        assert_eq!(picture(PrefixAttention::Bidirectional, None), expected);
        assert_eq!(picture(PrefixAttention::Bidirectional, Some(4)), expected);
        assert_eq!(picture(PrefixAttention::Causal, None), expected.replacen("xx", "x.", 1));
    }

    #[test]
    fn a_window_counts_positions_and_leaves_points_alone() {
        let expected = "\
xx.......
xx.......
..x......
xx.x.....
xx.xx....
xx..xx...
xx...xx..
xx..x..x.
........x";
        assert_eq!(picture(PrefixAttention::Bidirectional, Some(2)), expected);
    }

    #[test]
    fn individuals_see_the_context_and_themselves() {
        let (segments, individuals) = (&[0, 0, 0, 0, 0, 1, 1], &[0, 1, 1, 2, 0, 0, 0]);
        let prefix_attention = PrefixAttention::Causal;
        let positions = &[0, 1, 2, 1, 1, 2, 3];
        let bias = Layout { rows: 1, points: &[], segments, individuals, positions, prefix_attention }.bias(None);
        let line = |keys: &[f32]| keys.iter().map(|&b| if b == 0.0 { 'x' } else { '.' }).collect::<String>();
        let lines: Vec<String> = bias.chunks(7).map(line).collect();
        assert_eq!(lines, ["x......", "xx.....", "xxx....", "x..x...", "xxxxx..", "xxxxxx.", "xxxxxxx"]);
    }

    proptest! {
        #[test]
        fn a_device_makes_the_same(
            points in prop::collection::vec(any::<bool>(), 0..3),
            cells in prop::collection::vec((-1i32..3, 0i32..3, 0i32..9), 2..9),
            causal in any::<bool>(),
            window in prop::option::of(1usize..4),
        ) {
            let rows = 2;
            let cells = [&cells[..], &cells.iter().rev().copied().collect::<Vec<_>>()].concat();
            let points: Vec<bool> = points.iter().chain(points.iter().rev()).copied().collect();
            let segments: Vec<i32> = cells.iter().map(|cell| cell.0).collect();
            // Only tokens of the prompt belong to individuals.
            let individuals: Vec<i32> = cells.iter().map(|cell| if cell.0 == 0 { cell.1 } else { 0 }).collect();
            let mut positions: Vec<i32> = cells.iter().map(|cell| cell.2).collect();
            positions.chunks_exact_mut(segments.len() / rows).for_each(<[i32]>::sort_unstable);
            let prefix_attention = if causal { PrefixAttention::Causal } else { PrefixAttention::Bidirectional };
            for individuals in [&individuals[..], &[]] {
                let (points, segments, positions) = (&points[..], &segments[..], &positions[..]);
                let layout = Layout { rows, points, segments, individuals, positions, prefix_attention };
                let device = open(DeviceKind::Cpu).unwrap();
                let made: Vec<f32> = layout.bias_on(window, &device).try_into_vec_as().unwrap();
                prop_assert_eq!(made, layout.bias(window));
            }
        }

        #[test]
        fn every_query_has_a_live_key_and_no_token_sees_the_future(
            points in prop::collection::vec(any::<bool>(), 0..5),
            segments in prop::collection::vec(-1i32..4, 1..9),
            causal in any::<bool>(),
            window in prop::option::of(1usize..4),
        ) {
            let prefix_attention = if causal { PrefixAttention::Causal } else { PrefixAttention::Bidirectional };
            let (n, l) = (points.len(), points.len() + segments.len());
            let positions: Vec<i32> = (0..segments.len() as i32).collect();
            let (points, segments, positions) = (&points[..], &segments[..], &positions[..]);
            let bias = Layout { rows: 1, points, segments, individuals: &[], positions, prefix_attention }.bias(window);
            for i in 0..l {
                prop_assert_eq!(bias[i * l + i], 0.0);
                for j in (i + 1).max(n)..l {
                    prop_assert_eq!(bias[i * l + j], HIDDEN);
                }
            }
        }
    }
}
