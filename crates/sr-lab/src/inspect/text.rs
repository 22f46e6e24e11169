//! Text of values: numbers with four digits, tables, shortened formulas.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

/// Returns a table with aligned columns. Titles that begin with `#` lose it, and their columns are aligned to the
/// right.
pub fn table(titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !titles.is_empty() {
        table.set_header(titles.iter().map(|title| title.trim_start_matches("# ")));
    }
    table.add_rows(rows);
    for (index, title) in titles.iter().enumerate() {
        if let (true, Some(column)) = (title.starts_with('#'), table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}

/// Returns a value as text, without JSON's quotes and brackets.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(map) if map.contains_key("mean") => {
            let [min, mean, max] = ["min", "mean", "max"].map(|name| plain(&map[name]));
            format!("{mean} ({min} to {max})")
        }
        Value::Object(map) => {
            map.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Number(number) if number.is_f64() => short(number.as_f64().unwrap_or(f64::NAN)),
        value => value.to_string(),
    }
}

/// Returns a number for a table, with four significant digits.
pub fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        1e-3..1e6 => {
            let digits = (3 - value.abs().log10().floor() as i32).max(0) as usize;
            let text = format!("{value:.digits$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
        _ => format!("{value:.3e}"),
    }
}

/// Shortens text to 60 characters, so that a table has room for other columns.
pub fn ellipsis(text: &str) -> String {
    cut(text, 60)
}

/// Returns the first `width` characters, with `…` if there are more.
pub fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        for (value, text) in
            [(0.0, "0"), (1.0, "1"), (20.0, "20"), (0.012345, "0.01235"), (-123456.0, "-123456"), (1e-17, "1.000e-17")]
        {
            assert_eq!(short(value), text);
        }
        assert_eq!(short(f64::INFINITY), "inf");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(ellipsis(&"é".repeat(60)), "é".repeat(60));
        assert_eq!(ellipsis(&"é".repeat(61)), "é".repeat(60) + "…");
    }
}
