//! Decoding: independent of batching, obedient to mask and limits.

use sr_model::{
    Channel, DecodeRequest, Decoder, DeviceKind, Error, Model, ModelConfig, Points, PointsConfig, Prompt, Sample, open,
};

const START: i32 = 1;
const EOS: i32 = 0;

fn decoder() -> Decoder {
    decoder_with(PointsConfig::learner(4))
}

fn decoder_with(points: PointsConfig) -> Decoder {
    let points = PointsConfig { n_variables: 1, channels: vec![Channel::X, Channel::Y], hidden: 8, ..points };
    let config = ModelConfig {
        n_positions: 128,
        n_features: 7,
        d_model: 32,
        n_layers: 2,
        n_heads: 4,
        d_mlp: 64,
        points: Some(points),
        ..ModelConfig::micro(40)
    };
    Decoder::new(&Model::new(&config, 3, &open(DeviceKind::Cpu).unwrap()).unwrap())
}

/// Sixteen states: prompts of 0 to 75 tokens with and without points, 1, 2 or 19 siblings.
fn states() -> (Vec<Prompt>, Vec<usize>) {
    let prompt = |i: i32| Prompt {
        tokens: (0..i * 5).map(|t| (t * 7 + i) % 40).collect(),
        points: (i % 3 == 0).then(|| Points { values: vec![0.1 * i as f32; 2 * (i as usize % 5)] }),
    };
    ((0..16).map(prompt).collect(), (0..16).map(|i| [1, 2, 19][i % 3]).collect())
}

/// A uniform number that depends on its key alone.
fn keyed(state: usize, sibling: usize, step: usize) -> f64 {
    let mut z = (state * 1_000_003 + sibling * 1_009 + step) as u64;
    for _ in 0..3 {
        z = (z ^ (z >> 29)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    (z >> 11) as f64 / (1u64 << 53) as f64
}

fn decode_all(decoder: &Decoder, max_batch_tokens: usize) -> Vec<Vec<Sample>> {
    let (prompts, siblings) = states();
    let request = DecodeRequest {
        max_new_tokens: 18,
        top_k: Some(30),
        max_batch_tokens,
        feature: |so_far| 1 + so_far.len() as i32 % 6,
        ..DecodeRequest::new(&prompts, &siblings, START, EOS)
    };
    decoder.decode(&request, &mut keyed, None).unwrap()
}

#[test]
fn children_do_not_depend_on_what_is_decoded_beside_them() {
    for points in [PointsConfig::learner(4), PointsConfig { n_queries: 5, ..PointsConfig::set() }] {
        children_alone_equal_children_together(&decoder_with(points));
    }
}

fn children_alone_equal_children_together(decoder: &Decoder) {
    let together = decode_all(decoder, 1 << 20);
    assert_eq!(together, decode_all(decoder, 1), "splitting changes children");
    let (prompts, siblings) = states();
    for state in 0..prompts.len() {
        let request = DecodeRequest {
            max_new_tokens: 18,
            top_k: Some(30),
            feature: |so_far| 1 + so_far.len() as i32 % 6,
            ..DecodeRequest::new(&prompts[state..=state], &siblings[state..=state], START, EOS)
        };
        let alone = decoder.decode(&request, &mut |_, sibling, step| keyed(state, sibling, step), None).unwrap();
        assert_eq!(alone[0], together[state], "state {state}");
    }
    let children: Vec<&Sample> = together.iter().flatten().collect();
    assert!(children.iter().any(|c| c.finished) && children.iter().any(|c| !c.finished));
    assert!(children.iter().all(|c| c.tokens.len() <= 18 && !c.tokens.contains(&EOS) && c.log_prob < 0.0));
}

#[test]
fn many_copies_of_a_state_give_bit_equal_log_probabilities() {
    let decoder = decoder();
    let prompt = Prompt { tokens: (0..45).map(|t| t % 40).collect(), points: Some(Points { values: vec![1.0, 2.0] }) };
    let prompts = vec![prompt; 64];
    let decode = |n: usize| {
        let request =
            DecodeRequest { max_new_tokens: 9, ..DecodeRequest::new(&prompts[..n], &[19; 64][..n], START, EOS) };
        decoder.decode(&request, &mut |_, sibling, step| keyed(0, sibling, step), None).unwrap()
    };
    let alone = decode(1);
    for states in [2, 7, 64] {
        assert!(decode(states).iter().all(|children| *children == alone[0]), "{states} states");
    }
}

#[test]
fn the_mask_is_obeyed_and_sees_what_was_written() {
    let decoder = decoder();
    let (prompts, siblings) = states();
    let request = DecodeRequest { max_new_tokens: 10, ..DecodeRequest::new(&prompts, &siblings, START, EOS) };
    // Counting up from 10, then the end after five tokens: a grammar with one or two choices.
    let mut grammar = |_: usize, sibling: usize, so_far: &[i32], allowed: &mut [bool]| {
        allowed.fill(false);
        allowed[if so_far.len() == 5 { EOS as usize } else { 10 + so_far.len() }] = true;
        if sibling == 1 && so_far.is_empty() {
            allowed[20] = true;
        }
    };
    let children = decoder.decode(&request, &mut keyed, Some(&mut grammar)).unwrap();
    for sample in children.iter().flatten() {
        assert!(sample.finished);
        assert!([10, 20].contains(&sample.tokens[0]));
        assert_eq!(sample.tokens[1..], [11, 12, 13, 14]);
    }
    let forced = &children[0][0];
    assert_eq!((&forced.tokens[..], forced.log_prob), (&[10, 11, 12, 13, 14][..], 0.0));

    let error = decoder.decode(&request, &mut keyed, Some(&mut |_, _, _, allowed| allowed.fill(false))).unwrap_err();
    assert!(matches!(error, Error::NoLegalToken { step: 0, .. }), "{error}");
}

#[test]
fn greedy_siblings_are_all_alike() {
    let decoder = decoder();
    let prompts = [Prompt { tokens: vec![5, 6, 7], points: None }];
    let request =
        DecodeRequest { temperature: 0.0, max_new_tokens: 6, ..DecodeRequest::new(&prompts, &[3], START, EOS) };
    let children = decoder.decode(&request, &mut keyed, None).unwrap();
    assert!(children[0].iter().all(|child| child == &children[0][0]));
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let decoder = decoder();
    let long = [Prompt { tokens: vec![1; 120], points: None }];
    let good = DecodeRequest { max_new_tokens: 8, ..DecodeRequest::new(&long, &[1], START, EOS) };
    assert!(decoder.decode(&good, &mut keyed, None).is_ok());
    let message = |request: DecodeRequest<'_>| match decoder.decode(&request, &mut keyed, None) {
        Err(Error::Input(what)) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        message(DecodeRequest { max_new_tokens: 9, ..good }),
        "state 0 has a prompt of 120 tokens and 9 to come, the model has 128 positions"
    );
    assert_eq!(message(DecodeRequest { siblings: &[1, 1], ..good }), "1 prompts and 2 sibling counts");
    assert_eq!(message(DecodeRequest { start_token: 40, ..good }), "start token 40, expected 0 to 39");
    assert_eq!(message(DecodeRequest { temperature: f64::NAN, ..good }), "temperature NaN, expected 0 or more");
    let crowded = [Prompt { tokens: vec![1], points: Some(Points { values: vec![0.0; 10] }) }];
    assert!(message(DecodeRequest { prompts: &crowded, ..good }).contains("expected at most 4 points of 2"));
}
