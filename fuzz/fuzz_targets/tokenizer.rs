//! What a model writes, and a checkpoint's `tokenizer.json`. The first byte says which: a JSON text, ids of tokens, or a
//! text of tokens. Ids are read as an expression, a template, a generation and an edit.

#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use sr_engine::PrimitiveSet;
use sr_expr::{Columns, Expr, Op};
use sr_fuzz::write_seeds;
use sr_prompt::{
    Actions, ConstantStyle, PromptState, PromptWriter, Token, check_tokenizer, decode_edit, decode_expression,
    decode_generation, decode_template, edit_feature, encode_full, encode_target, generation_feature,
    individual_ranges, target_feature, to_text, tokenizer_json,
};

static PRIMITIVES: LazyLock<PrimitiveSet> =
    LazyLock::new(|| PrimitiveSet::new(Op::ALL.to_vec(), vec![1.0, 2.5], 3).expect("primitives"));

static IDS: LazyLock<HashMap<String, i32>> =
    LazyLock::new(|| Token::all().map(|token| (token.to_string(), token.id())).collect());

static POPULATION: LazyLock<[Expr; 3]> =
    LazyLock::new(|| ["x0", "sin(x1 + 2.5) * x2", "x0 / (x0 + 7.25)"].map(|text| text.parse().expect(text)));

/// The largest expression that is read, the limit of recorded searches.
const MAX_SIZE: usize = 63;

const JSON: u8 = 0;
const IDS_OF_TOKENS: u8 = 1;
const TEXT: u8 = 2;

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "+ x0 c0 <eos>",
        "* sin x1 N+ M25 M00 E0",
        "EDIT S1 P2 COPY S0 P0 <eos>",
        "EDIT S0 P0 + x0 <constant>",
        "FULL pow2 x2",
        "F22 + x0 c0 F31 x1 FZERO x2 <eos>",
    ];
    let mut seeds = vec![[&[JSON], tokenizer_json().as_bytes()].concat()];
    seeds.push([&[JSON], &br#"{"model":{"vocab":{"<pad>":0,"<unk>":1}}}"#[..]].concat());
    for text in texts {
        seeds.push([&[TEXT], text.as_bytes()].concat());
        let ids = ids_of(text).into_iter().flat_map(|id| (id as u16).to_le_bytes());
        seeds.push([IDS_OF_TOKENS].into_iter().chain(ids).collect());
    }
    seeds
}

fn ids_of(text: &str) -> Vec<i32> {
    text.split_whitespace().map(|word| IDS.get(word).copied().unwrap_or(-1)).collect()
}

fuzz_target!(init: write_seeds(seeds), |input: &[u8]| -> Corpus {
    let Some((&what, bytes)) = input.split_first() else { return Corpus::Reject };
    let text = std::str::from_utf8(bytes);
    match (what, text) {
        (JSON, Ok(json)) => drop(check_tokenizer(json)),
        (IDS_OF_TOKENS, _) => {
            let ids = bytes.as_chunks().0.iter().map(|&id| i32::from(i16::from_le_bytes(id)));
            read(&ids.collect::<Vec<i32>>());
        }
        (TEXT, Ok(text)) => {
            let ids = ids_of(text);
            assert_eq!(ids_of(&to_text(&ids)).len(), ids.len());
            read(&ids);
        }
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

fn read(ids: &[i32]) {
    let _ = (target_feature(ids), edit_feature(ids), generation_feature(ids), individual_ranges(ids).count());
    let _ = decode_generation(ids, &PRIMITIVES, MAX_SIZE);
    let _ = decode_template(ids, &PRIMITIVES, MAX_SIZE);
    if let Ok(expr) = decode_expression(ids, &PRIMITIVES, MAX_SIZE) {
        assert!(expr.size() <= MAX_SIZE);
        // What a model writes may have more than one text, such as a number with leading zeros; ours is one of them.
        let ours = encode_target(&expr, PRIMITIVES.constants()).expect("it was read");
        let text = ours.strip_suffix(&[Token::Eos.id()]).expect("a target has an end");
        let again = decode_expression(text, &PRIMITIVES, MAX_SIZE).expect("our own text");
        assert_eq!(encode_target(&again, PRIMITIVES.constants()).as_ref(), Ok(&ours), "{expr}");
    }
    let x = Columns::from_fn(2, 3, |row, column| (row + column) as f64);
    let population = POPULATION.iter().map(|expr| (&**expr, 0.5));
    let state = PromptState::new(1, &PRIMITIVES, population);
    let writer = PromptWriter { actions: Actions::Edit, ..PromptWriter::default() };
    let (_, slots) = writer.write_with_slots(&state, &x, &[1.0, 2.0]).expect("a small prompt");
    if let Ok(edit) = decode_edit(ids, &slots, &PRIMITIVES, MAX_SIZE) {
        let child = &edit.child.expr;
        assert!(child.size() <= MAX_SIZE);
        encode_full(child, PRIMITIVES.constants(), ConstantStyle::Placeholders).expect("it was read");
    }
}
