//! Tests of decoding: independent of batching, obedient to grammar and limits.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sr_model::{
    Channel, Constraint, DecodeRequest, Decoder, DeviceKind, Error, Free, Model, ModelConfig, Points, PointsConfig,
    Prompt, Sample,
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
    Model::new(&config, 3, &DeviceKind::Cpu.open().unwrap()).unwrap()
}

/// Returns the fast decoder, and that of the tensor framework.
fn decoders() -> [Decoder; 2] {
    [Decoder::new(&model()), Decoder::reference(&model())]
}

/// Returns sixteen states: prompts of 0 to 75 tokens, some with points or individuals, 1, 2 or 19 siblings.
fn states() -> (Vec<Prompt>, Vec<usize>) {
    let prompt = |i: i32| Prompt {
        tokens: (0..i * 5).map(|t| (t * 7 + i) % 40).collect(),
        individuals: if i > 3 && i % 2 == 0 { vec![4, 9, 10, i as u32 * 5 - 2] } else { vec![] },
        marks: if i % 2 == 0 { (0..i * 5).map(|t| t % 4).collect() } else { vec![] },
        points: (i % 3 == 0).then(|| Points { values: vec![0.1 * i as f32; 2 * (i as usize % 5)] }),
    };
    ((0..16).map(prompt).collect(), (0..16).map(|i| [1, 2, 19][i % 3]).collect())
}

/// Returns a uniform number that depends on its key alone.
fn keyed(state: usize, sibling: usize, step: usize) -> f64 {
    let mut z = (state * 1_000_003 + sibling * 1_009 + step) as u64;
    for _ in 0..3 {
        z = (z ^ (z >> 29)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    (z >> 11) as f64 / (1u64 << 53) as f64
}

/// Returns the request for the children of [`states`]. Distinct ones have a temperature at which many would be equal.
fn sampled<'a>(prompts: &'a [Prompt], siblings: &'a [usize], distinct: bool) -> DecodeRequest<'a> {
    DecodeRequest {
        max_new_tokens: 18,
        temperature: if distinct { COLD } else { 1.0 },
        top_k: Some(30),
        distinct,
        feature: |so_far| 1 + so_far.len() as i32 % 6,
        ..DecodeRequest::new(prompts, siblings, START, EOS)
    }
}

/// A temperature for the small differences between the logits of an untrained model.
const COLD: f64 = 0.01;

/// A grammar that raises a flag when a text has three tokens, and counts the tokens after that.
struct Stops {
    stop: AtomicBool,
    later: AtomicUsize,
}

impl Constraint for &Stops {
    type Child = usize;
    fn start(&self, _: usize) -> usize {
        0
    }
    fn mask(&self, _: usize, _: &usize, allowed: &mut [bool]) {
        allowed[EOS as usize] = false;
    }
    fn advance(&self, _: usize, tokens: &mut usize, _: i32) {
        *tokens += 1;
        if *tokens == 3 {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.later.fetch_max(*tokens, Ordering::Relaxed);
    }
}

#[test]
fn decoding_stops_within_a_token_when_told() {
    let prompts = [Prompt { tokens: vec![3, 4], ..Prompt::default() }];
    let stops = Stops { stop: AtomicBool::new(false), later: AtomicUsize::new(0) };
    for distinct in [false, true] {
        stops.stop.store(false, Ordering::Relaxed);
        let request = DecodeRequest {
            max_new_tokens: 100,
            distinct,
            stop: Some(&stops.stop),
            ..DecodeRequest::new(&prompts, &[1], START, EOS)
        };
        let error = Decoder::new(&model()).decode(&request, &keyed, &&stops).unwrap_err();
        assert!(matches!(error, Error::Stopped), "{error}");
        assert_eq!(stops.later.load(Ordering::Relaxed), 3);
    }
}

fn decode_all(decoder: &Decoder, max_batch_tokens: usize, distinct: bool) -> Vec<Vec<Sample>> {
    let (prompts, siblings) = states();
    let request = DecodeRequest { max_batch_tokens: Some(max_batch_tokens), ..sampled(&prompts, &siblings, distinct) };
    decoder.decode(&request, &keyed, &Free).unwrap()
}

#[test]
fn children_do_not_depend_on_what_is_decoded_beside_them() {
    let set = PointsConfig { n_queries: 5, ..PointsConfig::set() };
    for (points, distinct) in [(PointsConfig::learner(4), false), (PointsConfig::learner(4), true), (set, false)] {
        let model = model_with(points);
        check_independence(&Decoder::new(&model), distinct);
        check_independence(&Decoder::reference(&model), distinct);
    }
}

fn check_independence(decoder: &Decoder, distinct: bool) {
    let together = decode_all(decoder, 1 << 20, distinct);
    assert_eq!(together, decode_all(decoder, 1, distinct), "splitting changes children");
    let (prompts, siblings) = states();
    for state in 0..prompts.len() {
        let request = sampled(&prompts[state..=state], &siblings[state..=state], distinct);
        let alone = decoder.decode(&request, &|_, sibling, step| keyed(state, sibling, step), &Free).unwrap();
        assert_eq!(alone[0], together[state], "state {state}");
    }
    let children: Vec<&Sample> = together.iter().flatten().collect();
    assert!(distinct || children.iter().any(|c| c.finished) && children.iter().any(|c| !c.finished));
    assert!(children.iter().all(|c| c.tokens.len() <= 18 && !c.tokens.contains(&EOS) && c.log_prob < 0.0));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let decoder = Decoder::new(&model());
    for distinct in [false, true] {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| decode_all(&decoder, 1 << 20, distinct))
        };
        let one = on(1);
        assert!(one == on(2) && one == on(5));
    }
}

#[test]
fn the_fast_path_writes_what_the_reference_writes() {
    for distinct in [false, true] {
        let [fast, reference] = decoders().map(|decoder| decode_all(&decoder, 1 << 20, distinct));
        for (fast, reference) in fast.iter().flatten().zip(reference.iter().flatten()) {
            assert_eq!(fast.tokens, reference.tokens);
            assert!((fast.log_prob - reference.log_prob).abs() < 1e-4, "{} {}", fast.log_prob, reference.log_prob);
        }
    }
}

/// Returns a child's text, including its end.
fn text(sample: &Sample) -> Vec<i32> {
    [&sample.tokens[..], &[EOS][..usize::from(sample.finished)]].concat()
}

#[test]
fn distinct_siblings_are_all_different_and_begin_as_others_do() {
    let (prompts, siblings) = states();
    for decoder in decoders() {
        let distinct = decode_all(&decoder, 1 << 20, true);
        let request = DecodeRequest { distinct: false, ..sampled(&prompts, &siblings, true) };
        let others = decoder.decode(&request, &keyed, &Free).unwrap();
        let mut repeats = 0;
        for (distinct, others) in distinct.iter().zip(&others) {
            let texts: HashSet<_> = distinct.iter().map(text).collect();
            assert_eq!(texts.len(), others.len());
            assert!(distinct.iter().all(|child| !child.is_missing()));
            // The first wave draws the same texts, of which first occurrences are kept.
            let mut seen = HashSet::new();
            let first: Vec<&Sample> = others.iter().filter(|child| seen.insert(text(child))).collect();
            repeats += others.len() - first.len();
            let close = |a: &Sample, b: &Sample| (a.log_prob - b.log_prob).abs() < 1e-4;
            assert!(first.iter().zip(distinct).all(|(a, b)| text(a) == text(b) && close(a, b)));
        }
        assert!(repeats > 20, "{repeats} repeats to be drawn again");
    }
}

/// A grammar of two tokens and the end.
struct Few;

const FEW: [i32; 3] = [EOS, 10, 11];

impl Constraint for Few {
    type Child = ();
    fn start(&self, _: usize) {}
    fn mask(&self, _: usize, _: &(), allowed: &mut [bool]) {
        allowed.fill(false);
        FEW.iter().for_each(|&id| allowed[id as usize] = true);
    }
    fn advance(&self, _: usize, _: &mut (), _: i32) {}
}

/// Returns all 7 texts of at most two tokens: the empty one, two with an end and four without.
fn all_texts(request: &DecodeRequest<'_>) -> Vec<Sample> {
    let request = DecodeRequest {
        prompts: &request.prompts[..1],
        siblings: &[7],
        temperature: 1.0,
        top_k: None,
        distinct: true,
        ..*request
    };
    Decoder::new(&model()).decode(&request, &keyed, &Few).unwrap().remove(0)
}

/// Returns the probabilities of texts as a request samples them, computed from those at temperature 1.
fn probabilities(request: &DecodeRequest<'_>) -> Vec<(Vec<i32>, f64)> {
    let texts: Vec<(Vec<i32>, f64)> =
        all_texts(request).iter().map(|sample| (text(sample), f64::from(sample.log_prob).exp())).collect();
    assert!((texts.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-5, "these are all texts");
    let begin = |prefix: &[i32]| -> f64 { texts.iter().filter(|(t, _)| t.starts_with(prefix)).map(|(_, p)| p).sum() };
    let of_token = |prefix: &[i32], token: i32| {
        let mut masses = FEW.map(|token| (token, begin(&[prefix, &[token]].concat()).powf(1.0 / request.temperature)));
        masses.sort_by(|a, b| b.1.total_cmp(&a.1));
        let kept = &masses[..request.top_k.unwrap_or(3)];
        let mass = kept.iter().find(|(kept, _)| *kept == token).map_or(0.0, |(_, mass)| *mass);
        mass / kept.iter().map(|(_, mass)| mass).sum::<f64>()
    };
    let of_text = |text: &[i32]| (0..text.len()).map(|n| of_token(&text[..n], text[n])).product();
    texts.iter().map(|(text, _)| (text.clone(), of_text(text))).filter(|(_, p)| *p > 0.0).collect()
}

#[test]
fn siblings_in_their_order_have_the_probabilities_of_sampling_without_replacement() {
    const SEEDS: usize = 4000;
    let prompts = vec![Prompt { tokens: vec![5, 6, 7], ..Prompt::default() }; SEEDS];
    // More siblings leave more repeats within a wave; a mistake in their order would show in pairs and triples.
    for (n, temperature, top_k) in [(2, 1.0, None), (5, 0.1, None), (4, 0.05, Some(2))] {
        let siblings = vec![n; SEEDS];
        let request = DecodeRequest {
            max_new_tokens: 2,
            temperature,
            top_k,
            distinct: true,
            ..DecodeRequest::new(&prompts, &siblings, START, EOS)
        };
        let texts = probabilities(&request);
        let children = Decoder::new(&model()).decode(&request, &keyed, &Few).unwrap();
        let most = texts.iter().map(|(_, p)| *p).fold(0.0, f64::max);
        assert!(n == 2 || most > 0.4, "{texts:?}");

        let mut expected: BTreeMap<Vec<&[i32]>, f64> = [(vec![], SEEDS as f64)].into();
        for _ in 0..n.min(3) {
            let mut longer = BTreeMap::new();
            for (first, count) in &expected {
                let left = || texts.iter().filter(|(text, _)| !first.contains(&&text[..]));
                let total: f64 = left().map(|(_, p)| p).sum();
                for (text, p) in left() {
                    longer.insert([&first[..], &[&text[..]]].concat(), count * p / total);
                }
            }
            expected = longer;
        }
        let mut counts: BTreeMap<Vec<&[i32]>, f64> = BTreeMap::new();
        let first: Vec<Vec<Vec<i32>>> =
            children.iter().map(|of_state| of_state.iter().take(3).map(text).collect()).collect();
        for texts in &first {
            *counts.entry(texts.iter().map(|text| &text[..]).collect()).or_default() += 1.0;
        }
        // Pearson's statistic, with all rarely expected cells merged into one.
        let (mut statistic, mut cells, mut rare) = (0.0, 0.0, (0.0, 0.0));
        for (texts, expected) in &expected {
            let count = counts.remove(texts).unwrap_or(0.0);
            if *expected < 8.0 {
                rare = (rare.0 + count, rare.1 + expected);
            } else {
                statistic += (count - expected).powi(2) / expected;
                cells += 1.0;
            }
        }
        assert!(counts.is_empty(), "{counts:?} cannot be");
        statistic += if rare.1 > 0.0 { (rare.0 - rare.1).powi(2) / rare.1 } else { 0.0 };
        let excess = (statistic - cells) / f64::sqrt(2.0 * cells);
        assert!(excess < 4.0, "{n} siblings, temperature {temperature}: {excess} standard deviations");
    }
}

#[test]
fn where_there_are_fewer_texts_than_siblings_the_last_are_missing() {
    let prompts = vec![Prompt { tokens: vec![5, 6, 7], ..Prompt::default() }; 3];
    for (decoder, temperature) in decoders().iter().flat_map(|decoder| [0.0, 0.01, 1.0].map(|t| (decoder, t))) {
        let request = DecodeRequest {
            max_new_tokens: 2,
            temperature,
            distinct: true,
            ..DecodeRequest::new(&prompts, &[9, 0, 7], START, EOS)
        };
        let children = decoder.decode(&request, &keyed, &Few).unwrap();
        assert_eq!(children.iter().map(Vec::len).collect::<Vec<_>>(), [9, 0, 7]);
        for children in [&children[0], &children[2]] {
            let texts: HashSet<_> = children[..7].iter().map(text).collect();
            assert_eq!(texts.len(), 7);
            assert!(children[..7].iter().all(|child| !child.is_missing()));
            assert!(children[7..].iter().all(|child| child.is_missing() && *child == Sample::default()));
            // The log-probability is the model's own, whatever was drawn before.
            let total: f64 = children[..7].iter().map(|child| f64::from(child.log_prob).exp()).sum();
            assert!((total - 1.0).abs() < 1e-5, "{total}");
        }
        // Nothing is left to choose.
        let request = DecodeRequest { siblings: &[3, 0, 2], ..request };
        let children = decoder.decode(&request, &keyed, &Counting).unwrap();
        let is_missing = |of: &Vec<Sample>| of.iter().map(Sample::is_missing).collect::<Vec<_>>();
        assert_eq!(
            children.iter().map(is_missing).collect::<Vec<_>>(),
            [vec![false, true, true], vec![], vec![false, true]]
        );
    }
}

#[test]
fn at_temperature_0_distinct_siblings_are_the_texts_that_lose_least() {
    let prompts = [Prompt { tokens: vec![5, 6, 7], ..Prompt::default() }];
    let request = DecodeRequest {
        max_new_tokens: 2,
        temperature: 0.0,
        distinct: true,
        ..DecodeRequest::new(&prompts, &[7], START, EOS)
    };
    let all = all_texts(&request);
    // A token's loss is the same in log-probabilities as in logits.
    let log = |prefix: &[i32]| -> f64 {
        let begin = all.iter().filter(|child| text(child).starts_with(prefix));
        begin.map(|child| f64::from(child.log_prob).exp()).sum::<f64>().ln()
    };
    let loses = |text: &[i32]| -> f64 {
        let best =
            |prefix: &[i32]| FEW.map(|token| log(&[prefix, &[token]].concat())).into_iter().fold(f64::MIN, f64::max);
        (0..text.len()).map(|n| best(&text[..n]) - log(&text[..=n])).sum()
    };
    for decoder in decoders() {
        let children = decoder.decode(&request, &|_, _, _| 0.5, &Few).unwrap().remove(0);
        let lost: Vec<f64> = children.iter().map(|child| loses(&text(child))).collect();
        assert!(lost[0].abs() < 1e-6 && lost.windows(2).all(|pair| pair[0] < pair[1] + 1e-6), "{lost:?}");
        let plain = decoder.decode(&DecodeRequest { distinct: false, ..request }, &keyed, &Few).unwrap();
        assert_eq!(text(&plain[0][0]), text(&children[0]));
    }
}

#[test]
fn waves_have_an_end_and_random_numbers_of_their_own() {
    // At this temperature nearly all probability is on one text after the other: one text a wave.
    let prompts = [Prompt { tokens: vec![5, 6, 7], ..Prompt::default() }];
    let siblings = [DecodeRequest::MAX_WAVES + 6];
    let request = DecodeRequest {
        max_new_tokens: 6,
        temperature: 1e-9,
        distinct: true,
        ..DecodeRequest::new(&prompts, &siblings, START, EOS)
    };
    assert_eq!((request.max_steps(), DecodeRequest { distinct: false, ..request }.max_steps()), (6 * 64, 6));
    let seen = Mutex::new(HashSet::new());
    let uniform = |state: usize, sibling: usize, step: usize| {
        assert!(step < request.max_steps());
        assert!(seen.lock().unwrap().insert((sibling, step)), "a random number is used once");
        keyed(state, sibling, step)
    };
    let children = Decoder::new(&model()).decode(&request, &uniform, &Few).unwrap().remove(0);
    let texts: HashSet<_> = children.iter().filter(|child| !child.is_missing()).map(text).collect();
    assert_eq!(texts.len(), DecodeRequest::MAX_WAVES);
    assert!(children[..texts.len()].iter().all(|child| !child.is_missing()));
    // The limit of falling temperatures continues beyond that.
    let request = DecodeRequest { temperature: 0.0, ..request };
    let limit = Decoder::new(&model()).decode(&request, &keyed, &Few).unwrap().remove(0);
    assert!(limit.iter().all(|child| !child.is_missing()));
    assert!(limit.iter().zip(&children[..texts.len()]).all(|(a, b)| text(a) == text(b)));
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

/// A grammar that counts up from 10, then ends after five tokens; in state 1 the first token may be 20 as well.
struct Counting;

impl Constraint for Counting {
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

/// A grammar that allows nothing.
struct Nothing;

impl Constraint for Nothing {
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
        // Six tokens, each among about 40 that are nearly equally likely before training.
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

#[test]
fn each_sibling_begins_with_its_own_token() {
    let (prompts, siblings) = states();
    let starts: Vec<Vec<i32>> =
        siblings.iter().map(|&n| (0..n).map(|i| if i < n / 3 { 7 } else { START }).collect()).collect();
    for decoder in decoders() {
        let with = |start_token| DecodeRequest { start_token, ..sampled(&prompts, &siblings, false) };
        let [one, other] = [7, START].map(|start| decoder.decode(&with(start), &keyed, &Free).unwrap());
        let mixed = DecodeRequest { starts: Some(&starts), ..with(3) };
        let mixed = decoder.decode(&mixed, &keyed, &Free).unwrap();
        assert_ne!(one, other);
        for (state, starts) in starts.iter().enumerate() {
            for (sibling, &start) in starts.iter().enumerate() {
                let expected = if start == 7 { &one } else { &other };
                assert_eq!(mixed[state][sibling].tokens, expected[state][sibling].tokens, "{state} {sibling}");
            }
        }
        // Distinct ones differ across their beginnings too.
        let distinct = DecodeRequest { starts: Some(&starts), ..sampled(&prompts, &siblings, true) };
        for of_state in decoder.decode(&distinct, &keyed, &Free).unwrap() {
            let texts: HashSet<_> = of_state.iter().filter(|child| !child.is_missing()).map(text).collect();
            assert_eq!(texts.len(), of_state.iter().filter(|child| !child.is_missing()).count());
        }
        let too_few = DecodeRequest { starts: Some(&starts[1..]), ..sampled(&prompts, &siblings, true) };
        let error = decoder.decode(&too_few, &keyed, &Free).unwrap_err().to_string();
        assert!(error.contains("one for each sibling"), "{error}");
    }
}

#[test]
fn texts_that_are_not_wanted_are_drawn_once_and_left_out() {
    let (prompts, siblings) = states();
    let identity = |_: usize, sample: &Sample| {
        let last = u64::from(sample.tokens.last().copied().unwrap_or(0).unsigned_abs());
        // Texts that end with different tokens are the same child by fives.
        (sample.finished && !last.is_multiple_of(3)).then_some(last / 5)
    };
    let request = DecodeRequest { identity: Some(&identity), temperature: 0.3, ..sampled(&prompts, &siblings, true) };
    let [fast, reference] = decoders().map(|decoder| decoder.decode(&request, &keyed, &Free).unwrap());
    let mut found = 0;
    for (of_state, of_reference) in fast.iter().zip(&reference) {
        let identities: Vec<u64> = of_state
            .iter()
            .filter(|child| !child.is_missing())
            .map(|child| identity(0, child).expect("wanted"))
            .collect();
        assert_eq!(identities.iter().collect::<HashSet<_>>().len(), identities.len());
        assert!(of_state[identities.len()..].iter().all(Sample::is_missing), "what is missing comes last");
        assert!(identities.len() <= 8, "there are no more children");
        found += identities.len();
        assert!(of_state.iter().map(text).eq(of_reference.iter().map(text)));
    }
    assert!(found > 50, "{found}");
    // Of one sibling each, the share of each identity is that of plain texts which are wanted.
    let prompts = [Prompt { tokens: vec![5, 6, 7], ..Prompt::default() }];
    let plain = DecodeRequest { temperature: 0.3, ..sampled(&prompts, &[1], false) };
    let wanted = DecodeRequest { identity: Some(&identity), distinct: true, ..plain };
    let (decoder, seeds) = (Decoder::new(&model()), 1000);
    let counts = |request: &DecodeRequest<'_>| {
        let mut counts: BTreeMap<u64, f64> = BTreeMap::new();
        for seed in 0..seeds {
            let uniform = |state: usize, sibling: usize, step: usize| keyed(state, sibling + 100 * seed, step);
            let children = decoder.decode(request, &uniform, &Free).unwrap();
            if let Some(identity) = identity(0, &children[0][0]) {
                *counts.entry(identity).or_default() += 1.0;
            }
        }
        let total: f64 = counts.values().sum();
        counts.into_iter().map(|(identity, count)| (identity, count / total)).collect::<BTreeMap<_, _>>()
    };
    let (expected, found) = (counts(&plain), counts(&wanted));
    for (identity, share) in &expected {
        let other = found.get(identity).copied().unwrap_or(0.0);
        assert!((share - other).abs() < 0.05, "{identity}: {share} {other}");
    }
}
