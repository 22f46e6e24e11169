//! Tables of constants that differ between groups, behind exported texts.

use sr_expr::{Expr, GroupConstants, Semantics, Target};

use crate::systems::{System, Work, c, numpy, rust};

/// Of the second one the quotes, the backslash and the trigraph need care.
const GROUPS: [&str; 2] = ["a", "b\t\"??/\" é\\"];
const VALUES: [[f64; 2]; 2] = [[3.0, -0.55], [1e-7, 0.1 + 0.2]];

fn export(target: Target) -> String {
    let expr: Expr = "x1*exp(x2*x0)".parse().expect("a formula");
    let names = ["t", "c0", "c1"].map(String::from);
    let (groups, values) = (GROUPS.map(String::from), VALUES.map(Vec::from));
    let table = GroupConstants { name: "lot 1", groups: &groups, values: &values };
    let export = expr.export(target, Semantics::Ieee).with_names(&names).with_function("g");
    export.with_groups(table).to_string()
}

#[test]
fn systems_compute_with_the_constants_of_the_table() {
    let rows: Vec<Vec<f64>> = [0.0, 0.5, -3.0].map(|t| vec![t]).to_vec();
    let wrappers: [(Target, System, &str); 3] = [
        (Target::Numpy, numpy, "def f_0(t):\n    return g(t, *g_constants['b\\t\"??/\" é\\\\'])\n"),
        (
            Target::Rust,
            rust,
            "pub fn f_0(t: f64) -> f64 {\n    let (group, [c0, c1]) = G_CONSTANTS[1];\n    \
             assert_eq!(group, \"b\\t\\\"??/\\\" é\\\\\");\n    g(t, c0, c1)\n}\n",
        ),
        (
            Target::C,
            c,
            "#include <string.h>\ndouble f_0(double t) {\n    \
             if (strcmp(g_constants[1].group, \"b\\t\\\"?\\?/\\\" é\\\\\") != 0) return -1.0;\n    \
             return g(t, g_constants[1].constants[0], g_constants[1].constants[1]);\n}\n",
        ),
    ];
    for (target, system, wrapper) in wrappers {
        let folder = tempfile::tempdir().expect("a folder");
        let work = Work { texts: vec![format!("{}\n\n{wrapper}", export(target))], rows: &rows };
        let Some(values) = system(folder.path(), &work) else { continue };
        for (value, row) in values[0].iter().zip(&rows) {
            let expected = VALUES[1][0] * (VALUES[1][1] * row[0]).exp();
            assert!((value / expected - 1.0).abs() < 1e-12, "{target}: {value} {expected}");
        }
    }
}

#[test]
fn other_texts_have_the_table_as_an_array_a_comment_or_a_field() {
    assert_eq!(
        export(Target::Latex),
        "% c_{0}: \"c0\"\n% c_{1}: \"c1\"\nc_{0} \\cdot \\exp\\left(c_{1} \\cdot t\\right)\n\\qquad\n\\begin{array}{lrr}\n\
         \\mathrm{lot\\ 1} & c_{0} & c_{1} \\\\ \\hline\n\\mathrm{a} & 3 & -0.55 \\\\\n\
         \\mathrm{b{?}{\"}{?}{?}{/}{\"}\\ \\text{é}{\\backslash}} & 10^{-7} & 0.30000000000000004\n\\end{array}\n"
    );
    let mathml = export(Target::MathMl);
    let table = mathml.lines().last().expect("a table");
    assert!(table.starts_with(
        "<math><mtable><mtr><mtd><mtext>lot\u{a0}1</mtext></mtd><mtd><msub><mi>c</mi><mn>0</mn></msub></mtd>"
    ));
    assert!(
        table.contains("<mtr><mtd><mtext>a</mtext></mtd><mtd><mn>3</mn></mtd><mtd><mo>−</mo><mn>0.55</mn></mtd></mtr>")
    );
    assert!(roxmltree::Document::parse(table).is_ok(), "{table}");
    assert_eq!(
        export(Target::Sympy),
        "c0*exp(c1*t)  # c0, c1 by \"lot 1\": \"a\": 3.0, -0.55, \"b\\t\\\"??/\\\" é\\\\\": 1e-07, 0.30000000000000004\n"
    );
    let json: serde_json::Value = serde_json::from_str(&export(Target::Json)).expect("JSON");
    let expected = serde_json::json!({
        "name": "lot 1",
        "constants": ["c0", "c1"],
        "values": [{ "group": GROUPS[0], "values": VALUES[0] }, { "group": GROUPS[1], "values": VALUES[1] }],
    });
    assert_eq!(json["groups"], expected);
}
