//! Who may attend to whom: as runs of positions, and as numbers added to attention scores, which are made from the runs.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use sr_cpu::Run;

use crate::{Attention, PrefixAttention};

/// Added to the score of a key that must not be seen. Softmax is safe with −∞ because every query sees at least itself, and
/// `exp` is faster on it than on a large negative number, which takes libm's underflow path.
pub(crate) const HIDDEN: f32 = f32::NEG_INFINITY;

/// What is added to the scores of the blocks, `[B, 1, Q, K]` each.
#[derive(Debug, Clone)]
pub(crate) struct Bias {
    pub(crate) global: Tensor<4>,
    /// There if the model has blocks with local attention.
    pub(crate) local: Option<Tensor<4>>,
}

impl Bias {
    /// For a block with this kind of attention.
    pub(crate) fn of(&self, attention: Attention) -> Tensor<4> {
        match (attention, &self.local) {
            (Attention::Local, Some(local)) => local.clone(),
            _ => self.global.clone(),
        }
    }
}

/// Who sees whom in rows `[B, N + T]` of points and tokens.
///
/// A point sees real points (those before it and itself, if causal). A token sees real points, and the tokens up to
/// itself that belong to the prompt or to its own target, of which one of an individual sees no other individual's;
/// with a window, those of the last `window` positions only. Padding sees itself, so that every query has a live key.
pub(crate) struct Visibility<'a> {
    pub(crate) rows: usize,
    /// `[B, N]`, true for real points, which come first in their row.
    pub(crate) points: &'a [bool],
    /// `[B, T]` as in [`TrainBatch`](crate::TrainBatch); padding comes last in its row.
    pub(crate) segments: &'a [i32],
    /// `[B, T]` as there, or empty.
    pub(crate) individuals: &'a [i32],
    /// `[B, T]` as in [`TrainBatch`](crate::TrainBatch).
    pub(crate) positions: &'a [i32],
    pub(crate) prefix_attention: PrefixAttention,
}

/// Returns who sees whom in a row without padding: points, then tokens of these segments and individuals (empty for none).
///
/// This is where it is decided; all else follows from it.
pub(crate) fn runs(points: usize, segments: &[i32], individuals: &[i32], attention: PrefixAttention) -> Vec<Run> {
    let mut runs = Vec::new();
    if points > 0 {
        runs.push(Run { start: 0, len: points, sees: 0, causal: attention == PrefixAttention::Causal });
    }
    let part = |token: usize| (segments[token], individuals.get(token).copied().unwrap_or(0));
    let prompt = points + segments.iter().take_while(|&&segment| segment == 0).count();
    let context = (0..segments.len()).take_while(|&token| part(token) == (0, 0)).count();
    let mut token = 0;
    while token < segments.len() {
        let (segment, individual) = part(token);
        let len = (token..segments.len()).take_while(|&next| part(next) == (segment, individual)).count();
        let start = points + token;
        let sees = match (segment, individual) {
            (0, 0) if token == 0 => points,
            (0, 0) => start,
            (0, _) => points + context,
            _ => prompt,
        };
        runs.push(Run { start, len, sees, causal: true });
        token += len;
    }
    runs
}

/// The keys that a query sees, as cells of its row `[N + T]`.
#[derive(Debug, Clone, Copy, Default)]
struct Keys {
    /// From the first point on.
    points: usize,
    /// From the first token to this cell.
    prompt: usize,
    /// Of its own run.
    own: (usize, usize),
}

impl Visibility<'_> {
    /// `(N, T)`
    fn sizes(&self) -> (usize, usize) {
        (self.points.len() / self.rows, self.segments.len() / self.rows)
    }

    /// The keys of each query, `[B, N + T]`; a query sees itself beside them.
    fn keys(&self) -> Vec<Keys> {
        let (n, t) = self.sizes();
        let mut all = Vec::with_capacity(self.rows * (n + t));
        for row in 0..self.rows {
            let points = self.points[row * n..][..n].iter().take_while(|&&real| real).count();
            let cells = row * t..(row + 1) * t;
            let segments = &self.segments[cells.clone()];
            let tokens = segments.iter().take_while(|&&segment| segment >= 0).count();
            debug_assert!(!self.points[row * n + points..][..n - points].contains(&true));
            debug_assert!(segments[tokens..].iter().all(|&segment| segment < 0));
            let individuals = self.individuals.get(cells).map_or(&[][..], |row| &row[..tokens]);
            // Between points and tokens the row may have padding.
            let cell = |place: usize| if place < points { place } else { n + place - points };
            let mut keys = vec![Keys::default(); n + t];
            for run in runs(points, &segments[..tokens], individuals, self.prefix_attention) {
                let (start, end) = (cell(run.start), cell(run.start + run.len - 1) + 1);
                let seen =
                    Keys { points: run.sees.min(points), prompt: n + run.sees.saturating_sub(points), own: (0, 0) };
                for query in start..end {
                    keys[query] = Keys { own: (start, if run.causal { query + 1 } else { end }), ..seen };
                }
            }
            all.append(&mut keys);
        }
        all
    }

    /// `[B, 1, L, L]` row-major, entry (i, j) for query i and key j: 0 or [`HIDDEN`].
    pub(crate) fn bias(&self, window: Option<usize>) -> Vec<f32> {
        let (n, t) = self.sizes();
        let l = n + t;
        let mut bias = vec![HIDDEN; self.rows * l * l];
        for (query, (cells, keys)) in bias.chunks_exact_mut(l.max(1)).zip(self.keys()).enumerate() {
            let (row, query) = (query / l, query % l);
            cells[..keys.points].fill(0.0);
            if n < keys.prompt {
                cells[n..keys.prompt].fill(0.0);
            }
            cells[keys.own.0..keys.own.1].fill(0.0);
            if let (Some(window), Some(token)) = (window, query.checked_sub(n)) {
                let positions = &self.positions[row * t..][..t];
                let is_far = |key: usize| (positions[token] - positions[key]) as usize >= window;
                (0..=token).filter(|&key| is_far(key)).for_each(|key| cells[n + key] = HIDDEN);
            }
            cells[query] = 0.0;
        }
        bias
    }

    /// [`bias`](Self::bias) made on the device, `[B, 1, L, L]`, from a few numbers a position: on a GPU, writing and
    /// copying the cells takes longer than what is computed with them.
    pub(crate) fn bias_on(&self, window: Option<usize>, device: &Device) -> Tensor<4> {
        let (n, t) = self.sizes();
        let (rows, l) = (self.rows, n + t);
        let keys = self.keys();
        let on_device = |values: Vec<i32>| Tensor::<2, Int>::from_data(TensorData::new(values, [rows, l]), device);
        let of_query = |bound: &dyn Fn(&Keys) -> usize| {
            let values = keys.iter().map(|keys| bound(keys) as i32).collect();
            on_device(values).reshape([rows, 1, l, 1]).expand([rows, 1, l, l])
        };
        let place = Tensor::<1, Int>::arange(0..l as i64, device);
        let query = place.clone().reshape([1, 1, l, 1]).expand([rows, 1, l, l]);
        let key = place.reshape([1, 1, 1, l]).expand([rows, 1, l, l]);
        let before = |bound: &dyn Fn(&Keys) -> usize| key.clone().lower(of_query(bound));
        let is_token = key.clone().greater_equal_elem(n as i64);

        let own = before(&|keys| keys.own.1).bool_and(key.clone().greater_equal(of_query(&|keys| keys.own.0)));
        let mut seen =
            before(&|keys| keys.points).bool_or(before(&|keys| keys.prompt).bool_and(is_token.clone())).bool_or(own);
        if let Some(window) = window {
            let position = |i: usize| if i % l < n { 0 } else { self.positions[i / l * t + i % l - n] };
            let positions = on_device((0..rows * l).map(position).collect());
            let of_key = positions.clone().reshape([rows, 1, 1, l]).expand([rows, 1, l, l]);
            let of_query = positions.reshape([rows, 1, l, 1]).expand([rows, 1, l, l]);
            let is_near: Tensor<4, Bool> = (of_query - of_key).lower_elem(window as i64);
            seen = seen.bool_and(is_near.bool_or(is_token.bool_not()));
        }
        let seen = seen.bool_or(query.equal(key));
        Tensor::<4>::zeros([rows, 1, l, l], device).mask_fill(seen.bool_not(), HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceKind;
    use proptest::prelude::*;

    fn picture(prefix_attention: PrefixAttention, window: Option<usize>) -> String {
        let visibility = Visibility {
            rows: 1,
            points: &[true, true, false],
            segments: &[0, 0, 1, 1, 2, -1],
            individuals: &[],
            positions: &[0, 1, 2, 3, 2, 0],
            prefix_attention,
        };
        let bias = visibility.bias(window);
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
        let bias = Visibility { rows: 1, points: &[], segments, individuals, positions, prefix_attention }.bias(None);
        let line = |keys: &[f32]| keys.iter().map(|&b| if b == 0.0 { 'x' } else { '.' }).collect::<String>();
        let lines: Vec<String> = bias.chunks(7).map(line).collect();
        assert_eq!(lines, ["x......", "xx.....", "xxx....", "x..x...", "xxxxx..", "xxxxxx.", "xxxxxxx"]);
    }

    /// Rows that are laid out as those of training are.
    #[derive(Debug, Clone)]
    struct Rows {
        points: Vec<bool>,
        segments: Vec<i32>,
        individuals: Vec<i32>,
        positions: Vec<i32>,
    }

    const POINTS: usize = 3;
    const TOKENS: usize = 12;

    fn row() -> impl Strategy<Value = Rows> {
        let parts = || prop::collection::vec(1usize..4, 0..4);
        let sizes = (0..=POINTS, 0usize..3, parts(), 0usize..3, parts());
        (sizes, prop::collection::vec(0i32..9, TOKENS)).prop_map(
            |((points, context, inds, rest, targets), mut positions)| {
                let mut cells = vec![(0, 0); context];
                (1..).zip(inds).for_each(|(number, size)| cells.extend(vec![(0, number); size]));
                cells.extend(vec![(0, 0); rest]);
                (1..).zip(targets).for_each(|(number, size)| cells.extend(vec![(number, 0); size]));
                cells.resize(TOKENS, (-1, 0));
                positions.sort_unstable();
                let points = (0..POINTS).map(|point| point < points).collect();
                let (segments, individuals) = cells.into_iter().unzip();
                Rows { points, segments, individuals, positions }
            },
        )
    }

    /// The rule, a pair of cells at a time.
    fn sees(row: &Rows, attention: PrefixAttention, window: Option<usize>, query: usize, key: usize) -> bool {
        if query == key {
            return true;
        }
        let token = |cell: usize| cell.checked_sub(POINTS);
        let is_padding = |cell: usize| token(cell).map_or_else(|| !row.points[cell], |token| row.segments[token] < 0);
        if is_padding(query) || is_padding(key) {
            return false;
        }
        match (token(query), token(key)) {
            (None, None) => attention == PrefixAttention::Bidirectional || key < query,
            (None, Some(_)) => false,
            (Some(_), None) => true,
            (Some(i), Some(j)) => {
                let (own, other) = (row.individuals[i], row.individuals[j]);
                let of_prompt = row.segments[j] == 0 && (own == 0 || other == 0);
                let is_near = window.is_none_or(|window| ((row.positions[i] - row.positions[j]) as usize) < window);
                j < i && is_near && (of_prompt || row.segments[i] == row.segments[j] && own == other)
            }
        }
    }

    proptest! {
        #[test]
        fn runs_host_and_device_follow_the_rule(
            pair in [row(), row()],
            causal in any::<bool>(),
            window in prop::option::of(1usize..4),
        ) {
            let prefix_attention = if causal { PrefixAttention::Causal } else { PrefixAttention::Bidirectional };
            let join = |part: fn(&Rows) -> &[i32]| pair.iter().flat_map(part).copied().collect::<Vec<_>>();
            let points: Vec<bool> = pair.iter().flat_map(|row| row.points.clone()).collect();
            let (segments, positions) = (&join(|row| &row.segments)[..], &join(|row| &row.positions)[..]);
            let (points, individuals) = (&points[..], &join(|row| &row.individuals)[..]);
            let visibility = Visibility { rows: 2, points, segments, individuals, positions, prefix_attention };
            let l = POINTS + TOKENS;
            let cells = pair.iter().flat_map(|row| (0..l * l).map(move |cell| (row, cell / l, cell % l)));
            let rule = |(row, query, key)| sees(row, prefix_attention, window, query, key);
            let expected: Vec<f32> = cells.map(|cell| if rule(cell) { 0.0 } else { HIDDEN }).collect();
            prop_assert_eq!(&visibility.bias(window), &expected);
            let device = DeviceKind::Cpu.open().unwrap();
            let made: Vec<f32> = visibility.bias_on(window, &device).try_into_vec_as().unwrap();
            prop_assert_eq!(made, expected);
        }
    }

    #[test]
    fn without_individuals_all_of_the_prompt_is_context() {
        let (points, segments, positions) = (&[true], &[0, 0, 1, -1], &[0, 1, 2, 0]);
        let prefix_attention = PrefixAttention::Causal;
        let with = |individuals| Visibility { rows: 1, points, segments, individuals, positions, prefix_attention };
        assert_eq!(with(&[]).bias(None), with(&[0; 4]).bias(None));
    }
}
