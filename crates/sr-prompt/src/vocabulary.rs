//! The vocabulary: one token per symbol, in an order that is part of the checkpoint format.
//!
//! **Append-only.** An id never changes its meaning and a token is never removed. New tokens, those of operators
//! appended to [`Op::ALL`] included, go to the end of [`Token::all`]. `fixtures/prompt/vocabulary-v1.txt` pins the
//! list.

use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sr_expr::Op;
use sr_expr::hash::fnv1a;

use crate::{Error, Result};

/// The number of variables that have a name, `x0` to `x31`.
pub const VARIABLES: usize = 32;
/// The number of listed constants that have a slot, `c0` to `c15`; further ones are written as numbers.
pub const LISTED_CONSTANTS: usize = 16;
/// The number of individuals of a prompt that edits can refer to, `S0` to `S31`.
pub const SLOTS: usize = 32;
/// The number of nodes of an individual that edits can refer to, `P0` to `P63`.
pub const POSITIONS: usize = 64;
/// The number of rows of a model's embedding. It exceeds [`VOCABULARY_SIZE`], so that tokens can be appended without a
/// new shape.
pub const VOCABULARY_CAPACITY: usize = 512;
/// The number of tokens in use.
pub const VOCABULARY_SIZE: usize = (VARIABLE_COUNTS + VARIABLES as i32 + 1) as usize;

const N_OPERATORS: usize = 20;
const MANTISSAS: u8 = 100;
/// Exponents of ten go from minus this to plus this.
const MAX_EXPONENT: i8 = 20;
/// The number of half decades of the error from 10⁻¹⁶ to 10¹⁶.
const FITNESS_BUCKETS: u8 = 64;
const MIN_COUNT: u8 = 2;
const MAX_COUNT: u8 = 20;
const GENERATION_BUCKETS: u8 = 16;

const _: () = assert!(Op::ALL.len() == N_OPERATORS, "give appended operators tokens at the end of the vocabulary");
const _: () = assert!(VOCABULARY_SIZE <= VOCABULARY_CAPACITY);

// These are the first ids of each group.
const CONDITIONS: i32 = 7;
const FIRST_SLOT: i32 = CONDITIONS + Condition::ALL.len() as i32 + 5;
const FIRST_POSITION: i32 = FIRST_SLOT + SLOTS as i32;
const OPERATORS: i32 = FIRST_POSITION + POSITIONS as i32;
const FIRST_VARIABLE: i32 = OPERATORS + N_OPERATORS as i32;
const LISTED: i32 = FIRST_VARIABLE + VARIABLES as i32;
const SIGNS: i32 = LISTED + LISTED_CONSTANTS as i32;
const FIRST_MANTISSA: i32 = SIGNS + 2;
const EXPONENT_ZERO: i32 = FIRST_MANTISSA + MANTISSAS as i32 + MAX_EXPONENT as i32;
const FITNESS: i32 = EXPONENT_ZERO + MAX_EXPONENT as i32 + 1;
const COUNTS: i32 = FITNESS + FITNESS_BUCKETS as i32 + 2;
const GENERATIONS: i32 = COUNTS + (MAX_COUNT - MIN_COUNT) as i32 + 1;
const VARIABLE_COUNTS: i32 = GENERATIONS + GENERATION_BUCKETS as i32;

/// The condition that the model writes under: the first token after the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Condition {
    /// Any child that the expert might make.
    All,
    /// A child whose gain lies in this class, 0 to 4, the higher the better.
    Gain(u8),
    /// The next step of a path to the source formula.
    Path,
    /// The source formula itself.
    Target,
}

impl Condition {
    /// All conditions, in the order of their ids.
    pub const ALL: [Condition; 8] = [
        Condition::All,
        Condition::Gain(0),
        Condition::Gain(1),
        Condition::Gain(2),
        Condition::Gain(3),
        Condition::Gain(4),
        Condition::Path,
        Condition::Target,
    ];

    /// Returns the text of its token, also its name in files: `ALL`, `GAIN_0` to `GAIN_4`, `PATH`, `TARGET`.
    pub fn name(self) -> &'static str {
        match self {
            Condition::All => "ALL",
            Condition::Gain(class) => ["GAIN_0", "GAIN_1", "GAIN_2", "GAIN_3", "GAIN_4"][usize::from(class)],
            Condition::Path => "PATH",
            Condition::Target => "TARGET",
        }
    }

    /// Returns the condition with a name, if there is one.
    pub fn from_name(name: &str) -> Option<Condition> {
        Condition::ALL.into_iter().find(|condition| condition.name() == name)
    }

    /// Returns the id of its token.
    pub fn id(self) -> i32 {
        Token::Condition(self).id()
    }
}

impl From<Condition> for &'static str {
    fn from(condition: Condition) -> Self {
        condition.name()
    }
}

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<Self, String> {
        let names = || Condition::ALL.map(Condition::name).join(", ");
        Condition::from_name(&name).ok_or_else(|| format!("condition {name} is none of {}", names()))
    }
}

/// One symbol of the language. Its [`Display`](fmt::Display) text has no white space.
///
/// Fields must not exceed the range in the variant's doc: the id of a token beyond it would be that of another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Token {
    /// `<pad>`, id 0: fills rows and is never attended to.
    Pad,
    /// `<bos>` starts a prompt.
    Bos,
    /// `<eos>` ends a target.
    Eos,
    /// `<unk>`: a node that the language cannot express.
    Unk,
    /// `<context>`
    Context,
    /// `<population>`
    Population,
    /// `<target>` ends a prompt.
    Target,
    /// `ALL`, `GAIN_0` to `GAIN_4`, `PATH`, `TARGET`.
    Condition(Condition),
    /// `EDIT`: a child that is a change of an individual, see [`encode_edit`](crate::encode_edit).
    Edit,
    /// `COPY`: a subtree of an individual.
    Copy,
    /// `FULL`: a whole expression in place of an edit.
    Full,
    /// `HOLE`: reserved, a subtree left open.
    Hole,
    /// `<constant>`: a number to be fitted.
    Constant,
    /// `S0` to `S31`: an individual by its place in the prompt.
    Slot(u8),
    /// `P0` to `P63`: a node by its index in prefix order.
    Position(u8),
    /// An operator by its name.
    Op(Op),
    /// `x0` to `x31`.
    Variable(u8),
    /// `c0` to `c15`: a listed constant, whose value the context gives.
    Listed(u8),
    /// `N+`: a number that is not negative begins.
    Positive,
    /// `N-`: a negative number begins.
    Negative,
    /// `M00` to `M99`: two significant digits.
    Mantissa(u8),
    /// `E-20` to `E20`: a number's exponent of ten ends it.
    Exponent(i8),
    /// `F0` to `F63`: the error of the individual that follows, see [`Token::fitness`].
    Fitness(u8),
    /// `FZERO`: an error of 0.
    FitnessZero,
    /// `FINVALID`: no valid error.
    FitnessInvalid,
    /// `n2` to `n20`: the number of individuals with this expression; `n20` is 20 and more.
    Count(u8),
    /// `G0` to `G15`: the generation, see [`Token::generation`].
    Generation(u8),
    /// `V0` to `V32`: the number of variables.
    Variables(u8),
}

static TABLE: LazyLock<Vec<Token>> = LazyLock::new(|| Token::all().collect());

impl Token {
    /// Returns all tokens in the order of their ids, from 0. This is the vocabulary.
    pub fn all() -> impl Iterator<Item = Token> {
        use Token::*;
        [Pad, Bos, Eos, Unk, Context, Population, Target]
            .into_iter()
            .chain(self::Condition::ALL.map(Condition))
            .chain([Edit, Copy, Full, Hole, Constant])
            .chain((0..SLOTS as u8).map(Slot))
            .chain((0..POSITIONS as u8).map(Position))
            .chain(self::Op::ALL[..N_OPERATORS].iter().copied().map(Op))
            .chain((0..VARIABLES as u8).map(Variable))
            .chain((0..LISTED_CONSTANTS as u8).map(Listed))
            .chain([Positive, Negative])
            .chain((0..MANTISSAS).map(Mantissa))
            .chain((-MAX_EXPONENT..=MAX_EXPONENT).map(Exponent))
            .chain((0..FITNESS_BUCKETS).map(Fitness))
            .chain([FitnessZero, FitnessInvalid])
            .chain((MIN_COUNT..=MAX_COUNT).map(Count))
            .chain((0..GENERATION_BUCKETS).map(Generation))
            .chain((0..=VARIABLES as u8).map(Variables))
    }

    /// Returns the id, which is computed without a table or a string.
    pub fn id(self) -> i32 {
        match self {
            Token::Pad => 0,
            Token::Bos => 1,
            Token::Eos => 2,
            Token::Unk => 3,
            Token::Context => 4,
            Token::Population => 5,
            Token::Target => 6,
            Token::Condition(Condition::All) => CONDITIONS,
            Token::Condition(Condition::Gain(class)) => CONDITIONS + 1 + i32::from(class),
            Token::Condition(Condition::Path) => CONDITIONS + 6,
            Token::Condition(Condition::Target) => CONDITIONS + 7,
            Token::Edit => FIRST_SLOT - 5,
            Token::Copy => FIRST_SLOT - 4,
            Token::Full => FIRST_SLOT - 3,
            Token::Hole => FIRST_SLOT - 2,
            Token::Constant => FIRST_SLOT - 1,
            Token::Slot(index) => FIRST_SLOT + i32::from(index),
            Token::Position(index) => FIRST_POSITION + i32::from(index),
            Token::Op(op) => OPERATORS + op as i32,
            Token::Variable(index) => FIRST_VARIABLE + i32::from(index),
            Token::Listed(index) => LISTED + i32::from(index),
            Token::Positive => SIGNS,
            Token::Negative => SIGNS + 1,
            Token::Mantissa(digits) => FIRST_MANTISSA + i32::from(digits),
            Token::Exponent(exponent) => EXPONENT_ZERO + i32::from(exponent),
            Token::Fitness(bucket) => FITNESS + i32::from(bucket),
            Token::FitnessZero => FITNESS + i32::from(FITNESS_BUCKETS),
            Token::FitnessInvalid => FITNESS + i32::from(FITNESS_BUCKETS) + 1,
            Token::Count(count) => COUNTS + i32::from(count - MIN_COUNT),
            Token::Generation(bucket) => GENERATIONS + i32::from(bucket),
            Token::Variables(count) => VARIABLE_COUNTS + i32::from(count),
        }
    }

    /// Returns the token with an id, or `None` if there is none.
    pub fn from_id(id: i32) -> Option<Token> {
        TABLE.get(usize::try_from(id).ok()?).copied()
    }

    /// Returns the token for the bucket of a mean squared error, half a decade each: `F32` begins at 1, `F30` at 0.1.
    /// Errors below 10⁻¹⁶ are in `F0`, from 10¹⁶ on in `F63`. It returns `FZERO` for 0 and `FINVALID` for numbers that
    /// are no errors.
    ///
    /// The argument is the f32 that traces and corpora hold, so that a live search and its record have the same bucket.
    pub fn fitness(mse: f32) -> Token {
        if mse == 0.0 {
            return Token::FitnessZero;
        }
        // NaN, infinite and negative numbers are no errors.
        if !mse.is_finite() || mse < 0.0 {
            return Token::FitnessInvalid;
        }
        let half_decades = (2.0 * libm::log10(f64::from(mse))).floor() + f64::from(FITNESS_BUCKETS / 2);
        Token::Fitness(half_decades.clamp(0.0, f64::from(FITNESS_BUCKETS - 1)) as u8)
    }

    /// Returns the token for the bucket of a generation: 0 to 4 each have one, then there are two an octave; 192 and
    /// more are in the last.
    pub fn generation(generation: u32) -> Token {
        Token::Generation(Token::half_octave(generation))
    }

    /// Returns the bucket of a number, 0 to 15: 0 to 4 each have one, then there are two an octave.
    pub(crate) fn half_octave(number: u32) -> u8 {
        let bucket = match number.checked_ilog2() {
            None => 0,
            Some(0) => 1,
            Some(octave) => 2 * octave + (number >> (octave - 1) & 1),
        };
        bucket.min(u32::from(GENERATION_BUCKETS) - 1) as u8
    }

    /// Returns the token for the number of individuals that share an expression, or `None` for a single one.
    pub(crate) fn count(individuals: usize) -> Option<Token> {
        let count = individuals.min(usize::from(MAX_COUNT)) as u8;
        (count >= MIN_COUNT).then_some(Token::Count(count))
    }

    /// Returns the tokens of a number with four significant digits: sign, twice two digits, exponent. 3.14 is `N+ M31
    /// M40 E0`.
    ///
    /// Magnitudes beyond 9.999·10²⁰ become that number. Those below 10⁻²⁰ become zero, which is `N+ M00 M00 E0`. NaN is
    /// four times `<unk>`.
    pub(crate) fn number(value: f64) -> [Token; 4] {
        if value.is_nan() {
            return [Token::Unk; 4];
        }
        let sign = if value < 0.0 { Token::Negative } else { Token::Positive };
        let text = format!("{:.3e}", value.abs().min(9.999e20));
        let (mantissa, exponent) = text.split_once('e').expect("LowerExp writes an exponent");
        let exponent: i32 = exponent.parse().expect("LowerExp writes a small integer");
        if value == 0.0 || exponent < -i32::from(MAX_EXPONENT) {
            return [Token::Positive, Token::Mantissa(0), Token::Mantissa(0), Token::Exponent(0)];
        }
        let digits = mantissa.bytes().filter(u8::is_ascii_digit).fold(0_u32, |n, d| 10 * n + u32::from(d - b'0'));
        let halves = [(digits / 100) as u8, (digits % 100) as u8].map(Token::Mantissa);
        [sign, halves[0], halves[1], Token::Exponent(exponent as i8)]
    }

    /// Returns the value of a number's parts: the double nearest to the digits.
    pub(crate) fn number_value(negative: bool, high: u8, low: u8, exponent: i8) -> f64 {
        let (digits, exponent) = (u32::from(high) * 100 + u32::from(low), i32::from(exponent) - 3);
        let magnitude: f64 = format!("{digits}e{exponent}").parse().expect("digits and an exponent are a number");
        if negative { -magnitude } else { magnitude }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Token::Pad => f.write_str("<pad>"),
            Token::Bos => f.write_str("<bos>"),
            Token::Eos => f.write_str("<eos>"),
            Token::Unk => f.write_str("<unk>"),
            Token::Context => f.write_str("<context>"),
            Token::Population => f.write_str("<population>"),
            Token::Target => f.write_str("<target>"),
            Token::Condition(condition) => f.write_str(condition.name()),
            Token::Edit => f.write_str("EDIT"),
            Token::Copy => f.write_str("COPY"),
            Token::Full => f.write_str("FULL"),
            Token::Hole => f.write_str("HOLE"),
            Token::Constant => f.write_str("<constant>"),
            Token::Slot(index) => write!(f, "S{index}"),
            Token::Position(index) => write!(f, "P{index}"),
            Token::Op(op) => f.write_str(op.name()),
            Token::Variable(index) => write!(f, "x{index}"),
            Token::Listed(index) => write!(f, "c{index}"),
            Token::Positive => f.write_str("N+"),
            Token::Negative => f.write_str("N-"),
            Token::Mantissa(digits) => write!(f, "M{digits:02}"),
            Token::Exponent(exponent) => write!(f, "E{exponent}"),
            Token::Fitness(bucket) => write!(f, "F{bucket}"),
            Token::FitnessZero => f.write_str("FZERO"),
            Token::FitnessInvalid => f.write_str("FINVALID"),
            Token::Count(count) => write!(f, "n{count}"),
            Token::Generation(bucket) => write!(f, "G{bucket}"),
            Token::Variables(count) => write!(f, "V{count}"),
        }
    }
}

/// Returns the texts of ids, joined by single spaces; the tokenizer of [`tokenizer_json`] reads them back. An id
/// without a token becomes `<unk>`.
pub fn to_text(ids: &[i32]) -> String {
    let texts: Vec<String> = ids.iter().map(|&id| Token::from_id(id).unwrap_or(Token::Unk).to_string()).collect();
    texts.join(" ")
}

/// Returns a hash that changes with any change of the vocabulary: FNV-1a of its tokens, one a line.
pub fn fingerprint() -> u64 {
    let list: String = Token::all().map(|token| format!("{token}\n")).collect();
    fnv1a(list.bytes())
}

/// Returns the vocabulary as a `tokenizer.json` of the `tokenizers` library (word level, split at white space), for a
/// checkpoint's folder. It always has the same bytes.
///
/// They are those that the library itself would write (tested). It is not asked to, because it brings forty crates and
/// a C++ compiler with it.
pub fn tokenizer_json() -> String {
    let added = Token::all().map(|token| (token.id(), token.to_string())).filter(|(_, text)| text.starts_with('<'));
    let tokenizer = TokenizerJson {
        version: "1.0",
        truncation: (),
        padding: (),
        added_tokens: added.map(|(id, content)| AddedToken::special(id, content)).collect(),
        normalizer: (),
        pre_tokenizer: PreTokenizer { kind: "WhitespaceSplit" },
        post_processor: (),
        decoder: (),
        model: WordLevel { kind: "WordLevel", vocab: Vocabulary, unk_token: Token::Unk.to_string() },
    };
    serde_json::to_string_pretty(&tokenizer).expect("plain data")
}

/// The file of the `tokenizers` library, its fields in the library's order.
#[derive(Serialize)]
struct TokenizerJson {
    version: &'static str,
    truncation: (),
    padding: (),
    added_tokens: Vec<AddedToken>,
    normalizer: (),
    pre_tokenizer: PreTokenizer,
    post_processor: (),
    decoder: (),
    model: WordLevel,
}

/// A token that is looked for before the text is split.
#[derive(Serialize)]
struct AddedToken {
    id: i32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

impl AddedToken {
    fn special(id: i32, content: String) -> Self {
        AddedToken { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
    }
}

#[derive(Serialize)]
struct PreTokenizer {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct WordLevel {
    #[serde(rename = "type")]
    kind: &'static str,
    vocab: Vocabulary,
    unk_token: String,
}

/// All tokens with their ids, in the order of these.
struct Vocabulary;

impl Serialize for Vocabulary {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(Token::all().map(|token| (token.to_string(), token.id())))
    }
}

/// Checks that the ids of a checkpoint's `tokenizer.json` have the same meaning as in this vocabulary. It may lack
/// tokens that were appended since.
///
/// # Errors
/// Returns [`Error::OtherVocabulary`], which names the first token that differs, or [`Error::NotATokenizer`] if the
/// text is something else.
pub fn check_tokenizer(json: &str) -> Result<()> {
    let not = |reason: &str| Error::NotATokenizer { reason: reason.to_owned() };
    let tokenizer: Value = serde_json::from_str(json).map_err(|error| not(&error.to_string()))?;
    let theirs = tokenizer["model"]["vocab"].as_object().ok_or_else(|| not("it has no model.vocab"))?;
    let mut texts = vec![String::new(); theirs.len()];
    for (text, id) in theirs {
        let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
        let place = id.and_then(|id| texts.get_mut(id)).ok_or_else(|| not("its ids are not 0, 1, 2, …"))?;
        place.clone_from(text);
    }
    if texts.is_empty() {
        return Err(not("its vocabulary is empty"));
    }
    for (id, found) in texts.into_iter().enumerate() {
        let expected = TABLE.get(id).map(Token::to_string).unwrap_or_default();
        if expected != found {
            return Err(Error::OtherVocabulary { id, expected, found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_texts_are_distinct_and_in_order() {
        let mut texts = std::collections::HashSet::new();
        for (id, token) in Token::all().enumerate() {
            assert_eq!(token.id(), id as i32, "{token}");
            assert_eq!(Token::from_id(id as i32), Some(token));
            assert!(texts.insert(token.to_string()), "{token} twice");
            assert!(!token.to_string().contains(char::is_whitespace));
        }
        assert_eq!(texts.len(), VOCABULARY_SIZE);
        assert_eq!((Token::from_id(-1), Token::from_id(VOCABULARY_SIZE as i32)), (None, None));
    }

    #[test]
    fn the_vocabulary_is_pinned() {
        let list: String = Token::all().map(|token| format!("{token}\n")).collect();
        expect_test::expect_file!["../../../fixtures/prompt/vocabulary-v1.txt"].assert_eq(&list);
    }

    #[test]
    fn the_tokenizers_library_writes_the_same_bytes() {
        let vocabulary = Token::all().map(|token| (token.to_string(), token.id() as u32)).collect();
        let model = tokenizers::models::wordlevel::WordLevel::builder().vocab(vocabulary);
        let model = model.unk_token(Token::Unk.to_string()).build().expect("a vocabulary in memory reads no file");
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(tokenizers::pre_tokenizers::whitespace::WhitespaceSplit));
        let special = Token::all().map(|token| token.to_string()).filter(|text| text.starts_with('<'));
        let special = special.map(|text| tokenizers::AddedToken::from(text, true));
        tokenizer.add_special_tokens(special).expect("special tokens are in the vocabulary");
        assert_eq!(tokenizer_json(), tokenizer.to_string(true).expect("a word-level tokenizer is JSON"));
    }

    #[test]
    fn the_tokenizers_library_agrees_on_every_id() {
        let tokenizer = tokenizers::Tokenizer::from_bytes(tokenizer_json()).expect("our own tokenizer");
        let ids: Vec<i32> = (0..VOCABULARY_SIZE as i32).rev().collect();
        let theirs = tokenizer.encode_fast(to_text(&ids), false).expect("plain text");
        let theirs: Vec<i32> = theirs.get_ids().iter().map(|&id| id as i32).collect();
        assert_eq!(theirs, ids);
        assert_eq!(tokenizer.encode_fast("sinh", false).expect("plain text").get_ids(), [Token::Unk.id() as u32]);
        assert_eq!(tokenizer_json(), tokenizer_json());
    }

    #[test]
    fn a_checkpoint_of_another_vocabulary_is_refused() {
        let ours = tokenizer_json();
        assert_eq!(check_tokenizer(&ours), Ok(()));
        let mut json: Value = serde_json::from_str(&ours).expect("JSON");
        let vocabulary = json["model"]["vocab"].as_object_mut().expect("a map");
        vocabulary.remove("V32");
        assert_eq!(check_tokenizer(&json.to_string()), Ok(()), "a version before V32 was appended");
        let swapped = ours.replace("\"sin\"", "\"tmp\"").replace("\"cos\"", "\"sin\"").replace("\"tmp\"", "\"cos\"");
        let error = check_tokenizer(&swapped).expect_err("swapped");
        assert_eq!(
            error.to_string(),
            "checkpoint of another vocabulary: expected token 126 to be \"sin\", found \"cos\""
        );
        for text in ["", "{}", r#"{"model":{"vocab":{}}}"#, r#"{"model":{"vocab":{"a":5}}}"#] {
            assert!(matches!(check_tokenizer(text), Err(Error::NotATokenizer { .. })), "{text}");
        }
        let longer = format!(r#"{{"model":{{"vocab":{{"{}":0}}}}}}"#, "<cls>");
        assert!(matches!(check_tokenizer(&longer), Err(Error::OtherVocabulary { id: 0, .. })));
    }

    #[test]
    fn errors_fall_into_half_decades() {
        for (mse, text) in [
            (0.0, "FZERO"),
            (f32::NAN, "FINVALID"),
            (f32::INFINITY, "FINVALID"),
            (-1.0, "FINVALID"),
            (1e-30, "F0"),
            (1e-16, "F0"),
            (0.1, "F30"), // the f32 is a little above 0.1
            (0.31, "F30"),
            (0.32, "F31"),
            (1.0, "F32"),
            (3.2, "F33"),
            (10.0, "F34"),
            (1e16, "F63"),
            (f32::MAX, "F63"),
        ] {
            assert_eq!(Token::fitness(mse).to_string(), text, "{mse}");
        }
    }

    #[test]
    fn generations_fall_into_half_octaves() {
        let bucket = |generation| Token::generation(generation).to_string();
        let firsts: Vec<u32> = (0..1000).filter(|&g| g == 0 || bucket(g) != bucket(g - 1)).collect();
        assert_eq!(firsts, [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192]);
        assert_eq!(bucket(u32::MAX), "G15");
    }

    #[test]
    fn numbers_keep_four_digits() {
        for (value, text) in [
            (3.25, "N+ M32 M50 E0"),
            (-2.5, "N- M25 M00 E0"),
            (0.0, "N+ M00 M00 E0"),
            (-0.0, "N+ M00 M00 E0"),
            (1234.56, "N+ M12 M35 E3"),
            (9.9996, "N+ M10 M00 E1"),
            (1e-20, "N+ M10 M00 E-20"),
            (-1e-21, "N+ M00 M00 E0"),
            (1e300, "N+ M99 M99 E20"),
            (f64::NEG_INFINITY, "N- M99 M99 E20"),
            (f64::NAN, "<unk> <unk> <unk> <unk>"),
        ] {
            assert_eq!(Token::number(value).map(|token| token.to_string()).join(" "), text);
        }
        assert_eq!(Token::number_value(false, 32, 50, 0), 3.25);
        assert_eq!(Token::number_value(true, 12, 35, 3), -1235.0);
    }
}
