//! Formulas as tables.

use super::Fitted;

impl Fitted {
    /// Returns the formulas of the front as CSV with a header, one formula a row.
    ///
    /// - marked: the index of the formula whose column `marked` says true
    /// - names: the names of the variables
    ///
    /// # Errors
    /// Never in practice: text is written to memory.
    pub fn front_csv(&self, marked: usize, names: &[String]) -> anyhow::Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["size", "rmse", "r2", "rmse_held_out", "exact", "marked", "formula", "expression"])?;
        for (index, formula) in self.front.iter().enumerate() {
            let number = |value: Option<f64>| value.map(|value| format!("{value:?}")).unwrap_or_default();
            let text = formula.expr.display(self.semantics);
            writer.write_record([
                formula.expr.size().to_string(),
                number(Some(formula.fit.rmse)),
                number(formula.fit.r2()),
                number(formula.held_out.map(|fit| fit.rmse)),
                formula.is_exact.to_string(),
                (index == marked).to_string(),
                text.with_names(names).to_string(),
                formula.expr.display(self.semantics).to_string(),
            ])?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }
}
