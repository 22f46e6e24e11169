//! Formulas as tables.

use super::{Fitted, GroupFitted};

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
                formula.size.to_string(),
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

impl GroupFitted {
    /// Returns the laws of the front as CSV with a header, one law a row.
    ///
    /// - marked: the index of the law whose column `marked` says true
    /// - names: the names of the variables
    ///
    /// # Errors
    /// Never in practice: text is written to memory.
    pub fn front_csv(&self, marked: usize, names: &[String]) -> anyhow::Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header =
            ["size", "own_constants", "loss", "r2", "loss_held_out", "exact", "marked", "formula", "expression"];
        writer.write_record(header)?;
        let names = self.names(names);
        for (index, law) in self.front.iter().enumerate() {
            let text = law.expr.display(self.semantics);
            writer.write_record([
                law.size.to_string(),
                law.n_own().to_string(),
                format!("{:?}", law.all.loss),
                format!("{:?}", 1.0 - law.all.relative),
                law.held_out.map(|error| format!("{:?}", error.loss)).unwrap_or_default(),
                law.is_exact.to_string(),
                (index == marked).to_string(),
                text.with_names(&names).to_string(),
                text.to_string(),
            ])?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }

    /// Returns the constants of all groups in a law as CSV with a header, one group a row.
    ///
    /// - law: the index of the law
    /// - names: the names of the variables
    /// - column: the name of the column of groups
    ///
    /// # Errors
    /// Never in practice: text is written to memory.
    pub fn constants_csv(&self, law: usize, names: &[String], column: &str) -> anyhow::Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let law = &self.front[law];
        let own = self.names(names).into_iter().skip(self.n_variables).take(law.n_own());
        writer.write_record([column, "rows"].map(str::to_owned).into_iter().chain(own).chain(["loss".to_owned()]))?;
        for (number, group) in self.groups.iter().enumerate() {
            let numbers = law.constants[number].iter().chain([&law.losses[number]]).map(|value| format!("{value:?}"));
            writer.write_record([group.clone(), self.rows[number].to_string()].into_iter().chain(numbers))?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }
}
