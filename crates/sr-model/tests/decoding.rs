//! Decoding: independent of batching, obedient to mask and limits.

use sr_model::{
    Channel, DecodeRequest, Decoder, DeviceKind, Error, Free, Grammar, Model, ModelConfig, Points, PointsConfig,
    Prompt, Sample, open,
};

const START: i32 = 1;
const EOS: i32 = 0;

fn model() -> Model {
    model_with(PointsConfig::learner(4))
}

fn model_with(points: PointsConfig) -> Model {
    let points = PointsConfig { n_variables: 1, channels: vec![Channel::X, Channel::Y], hidden: 8, ..points };
    let config = ModelConfig {
        n_positions: 128,
        n_features: 7,
        n_marks: 3,
        d_model: 32,
        n_layers: 2,
        n_heads: 4,
        d_mlp: 64,
        points: Some(points),
        ..ModelConfig::micro(40)
    };
    Model::new(&config, 3, &open(DeviceKind::Cpu).unwrap()).unwrap()
}

/// The fast one, and that of the tensor framework.
fn decoders() -> [Decoder; 2] {
    [Decoder::new(&model()), Decoder::reference(&model())]
}

/// Sixteen states: prompts of 0 to 75 tokens, some with points or individuals, 1, 2 or 19 siblings.
fn states() -> (Vec<Prompt>, Vec<usize>) {
    let prompt = |i: i32| Prompt {
        tokens: (0..i * 5).map(|t| (t * 7 + i) % 40).collect(),
        individuals: if i > 3 && i % 2 == 0 { vec![4, 9, 10, i as u32 * 5 - 2] } else { vec![] },
        marks: if i % 2 == 0 { (0..i * 5).map(|t| t % 4).collect() } else { vec![] },
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
        max_batch_tokens: Some(max_batch_tokens),
        feature: |so_far| 1 + so_far.len() as i32 % 6,
        ..DecodeRequest::new(&prompts, &siblings, START, EOS)
    };
    decoder.decode(&request, &keyed, &Free).unwrap()
}

#[test]
fn children_do_not_depend_on_what_is_decoded_beside_them() {
    for points in [PointsConfig::learner(4), PointsConfig { n_queries: 5, ..PointsConfig::set() }] {
        let model = model_with(points);
        check_independence(&Decoder::new(&model));
        check_independence(&Decoder::reference(&model));
    }
}

fn check_independence(decoder: &Decoder) {
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
        let alone = decoder.decode(&request, &|_, sibling, step| keyed(state, sibling, step), &Free).unwrap();
        assert_eq!(alone[0], together[state], "state {state}");
    }
    let children: Vec<&Sample> = together.iter().flatten().collect();
    assert!(children.iter().any(|c| c.finished) && children.iter().any(|c| !c.finished));
    assert!(children.iter().all(|c| c.tokens.len() <= 18 && !c.tokens.contains(&EOS) && c.log_prob < 0.0));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let decoder = Decoder::new(&model());
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| decode_all(&decoder, 1 << 20))
    };
    let one = on(1);
    assert!(one == on(2) && one == on(5));
}

#[test]
fn the_fast_path_writes_what_the_reference_writes() {
    let [fast, reference] = decoders().map(|decoder| decode_all(&decoder, 1 << 20));
    for (fast, reference) in fast.iter().flatten().zip(reference.iter().flatten()) {
        assert_eq!(fast.tokens, reference.tokens);
        assert!((fast.log_prob - reference.log_prob).abs() < 1e-4, "{} {}", fast.log_prob, reference.log_prob);
    }
}

#[test]
fn the_order_of_individuals_changes_nothing() {
    let (one, two, three) = ([7, 8], [9], [3, 2, 1]);
    let prompt = |order: [&[i32]; 3]| Prompt {
        tokens: [&[5, 6][..], order[0], order[1], order[2], &[4]].concat(),
        individuals: (0..4).map(|n| 2 + order[..n].iter().map(|i| i.len() as u32).sum::<u32>()).collect(),
        marks: vec![],
        points: None,
    };
    let prompts = [prompt([&one, &two, &three]), prompt([&three, &one, &two])];
    assert_eq!(prompts[0].positions().collect::<Vec<_>>(), [0, 1, 2, 3, 2, 2, 3, 4, 2]);
    assert_eq!((prompts[0].next_position(), prompts[0].n_positions()), (3, 5));
    for decoder in decoders() {
        let request = DecodeRequest { max_new_tokens: 8, ..DecodeRequest::new(&prompts, &[5, 5], START, EOS) };
        let children = decoder.decode(&request, &|_, sibling, step| keyed(0, sibling, step), &Free).unwrap();
        for (a, b) in children[0].iter().zip(&children[1]) {
            assert_eq!(a.tokens, b.tokens);
            assert!((a.log_prob - b.log_prob).abs() < 1e-5);
        }
    }
}

#[test]
fn many_copies_of_a_state_give_bit_equal_log_probabilities() {
    decoders().iter().for_each(check_copies);
}

fn check_copies(decoder: &Decoder) {
    let prompt = Prompt {
        tokens: (0..45).map(|t| t % 40).collect(),
        points: Some(Points { values: vec![1.0, 2.0] }),
        ..Prompt::default()
    };
    let prompts = vec![prompt; 64];
    let decode = |n: usize| {
        let request =
            DecodeRequest { max_new_tokens: 9, ..DecodeRequest::new(&prompts[..n], &[19; 64][..n], START, EOS) };
        decoder.decode(&request, &|_, sibling, step| keyed(0, sibling, step), &Free).unwrap()
    };
    let alone = decode(1);
    for states in [2, 7, 64] {
        assert!(decode(states).iter().all(|children| *children == alone[0]), "{states} states");
    }
}

/// Counting up from 10, then the end after five tokens; sibling 1's first token may be 20 as well.
struct Counting;

impl Grammar for Counting {
    type Child = usize;

    fn start(&self, _: usize) -> usize {
        0
    }

    fn mask(&self, state: usize, child: &usize, allowed: &mut [bool]) {
        allowed.fill(false);
        allowed[if *child == 5 { EOS as usize } else { 10 + child }] = true;
        allowed[20] |= state == 1 && *child == 0;
    }

    fn advance(&self, _: usize, child: &mut usize, _: i32) {
        *child += 1;
    }
}

/// Nothing may come.
struct Nothing;

impl Grammar for Nothing {
    type Child = ();
    fn start(&self, _: usize) {}
    fn mask(&self, _: usize, _: &(), allowed: &mut [bool]) {
        allowed.fill(false);
    }
    fn advance(&self, _: usize, _: &mut (), _: i32) {}
}

#[test]
fn the_grammar_is_obeyed_and_sees_what_was_written() {
    for decoder in decoders() {
        let (prompts, siblings) = states();
        let request = DecodeRequest { max_new_tokens: 10, ..DecodeRequest::new(&prompts, &siblings, START, EOS) };
        let children = decoder.decode(&request, &keyed, &Counting).unwrap();
        for (state, sample) in children.iter().enumerate().flat_map(|(s, of)| of.iter().map(move |c| (s, c))) {
            assert!(sample.finished);
            assert!(sample.tokens[0] == 10 || (state == 1 && sample.tokens[0] == 20));
            assert_eq!(sample.tokens[1..], [11, 12, 13, 14]);
        }
        let forced = &children[0][0];
        assert_eq!((&forced.tokens[..], forced.log_prob), (&[10, 11, 12, 13, 14][..], 0.0));
        // Six tokens, each of about 40 that are nearly alike before training.
        assert!((forced.log_legal + 6.0 * 40f32.ln()).abs() < 2.0, "{}", forced.log_legal);

        let error = decoder.decode(&request, &keyed, &Nothing).unwrap_err();
        assert!(matches!(error, Error::NoLegalToken { step: 0, .. }), "{error}");
    }
}

#[test]
fn greedy_siblings_are_all_alike() {
    let decoder = Decoder::new(&model());
    let prompts = [Prompt { tokens: vec![5, 6, 7], ..Prompt::default() }];
    let request =
        DecodeRequest { temperature: 0.0, max_new_tokens: 6, ..DecodeRequest::new(&prompts, &[3], START, EOS) };
    let children = decoder.decode(&request, &keyed, &Free).unwrap();
    assert!(children[0].iter().all(|child| child == &children[0][0]));
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let decoder = Decoder::new(&model());
    let long = [Prompt { tokens: vec![1; 120], ..Prompt::default() }];
    let good = DecodeRequest { max_new_tokens: 8, ..DecodeRequest::new(&long, &[1], START, EOS) };
    assert!(decoder.decode(&good, &keyed, &Free).is_ok());
    let message = |request: DecodeRequest<'_>| match decoder.decode(&request, &keyed, &Free) {
        Err(Error::Input(what)) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        message(DecodeRequest { max_new_tokens: 9, ..good }),
        "state 0 has a prompt of 120 positions and 9 to come, the model has 128 positions"
    );
    assert_eq!(message(DecodeRequest { siblings: &[1, 1], ..good }), "1 prompts and 2 sibling counts");
    assert_eq!(message(DecodeRequest { start_token: 40, ..good }), "start token 40, expected 0 to 39");
    assert_eq!(message(DecodeRequest { temperature: f64::NAN, ..good }), "temperature NaN, expected 0 or more");
    let crowded = [Prompt { tokens: vec![1], points: Some(Points { values: vec![0.0; 10] }), ..Prompt::default() }];
    assert!(message(DecodeRequest { prompts: &crowded, ..good }).contains("expected at most 4 points of 2"));
}
