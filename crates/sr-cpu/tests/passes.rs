//! Passes against each other and against finite differences.

use sr_cpu::{Activation, Growth, Label, Next, Pass, Prefixes, PromptCache, Row, Rows, Run, Shape, Siblings, Weights};

const SHAPE: Shape = Shape {
    vocabulary: 23,
    positions: 64,
    features: 4,
    marks: 5,
    width: 24,
    layers: 2,
    heads: 3,
    hidden: 40,
    scale: 0.7,
    activation: Activation::Gelu,
    epsilon: 1e-5,
};

fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn weights(seed: u64) -> Weights {
    let values = numbers(SHAPE.n_weights(), seed).into_iter().map(|x| 0.5 * x).collect();
    Weights::new(SHAPE, values)
}

/// A row of 3 points, a context of 4 tokens, individuals of 5 and 3 tokens that do not see each other, a token that
/// sees all of them, and targets of 4 and 2 tokens.
fn row() -> Row {
    let run = |start, len, sees, causal| Run { start, len, sees, causal };
    Row {
        prefix: 3,
        tokens: 19,
        runs: vec![
            run(0, 3, 0, false),
            run(3, 4, 3, true),
            run(7, 5, 7, true),
            run(12, 3, 7, true),
            run(15, 1, 15, true),
            run(16, 4, 16, true),
            run(20, 2, 16, true),
        ],
    }
}

fn rows(n: usize) -> Rows {
    let total = 19 * n;
    let ids = |modulus: usize, factor: usize| (0..total).map(|i| (i * factor % modulus) as i32).collect();
    Rows {
        rows: vec![row(); n],
        tokens: ids(23, 7),
        positions: ids(19, 1),
        features: ids(4, 3),
        // Two marks a token of the prompt, and none in a target.
        marks: (0..total * 2).map(|i| if i % 38 < 26 { (i * 5 % 6) as i32 } else { 0 }).collect(),
        prefix: numbers(3 * 24 * n, 5),
        labels: (0..n)
            .flat_map(|row| (13..19).map(move |at| Label { token: 19 * row + at, label: at, weight: 0.1 * at as f32 }))
            .collect(),
    }
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    for activation in [Activation::Gelu, Activation::GeluNew] {
        let shape = Shape { activation, ..SHAPE };
        let (flat, rows) = (numbers(shape.n_weights(), 1).into_iter().map(|x| 0.4 * x).collect::<Vec<_>>(), rows(2));
        let weights = Weights::new(shape, flat.clone());
        let mut pass = Pass::default();
        let mut gradient = vec![0.0; flat.len()];
        let (loss, dprefix) = pass.gradients(&weights, &weights.transposes(), &rows, &mut gradient);
        assert!((loss - pass.loss(&weights, &rows)).abs() < 1e-5 * loss);
        // Along random directions, which touch every weight.
        for seed in 2..8 {
            let step = 1e-3;
            let (direction, along) = (numbers(flat.len(), seed), numbers(dprefix.len(), !seed));
            let mut moved = |sign: f32| {
                let flat = flat.iter().zip(&direction).map(|(w, d)| w + sign * step * d).collect();
                let prefix = rows.prefix.iter().zip(&along).map(|(p, d)| p + sign * step * d).collect();
                pass.loss(&Weights::new(shape, flat), &Rows { prefix, ..rows.clone() })
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * f64::from(step));
            let dot = |g: &[f32], d: &[f32]| g.iter().zip(d).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum::<f64>();
            let expected = dot(&gradient, &direction) + dot(&dprefix, &along);
            let size = dot(&gradient, &gradient).sqrt();
            assert!((slope - expected).abs() < 2e-3 * size, "{activation:?} {seed}: {slope} {expected} {size}");
        }
    }
}

/// Tests a run that is processed in blocks, and a second row whose target sees such a run.
#[test]
fn gradients_of_long_runs_are_the_slopes_of_the_loss() {
    let run = |start, len, sees| Run { start, len, sees, causal: true };
    let (a, b) = (vec![run(0, 231, 0)], vec![run(0, 120, 0), run(120, 100, 120), run(220, 11, 120)]);
    let rows = Rows {
        rows: [a, b].map(|runs| Row { prefix: 0, tokens: 231, runs }).into(),
        tokens: (0..462).map(|i| i * 7 % 23).collect(),
        positions: (0..462).map(|i| i * 5 % 64).collect(),
        labels: (0..462).step_by(9).map(|token| Label { token, label: token % 23, weight: 0.02 }).collect(),
        ..Rows::default()
    };
    let flat: Vec<f32> = numbers(SHAPE.n_weights(), 1).into_iter().map(|x| 0.4 * x).collect();
    let (weights, mut pass) = (Weights::new(SHAPE, flat.clone()), Pass::default());
    let mut gradient = vec![0.0; flat.len()];
    pass.gradients(&weights, &weights.transposes(), &rows, &mut gradient);
    let size = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
    for seed in 2..6 {
        let direction = numbers(flat.len(), seed);
        let mut moved = |step: f32| {
            let flat = flat.iter().zip(&direction).map(|(w, d)| w + step * d).collect();
            pass.loss(&Weights::new(SHAPE, flat), &rows)
        };
        let slope = (moved(1e-3) - moved(-1e-3)) / 2e-3;
        let expected: f64 = gradient.iter().zip(&direction).map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
        assert!((slope - expected).abs() < 2e-3 * size, "{seed}: {slope} {expected} {size}");
    }
}

#[test]
fn rows_do_not_see_each_other() {
    let (weights, mut pass) = (weights(3), Pass::default());
    let both = rows(2);
    let logits = pass.all_logits(&weights, &both);
    let part = |row: usize| Rows {
        rows: vec![both.rows[row].clone()],
        tokens: both.tokens[19 * row..19 * (row + 1)].to_vec(),
        positions: both.positions[19 * row..19 * (row + 1)].to_vec(),
        features: both.features[19 * row..19 * (row + 1)].to_vec(),
        marks: both.marks[38 * row..38 * (row + 1)].to_vec(),
        prefix: both.prefix[72 * row..72 * (row + 1)].to_vec(),
        labels: vec![],
    };
    for row in 0..2 {
        let alone = pass.all_logits(&weights, &part(row));
        assert!(alone == logits[row * alone.len()..(row + 1) * alone.len()], "the same bits");
    }
}

#[test]
fn a_token_changes_only_what_sees_it() {
    let (weights, mut pass, mut rows) = (weights(4), Pass::default(), rows(1));
    let before = pass.all_logits(&weights, &rows);
    rows.tokens[6] ^= 1; // within the first individual
    let after = pass.all_logits(&weights, &rows);
    let changed: Vec<usize> =
        (0..19).filter(|&t| before[t * 23..(t + 1) * 23] != after[t * 23..(t + 1) * 23]).collect();
    assert_eq!(changed, [6, 7, 8, 12, 13, 14, 15, 16, 17, 18]);
}

#[test]
fn decoding_gives_the_logits_of_a_whole_pass() {
    let (weights, mut pass) = (weights(6), Pass::default());
    let whole = rows(1);
    let prompt = Rows {
        rows: vec![Row { prefix: 3, tokens: 13, runs: whole.rows[0].runs[..5].to_vec() }],
        tokens: whole.tokens[..13].to_vec(),
        positions: whole.positions[..13].to_vec(),
        features: whole.features[..13].to_vec(),
        marks: whole.marks[..26].to_vec(),
        prefix: whole.prefix.clone(),
        labels: vec![],
    };
    let logits = pass.all_logits(&weights, &whole);
    let read = PromptCache::read(&weights, &prompt, &mut pass);
    let (mut siblings, mut prefixes) = (Siblings::new(&weights), Prefixes::default());
    let next = |prefix: u32, at: usize| Next {
        prefix,
        token: whole.tokens[at],
        position: whole.positions[at],
        feature: whole.features[at],
    };
    let other = |prefix: u32| Next { prefix, token: 1, position: 20, feature: 0 };
    // The last prefix of the first target, of the second, and of a text that is dropped after two steps.
    let (mut first, mut second, mut dropped) = (Prefixes::NONE, Prefixes::NONE, Prefixes::NONE);
    for step in 0..4 {
        let of_second = if step < 2 { next(second, 17 + step) } else { other(second) };
        let mut tokens = vec![next(first, 13 + step), of_second];
        if step < 2 {
            tokens.insert(1, other(dropped));
        }
        let n_new = tokens.len();
        let number = |index: usize| (prefixes.len() + index) as u32;
        (first, dropped, second) = (number(0), number(1), number(n_new - 1));
        let growth = Growth { prompt: &read, prefixes: &mut prefixes, n_new };
        let found = siblings.advance(&mut [growth], &tokens).to_vec();
        let close = |row: usize, at: usize| {
            let pairs = found[row * 23..(row + 1) * 23].iter().zip(&logits[at * 23..(at + 1) * 23]);
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-4), "step {step} row {row}: {pairs:?}");
        };
        close(0, 13 + step);
        if step < 2 {
            close(2, 17 + step);
        }
    }
    assert_eq!(prefixes.len(), 10);
    // Another prompt's prefixes beside it, and a longer way to the same one, change no bit.
    let again = |prefixes: &mut Prefixes, siblings: &mut Siblings<'_>| {
        let (mut others, prefix) = (Prefixes::default(), prefixes.len() as u32 - 10);
        let mut growths = [
            Growth { prompt: &PromptCache::default(), prefixes: &mut others, n_new: 2 },
            Growth { prompt: &read, prefixes, n_new: 1 },
        ];
        let tokens = [other(Prefixes::NONE), next(Prefixes::NONE, 14), next(prefix, 14)];
        siblings.advance(&mut growths, &tokens)[2 * 23..].to_vec()
    };
    let beside = again(&mut prefixes, &mut siblings);
    let mut alone = Prefixes::default();
    siblings.advance(&mut [Growth { prompt: &read, prefixes: &mut alone, n_new: 1 }], &[next(Prefixes::NONE, 13)]);
    let growth = Growth { prompt: &read, prefixes: &mut alone, n_new: 1 };
    assert_eq!(siblings.advance(&mut [growth], &[next(0, 14)]), beside);
    alone.clear();
    assert!(alone.is_empty());
}
