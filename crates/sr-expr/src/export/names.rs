//! Names of columns as identifiers of a target.

use std::collections::{HashMap, HashSet};

use super::{Target, latex, mathml};

/// What stands for the columns in a text, and which words are used up.
pub(super) struct Identifiers {
    /// One identifier a column, all distinct.
    pub(super) columns: Vec<String>,
    /// Whether the text has to say which column it is, because its name is another or not to be guessed.
    pub(super) is_mapped: Vec<bool>,
    used: HashSet<String>,
    /// The number to try next for a word that is used up.
    next: HashMap<String, usize>,
}

impl Identifiers {
    /// Chooses identifiers for `n_columns` columns, the first of which have these names. O(columns).
    ///
    /// A name that can stand as it is does so, wherever its column is; the others are changed, in their order.
    pub(super) fn new(target: Target, names: &[String], n_columns: usize) -> Self {
        let reserved = reserved(target);
        let used = reserved.into_iter().map(str::to_owned).collect();
        let mut this = Identifiers { columns: Vec::new(), is_mapped: Vec::new(), used, next: HashMap::new() };
        let own = |column: usize| own(column, names);
        match target {
            Target::Json => this.columns = (0..n_columns).map(own).collect(),
            Target::Latex | Target::MathMl => this.typeset(target, names, n_columns),
            _ => {
                let stays: Vec<bool> = (0..n_columns)
                    .map(|column| own(column) == ascii(&own(column), column) && this.used.insert(own(column)))
                    .collect();
                let chosen = (0..n_columns).map(|column| match stays[column] {
                    true => own(column),
                    false => this.distinct(ascii(&own(column), column)),
                });
                this.columns = chosen.collect();
            }
        }
        // Mathematics has numbers of these names.
        let is_number = |name: &str| matches!(name, "e" | "i" | "pi" | "π");
        let differs = |(column, name): (usize, &String)| match target {
            Target::Latex | Target::MathMl if is_number(name) => true,
            // `x_{0}` is x0 by itself.
            Target::Latex if *name == format!("x{column}") => false,
            Target::Latex => this.columns[column] != *name && this.columns[column] != latex::verbatim(name),
            Target::MathMl => {
                *name != format!("x{column}") && mathml::visible(&this.columns[column]) != mathml::escaped(name)
            }
            _ => this.columns[column] != *name,
        };
        this.is_mapped = names.iter().enumerate().map(differs).collect();
        this.is_mapped.resize(n_columns, false);
        this
    }

    /// Chooses how names are typeset: as a symbol with an index, as they are, or with the number of their column,
    /// whichever is the first that no other column has.
    fn typeset(&mut self, target: Target, names: &[String], n_columns: usize) {
        let is_mathml = target == Target::MathMl;
        let verbatim = if is_mathml { mathml::verbatim } else { latex::verbatim };
        let symbol = if is_mathml { mathml::symbol } else { latex::symbol };
        let numbered = if is_mathml { mathml::numbered } else { latex::numbered };
        for column in 0..n_columns {
            let name = own(column, names);
            let symbol = symbol(&name).unwrap_or_else(|| verbatim(&name));
            let mut choices = [symbol, verbatim(&name), numbered(&column.to_string())]
                .into_iter()
                // Of no text at all, which nobody would see.
                .filter(|text| *text != verbatim(""))
                .chain((1..).map(|more| numbered(&format!("{column},{more}"))));
            let chosen = choices.find(|text| self.used.insert(text.clone())).expect("the choices have no end");
            self.columns.push(chosen);
        }
    }

    /// Returns a word that is not used up: this one, or this one with an underscore and a number if need be.
    fn distinct(&mut self, word: String) -> String {
        let mut candidate = word.clone();
        while !self.used.insert(candidate.clone()) {
            let next = self.next.entry(word.clone()).or_insert(1);
            candidate = if *next == 1 { format!("{word}_") } else { format!("{word}_{next}") };
            *next += 1;
        }
        candidate
    }

    /// Returns a new word: this one with a number.
    pub(super) fn fresh(&mut self, word: &str) -> String {
        loop {
            let next = self.next.entry(format!("{word}#")).or_insert(1);
            let candidate = format!("{word}{next}");
            *next += 1;
            if self.used.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
}

/// Returns the name of a column, which is `x` and its number where it has none of its own.
pub(super) fn own(column: usize, names: &[String]) -> String {
    names.get(column).cloned().unwrap_or_else(|| format!("x{column}"))
}

/// Returns a function's name as an identifier of a target.
pub(super) fn function(target: Target, name: &str) -> String {
    let word = ascii(name, 0);
    if reserved(target).contains(&&*word) { word + "_" } else { word }
}

/// Returns a name as a word of ASCII letters, digits and underscores, which begins with a letter: Greek letters by
/// their names, Latin ones without their accents, anything else an underscore. A name with letters that have no such
/// form is `x` and the number of its column.
fn ascii(name: &str, column: usize) -> String {
    let mut word = String::new();
    let mut after_greek = false;
    for c in name.chars() {
        let at = word.len();
        match c {
            _ if c.is_ascii_alphanumeric() => word.push(c),
            _ if greek(c).is_some() => {
                if word.ends_with(|c: char| c.is_ascii_alphabetic()) {
                    word.push('_');
                }
                word.push_str(greek(c).unwrap_or_default());
            }
            _ if digit(c).is_some() => word.extend(digit(c)),
            _ if unaccented(c).is_some() => word.push_str(unaccented(c).unwrap_or_default()),
            _ if c.is_alphanumeric() => return format!("x{column}"),
            _ if word.ends_with('_') => {}
            _ => word.push('_'),
        }
        if after_greek && word[at..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            word.insert(at, '_');
        }
        after_greek = greek(c).is_some();
    }
    let word = word.trim_matches('_');
    match word.chars().next() {
        None => format!("x{column}"),
        Some('0'..='9') => format!("x_{word}"),
        Some(_) => word.to_owned(),
    }
}

/// The Greek alphabet: letters and their names, in the order of Unicode.
const GREEK: [&str; 25] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "omicron", "pi", "rho", "sigma", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
];
const GREEK_CAPITALS: [&str; 25] = [
    "Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta", "Eta", "Theta", "Iota", "Kappa", "Lambda", "Mu", "Nu", "Xi",
    "Omicron", "Pi", "Rho", "Sigma", "Sigma", "Tau", "Upsilon", "Phi", "Chi", "Psi", "Omega",
];

/// Returns the name of a Greek letter.
pub(super) fn greek(c: char) -> Option<&'static str> {
    match c {
        'α'..='ω' => Some(GREEK[c as usize - 'α' as usize]),
        'Α'..='Ω' => Some(GREEK_CAPITALS[c as usize - 'Α' as usize]),
        'µ' => Some("mu"), // the sign of micro
        'ϵ' => Some("epsilon"),
        'ϑ' => Some("theta"),
        'ϕ' => Some("phi"),
        _ => None,
    }
}

/// Returns the Greek letter of a name.
pub(super) fn greek_letter(word: &str) -> Option<char> {
    // Of the two that are called sigma the second one is not that of a word's end.
    ('α'..='ω').rev().chain('Α'..='Ω').find(|&c| greek(c) == Some(word))
}

/// Returns the digit of a digit above or below the line.
pub(super) fn digit(c: char) -> Option<char> {
    let value = match c {
        '₀'..='₉' => c as u32 - '₀' as u32,
        '⁴'..='⁹' => 4 + (c as u32 - '⁴' as u32),
        '⁰' => 0,
        '¹' => 1,
        '²' => 2,
        '³' => 3,
        _ => return None,
    };
    char::from_digit(value, 10)
}

/// Returns what a Latin letter is in ASCII: those of Western Europe (ISO 8859-1).
fn unaccented(c: char) -> Option<&'static str> {
    const LETTERS: [(&str, &str); 20] = [
        ("ÀÁÂÃÄÅ", "A"),
        ("àáâãäå", "a"),
        ("Æ", "Ae"),
        ("æ", "ae"),
        ("Ç", "C"),
        ("ç", "c"),
        ("ÈÉÊË", "E"),
        ("èéêë", "e"),
        ("ÌÍÎÏ", "I"),
        ("ìíîï", "i"),
        ("Ñ", "N"),
        ("ñ", "n"),
        ("ÒÓÔÕÖØ", "O"),
        ("òóôõöø", "o"),
        ("ÙÚÛÜ", "U"),
        ("ùúûü", "u"),
        ("Ýý", "y"),
        ("ÿ", "y"),
        ("ß", "ss"),
        ("Ðð", "d"),
    ];
    LETTERS.iter().find(|(letters, _)| letters.contains(c)).map(|(_, ascii)| *ascii)
}

/// Returns the words that may not stand for a column: of the language, of what its texts use, and what readers of a
/// text would take for something else.
fn reserved(target: Target) -> Vec<&'static str> {
    let lists: &[&'static str] = match target {
        Target::Latex | Target::MathMl | Target::Json => &[],
        Target::Sympy => &[PYTHON, include_str!("sympy-names.txt")],
        Target::Numpy => &[PYTHON, "np numpy"],
        Target::Rust => &[RUST],
        Target::C => &[C],
    };
    lists.iter().flat_map(|list| list.split_whitespace()).collect()
}

/// Keywords and builtins of Python 3.14.
const PYTHON: &str = "\
False None True and as assert async await break class continue def del elif else except finally for from global if \
import in is lambda nonlocal not or pass raise return try while with yield match case type \
abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex copyright \
credits delattr dict dir divmod enumerate eval exec exit filter float format frozenset getattr globals hasattr hash \
help hex id input int isinstance issubclass iter len license list locals map max memoryview min next object oct open \
ord pow print property quit range repr reversed round set setattr slice sorted staticmethod str sum super tuple vars \
zip";

/// Keywords of all editions of Rust, those that are kept for later, primitive types, patterns of the prelude, and the
/// functions of our texts.
const RUST: &str = "\
abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if impl \
in let loop macro match mod move mut override priv pub ref return self Self static struct super trait true try type \
typeof union unsafe unsized use virtual where while yield raw safe macro_rules \
bool char f16 f32 f64 f128 i8 i16 i32 i64 i128 isize str u8 u16 u32 u64 u128 usize None Some Ok Err std core main \
square cube pdiv pexp plog psqrt ptan pinv";

/// Keywords of C23 and C++23, names of math.h and macros that compilers and common headers define.
const C: &str = "\
alignas alignof auto bool break case char const constexpr continue default do double else enum extern false float for \
goto if inline int long nullptr register restrict return short signed sizeof static static_assert struct switch \
thread_local true typedef typeof typeof_unqual union unsigned void volatile while asm fortran \
and and_eq bitand bitor catch class co_await co_return co_yield compl concept consteval constinit const_cast decltype \
delete dynamic_cast explicit export friend mutable namespace new noexcept not not_eq operator or or_eq private \
protected public reinterpret_cast requires template this throw try typeid typename using virtual wchar_t xor xor_eq \
char8_t char16_t char32_t final override import module \
acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma fmax \
fmin fmod fpclassify frexp gamma hypot ilogb isfinite isgreater isgreaterequal isinf isless islessequal islessgreater \
isnan isnormal isunordered ldexp lgamma llrint llround log log10 log1p log2 logb lrint lround modf nan nearbyint \
nextafter nexttoward pow remainder remquo rint round scalbln scalbn signbit signgam significand sin sinh sqrt tan tanh \
tgamma trunc j0 j1 jn y0 y1 yn drem finite scalb exp10 pow10 sincos abs labs div \
NAN INFINITY HUGE_VAL HUGE_VALF HUGE_VALL NULL EOF I errno math_errhandling float_t double_t main \
DOMAIN SING OVERFLOW UNDERFLOW PLOSS TLOSS M_E M_PI \
linux unix i386 near far min max interface small hyper near far IN OUT TRUE FALSE BOOL \
sr_square sr_cube sr_pdiv sr_pexp sr_plog sr_psqrt sr_ptan sr_pinv";
