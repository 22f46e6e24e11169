//! What a fit may be asked for: a loss, errors of measurement, units, groups and rules for formulas.

use anyhow::Context;
use serde_json::{Value, json};
use sr_lab::fit::{parse_complexity, parse_nesting, parse_units, units_of_header};
use sr_lab::sr_engine::LossChoice;
use sr_lab::sr_expr::rules::Rules;
use sr_lab::sr_expr::units::ConstantUnits;
use sr_lab::sr_problems::{TableOptions, TableReport};

#[derive(Debug, clap::Args)]
pub(crate) struct RequirementArgs {
    /// What an error costs; constants, front and choice go by it, and lower is better: mse (squares), mae (magnitudes, for
    /// outliers), huber or huber:DELTA (squares up to DELTA, then magnitudes; without DELTA 1.345 times the noise between
    /// neighbouring rows), relative (squares relative to y, which may not be 0), logistic (y is 0 or 1, and the formula
    /// gives log-odds)
    #[arg(long, value_name = "NAME", default_value = "mse")]
    pub(crate) loss: LossChoice,
    /// Column of standard errors of the target: a row counts 1/σ² times, and by its weight too if there are --weights; it
    /// is no variable
    #[arg(long, value_name = "COL")]
    sigma: Option<String>,
    /// Column of groups, such as experiments: the law is one for all rows, but constants may differ from group to group; it
    /// is no variable
    #[arg(long, value_name = "COL")]
    pub(crate) group: Option<String>,
    /// Units of all variables and the target, as distance=m,time=s,speed=m/s, or header: in the names of columns, as
    /// 'time [s]'. Formulas without the unit of the target are refused. Only exponents count: km is as good as m
    #[arg(long, value_name = "UNITS")]
    units: Option<String>,
    /// Let numbers in formulas have any unit; without it they have none
    #[arg(long, requires = "units")]
    unit_constants: bool,
    /// What operators, columns and numbers count in the size of a formula, as sin=3,x1=2,constant=2 [default: 1]
    #[arg(long, value_name = "COUNTS", allow_hyphen_values = true)]
    complexity: Option<String>,
    /// How often an operator may occur inside of another, on any path down, as sin:sin=0,exp:log=1
    #[arg(long, value_name = "RULES", allow_hyphen_values = true)]
    nesting: Option<String>,
    /// Most operators on a path from the root of a formula to a number or column
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// Most numbers in a formula
    #[arg(long, value_name = "N")]
    max_constants: Option<usize>,
}

impl RequirementArgs {
    /// Everything that was asked for, by the names of the flags.
    pub(crate) fn json(&self) -> Value {
        json!({
            "loss": self.loss.to_string(),
            "sigma": self.sigma,
            "group": self.group,
            "units": self.units,
            "unit_constants": self.unit_constants,
            "complexity": self.complexity,
            "nesting": self.nesting,
            "max_depth": self.max_depth,
            "max_constants": self.max_constants,
        })
    }

    /// Reads what [`json`](Self::json) wrote.
    pub(crate) fn of_json(json: &Value) -> anyhow::Result<Self> {
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let number = |name: &str| json[name].as_u64().and_then(|number| usize::try_from(number).ok());
        Ok(RequirementArgs {
            loss: text("loss").context("there is no loss")?.parse()?,
            sigma: text("sigma"),
            group: text("group"),
            units: text("units"),
            unit_constants: json["unit_constants"].as_bool().unwrap_or(false),
            complexity: text("complexity"),
            nesting: text("nesting"),
            max_depth: number("max_depth"),
            max_constants: number("max_constants"),
        })
    }

    /// Adds the columns that have a role.
    pub(crate) fn table_options(&self, mut options: TableOptions) -> TableOptions {
        options.sigma = self.sigma.clone();
        options.group = self.group.clone();
        options
    }

    /// The rules for formulas over the columns of a table.
    pub(crate) fn rules(&self, table: &TableReport) -> anyhow::Result<Rules> {
        let TableReport { variables, target, .. } = table;
        let constants = if self.unit_constants { ConstantUnits::Free } else { ConstantUnits::Dimensionless };
        let units = self.units.as_deref().map(|text| match text {
            "header" => units_of_header(variables, target, constants),
            _ => parse_units(text, variables, target, constants),
        });
        let complexity = self.complexity.as_deref().map(|text| parse_complexity(text, variables));
        let nesting = self.nesting.as_deref().map(parse_nesting);
        Ok(Rules {
            units: units.transpose().context("--units")?,
            nesting: nesting.transpose().context("--nesting")?.unwrap_or_default(),
            max_depth: self.max_depth,
            max_constants: self.max_constants,
            complexity: complexity.transpose().context("--complexity")?.unwrap_or_default(),
        })
    }
}
