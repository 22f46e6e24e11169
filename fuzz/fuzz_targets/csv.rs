//! Tables of users, as `sr-fit` and `sr-generate` read them. The first two bytes choose the options, the rest is the file.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use sr_fuzz::{Scratch, write_seeds};
use sr_problems::{Decimal, GroupColumn, Missing, Separator, TableOptions, columns_of_table, from_table};

static FILE: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("table.csv"));

fn seeds() -> Vec<Vec<u8>> {
    [
        (0, 0, "# a comment\na,b,y\n1,2.5,3e-2\n-4,true,.5\n"),
        (24, 62, "a;b;y;w;s;g\n1;2;3;1;0.5;one\n4;5;6;0;2;\"1\"\n7;NA;8;1;1;x\n"),
        (26, 0, "\u{feff}a\tb\ty\r\n\"1,5\"\t2\t3\r\n4\t5,25\t6\r\n"),
        (17, 0, "1 2 3\n4  5 6\n"),
        (24, 0, "a|b|y\r1|2|12345678901234567890\r3|\"4\n5\"|6\r"),
        (28, 1, "a,y,b\n1,,2\n#DIV/0!,1,2\n"),
        (24, 0, "sep=;\na;y\n1;2\n"),
    ]
    .map(|(form, roles, text): (u8, u8, &str)| [&[form, roles], text.as_bytes()].concat())
    .into()
}

fuzz_target!(init: write_seeds(seeds), |input: &[u8]| -> Corpus {
    let &[form, roles, ref bytes @ ..] = input else { return Corpus::Reject };
    // Parquet has a reader of its own, another library's.
    if bytes.starts_with(b"PAR1") {
        return Corpus::Reject;
    }
    let path = FILE.file(bytes);
    let column = |bit: u8, name: &str| (roles & bit != 0).then(|| name.to_owned());
    let options = TableOptions {
        features: column(1, "a,b").map(|names| vec![names]),
        drop: column(2, "b").into_iter().collect(),
        weights: column(4, "w"),
        sigma: column(8, "s"),
        group: column(16, "g"),
        header: form & 1 == 0,
        decimal: if form & 2 == 0 { Decimal::Point } else { Decimal::Comma },
        missing: if form & 4 == 0 { Missing::Drop } else { Missing::Refuse },
        separator: match form >> 3 & 7 {
            0 => Some(Separator::Comma),
            1 => Some(Separator::Semicolon),
            2 => Some(Separator::Blanks),
            _ => None,
        },
        ..TableOptions::new(if form & 1 == 0 { "y" } else { "column1" })
    };
    match from_table(path, &options) {
        Ok(table) => {
            let problem = &table.set.problems[0];
            assert_eq!((problem.x.n_rows(), problem.y.len()), (table.report.rows, table.report.rows));
            assert!(problem.x.values().chain(&problem.y).all(|value| value.is_finite()));
            let _ = (problem.instance().is_ok(), problem.fingerprint());
            table.report.warnings.iter().for_each(|warning| assert!(!warning.to_string().is_empty()));
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
    let groups = ["1".to_owned(), "one".to_owned()];
    let groups = (roles & 32 != 0).then_some(GroupColumn { name: "g", groups: &groups });
    let names = ["a".to_owned(), "column2".to_owned()];
    let _ = columns_of_table(path, &names[usize::from(form & 1)..][..1], groups, &options);
    Corpus::Keep
});
