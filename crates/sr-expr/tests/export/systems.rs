//! The systems that evaluate texts: Python, rustc and a C compiler.

use std::fs;
use std::path::Path;
use std::process::Command;

use sr_testing::{python, skipped, succeeds};

/// What a system is asked to compute: functions `f_0`, `f_1`, … of the same columns, at rows.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) texts: Vec<String>,
    pub(crate) rows: &'a [Vec<f64>],
}

/// A system: values by function and row, or `None` if it is not there.
pub(crate) type System = fn(&Path, &Work<'_>) -> Option<Vec<Vec<f64>>>;

fn bits(text: &str) -> f64 {
    f64::from_bits(text.parse().expect("64 bits"))
}

/// The values in the lines of a program: one line a function, one number a row.
fn table(output: &[u8]) -> Vec<Vec<f64>> {
    let text = String::from_utf8(output.to_vec()).expect("text");
    text.lines().map(|line| line.split_whitespace().map(bits).collect()).collect()
}

/// Values of Python functions, computed for all rows at once; any warning but of floating-point errors is an error.
pub(crate) fn numpy(folder: &Path, work: &Work<'_>) -> Option<Vec<Vec<f64>>> {
    let python = python(&["numpy"])?;
    let script = r#"
import json, struct, sys, warnings
warnings.simplefilter("error")
import numpy as np
import texts
rows = np.array([[struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in row] for row in json.load(open("rows"))])
for index in range(int(sys.argv[1])):
    with np.errstate(all="ignore"):
        values = getattr(texts, f"f_{index}")(*rows.T)
        single = getattr(texts, f"f_{index}")(*rows[0])
    assert values.shape == (len(rows),) and values.dtype == np.float64, (index, values)
    assert np.shape(single) == (), (index, single)
    print(*(struct.unpack("<Q", struct.pack("<d", value))[0] for value in values))
"#;
    fs::write(folder.join("texts.py"), work.texts.join("\n\n")).expect("written");
    fs::write(folder.join("main.py"), script).expect("written");
    let rows: Vec<Vec<u64>> = work.rows.iter().map(|row| row.iter().map(|x| x.to_bits()).collect()).collect();
    fs::write(folder.join("rows"), serde_json::to_string(&rows).expect("JSON")).expect("written");
    let mut command = Command::new(python);
    let output = succeeds(command.arg("main.py").arg(work.texts.len().to_string()).current_dir(folder));
    Some(table(&output.stdout))
}

/// Values of Rust functions; any warning is an error.
pub(crate) fn rust(folder: &Path, work: &Work<'_>) -> Option<Vec<Vec<f64>>> {
    if Command::new("rustc").arg("--version").output().is_err() {
        skipped("rustc", "there is no rustc");
        return None;
    }
    let row =
        |row: &Vec<f64>| format!("[{}]", row.iter().map(|x| x.to_bits().to_string()).collect::<Vec<_>>().join(", "));
    let width = work.rows[0].len();
    let arguments: Vec<String> = (0..width).map(|column| format!("f64::from_bits(row[{column}])")).collect();
    let mut text = work.texts.join("\n");
    text += &format!(
        "const ROWS: [[u64; {width}]; {}] = [{}];\n",
        work.rows.len(),
        work.rows.iter().map(row).collect::<Vec<_>>().join(", ")
    );
    text += "fn main() {\n";
    for index in 0..work.texts.len() {
        let call = format!("f_{index}({})", arguments.join(", "));
        text += &format!("    for row in ROWS {{ print!(\"{{}} \", {call}.to_bits()); }}\n    println!();\n");
    }
    fs::write(folder.join("main.rs"), text + "}\n").expect("written");
    succeeds(
        Command::new("rustc")
            .args(["--edition", "2021", "-D", "warnings", "main.rs", "-o", "rust"])
            .current_dir(folder),
    );
    Some(table(&succeeds(&mut Command::new(folder.join("rust"))).stdout))
}

/// Values of C functions; any warning is an error.
pub(crate) fn c(folder: &Path, work: &Work<'_>) -> Option<Vec<Vec<f64>>> {
    if Command::new("cc").arg("--version").output().is_err() {
        skipped("cc", "there is no C compiler");
        return None;
    }
    let bits = work.rows.iter().flatten().map(|x| format!("{}ULL", x.to_bits())).collect::<Vec<_>>().join(", ");
    let width = work.rows[0].len();
    let arguments: Vec<String> = (0..width).map(|column| format!("x[{width} * row + {column}]")).collect();
    let mut text = work.texts.join("\n");
    text += &format!(
        "#include <stdio.h>\n#include <string.h>\nstatic const unsigned long long bits[] = {{{bits}}};\n\
         static double x[sizeof bits / sizeof *bits];\n\
         static void show(double value) {{\n    unsigned long long bits;\n    memcpy(&bits, &value, sizeof bits);\n\
         \x20   printf(\"%llu \", bits);\n}}\n\
         int main(void) {{\n    int row;\n    memcpy(x, bits, sizeof x);\n"
    );
    for index in 0..work.texts.len() {
        let call = format!("f_{index}({})", arguments.join(", "));
        text += &format!("    for (row = 0; row < {}; row++) show({call});\n    printf(\"\\n\");\n", work.rows.len());
    }
    fs::write(folder.join("main.c"), text + "    return 0;\n}\n").expect("written");
    let flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "main.c", "-o", "c", "-lm"];
    succeeds(Command::new("cc").args(flags).current_dir(folder));
    Some(table(&succeeds(&mut Command::new(folder.join("c"))).stdout))
}

/// Values of SymPy expressions, to 30 digits, then rounded; NaN where it has no real value. The names are those of the
/// symbols that stand for the columns.
pub(crate) fn sympy(folder: &Path, work: &Work<'_>, names: &[String]) -> Option<Vec<Vec<f64>>> {
    let python = python(&["sympy"])?;
    let script = r#"
import json, struct
from sympy import Float, Symbol, sympify
texts, rows, names = json.load(open("work"))
def value(expression, row):
    try:
        found = complex(expression.evalf(30, subs=dict(zip(map(Symbol, names), row))))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return float("nan")
    return found.real if abs(found.imag) <= 1e-20 * abs(found.real) else float("nan")
rows = [[Float(struct.unpack("<d", struct.pack("<Q", bits))[0], 40) for bits in row] for row in rows]
for text in texts:
    expression = sympify(text)
    strange = [s for s in expression.free_symbols if s.name not in names]
    assert not strange, (text, strange)
    print(*(struct.unpack("<Q", struct.pack("<d", value(expression, row)))[0] for row in rows))
"#;
    fs::write(folder.join("main.py"), script).expect("written");
    let rows: Vec<Vec<u64>> = work.rows.iter().map(|row| row.iter().map(|x| x.to_bits()).collect()).collect();
    let json = serde_json::to_string(&(&work.texts, rows, names)).expect("JSON");
    fs::write(folder.join("work"), json).expect("written");
    Some(table(&succeeds(Command::new(python).arg("main.py").current_dir(folder)).stdout))
}
