//! Self-contained pages: a template, the shared style and player, and one block of JSON.

use serde::Serialize;

const STYLE: &str = include_str!("page.css");
const PLAYER: &str = include_str!("player.js");

/// Fills in a template: `@@style@@`, `@@player@@`, `@@title@@` as text and `@@data@@` as JSON.
pub(crate) fn page(template: &str, title: &str, data: &impl Serialize) -> String {
    let (title, data) = (escaped(title), json(data));
    filled(template, &[("style", STYLE), ("player", PLAYER), ("title", &title), ("data", &data)])
}

/// Fills in the places `@@NAME@@` of a template.
///
/// Inserted text is not searched again, so no title can be mistaken for a placeholder.
pub(crate) fn filled(template: &str, places: &[(&str, &str)]) -> String {
    let mut page = String::with_capacity(template.len() + places.iter().map(|(_, text)| text.len()).sum::<usize>());
    for (index, part) in template.split("@@").enumerate() {
        let text = places.iter().find(|(name, _)| index % 2 == 1 && *name == part);
        assert!(index % 2 == 0 || text.is_some(), "a template has no place {part:?}");
        page.push_str(text.map_or(part, |(_, text)| text));
    }
    page
}

/// Returns JSON for a script element.
pub(crate) fn json(data: &impl Serialize) -> String {
    // The only way out of a script element is "</script", or "<!--" into a comment.
    serde_json::to_string(data).expect("plain data are JSON").replace('<', "\\u003c")
}

/// Escapes text for HTML and SVG, between elements and in attributes; characters that XML does not allow become �.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(char),
        }
    }
    out
}

/// Rounds a number to five significant digits, more than a screen shows; `None` (`null` in JSON) if it is not finite.
pub(crate) fn rounded(value: f64) -> Option<f64> {
    value.is_finite().then(|| format!("{value:.4e}").parse().expect("a printed number"))
}

/// Returns at most `most` of `0..n`, evenly spread, including the first and the last.
pub(crate) fn spread(n: usize, most: usize) -> Vec<usize> {
    if n <= most { (0..n).collect() } else { (0..most).map(|i| i * (n - 1) / (most - 1)).collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        let title = "</title><script>alert('@@data@@')</script>";
        let page = page("<title>@@title@@</title><script>@@data@@</script>", title, &title);
        let escaped = "&lt;/title&gt;&lt;script&gt;alert(&#39;@@data@@&#39;)&lt;/script&gt;";
        let json = r#""\u003c/title>\u003cscript>alert('@@data@@')\u003c/script>""#;
        assert_eq!(page, format!("<title>{escaped}</title><script>{json}</script>"));
    }

    #[test]
    fn numbers_keep_five_digits() {
        assert_eq!(rounded(123_456.789), Some(123_460.0));
        assert_eq!(rounded(-1.234_567e-20), Some(-1.2346e-20));
        assert_eq!((rounded(0.0), rounded(f64::NAN), rounded(f64::INFINITY)), (Some(0.0), None, None));
    }

    proptest! {
        #[test]
        fn spread_points_rise_from_first_to_last(n in 1..5000_usize, most in 2..300_usize) {
            let points = spread(n, most);
            prop_assert_eq!(points.len(), n.min(most));
            prop_assert_eq!((points[0], points[points.len() - 1]), (0, n - 1));
            prop_assert!(points.is_sorted_by(|a, b| a < b));
        }
    }
}
