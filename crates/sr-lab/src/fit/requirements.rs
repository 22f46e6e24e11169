//! What a fit may be asked for besides data: a loss, and rules for formulas; and the texts that say so.

use anyhow::{Context, bail, ensure};
use sr_engine::{ConstantFitter, Instance};
use sr_expr::rules::{Complexity, Nesting, UnitRule};
use sr_expr::units::{ConstantUnits, Unit};
use sr_expr::{Expr, Op, Semantics};

use super::rows::Rows;
use super::{FitOptions, Fitted, LAST_STEPS};

/// Gives all rows the loss and the rules. What a loss needs to know of the data, it takes from all of them.
pub(super) fn rows(rows: Rows, options: &FitOptions) -> anyhow::Result<Rows> {
    let loss = options.loss.for_rows(rows.all().x(), rows.all().y()).context("the loss")?;
    rows.map(|instance| {
        let instance = instance.with_rules(options.rules.clone());
        match &loss {
            // A part may have one class only, which a loss need not know what to do with; all rows were checked.
            Some(loss) => Ok(instance.with_checked_loss(loss.clone())?),
            None => Ok(instance),
        }
    })
}

/// Fits the constants of a closed form, which are those of least squares, under another loss.
pub(super) fn refitted(expr: Expr, instance: &Instance) -> Expr {
    match instance.loss() {
        Some(_) => ConstantFitter::new().fit(&expr, instance, Semantics::Ieee, LAST_STEPS).tree.to_owned(),
        None => expr,
    }
}

impl Fitted {
    /// Checks that there is a formula, which rules may have forbidden. What needs one panics otherwise.
    ///
    /// # Errors
    /// If no formula keeps the rules; the error says what may help.
    pub fn check_found(&self, options: &FitOptions) -> anyhow::Result<()> {
        let hint = match &options.rules.units {
            Some(UnitRule { constants: ConstantUnits::Dimensionless, target, .. }) => {
                format!(
                    "; none has the unit {target} with numbers that have none: let them have one (--unit-constants)"
                )
            }
            _ => "; relax the rules, or search longer".to_owned(),
        };
        ensure!(!self.front.is_empty(), "no formula that keeps the rules was found{hint}");
        Ok(())
    }
}

/// Reads units, `distance=m,time=s,speed=m/s`: one for each variable and the target, by the names of columns. A comma
/// separates, so a name with a comma cannot be given.
///
/// # Errors
/// If a name is no column or has two units, a text is no unit, or a column has none.
pub fn parse_units(
    text: &str,
    variables: &[String],
    target: &str,
    constants: ConstantUnits,
) -> anyhow::Result<UnitRule> {
    let mut given: Vec<(String, Unit)> = Vec::new();
    for (name, unit) in pairs(text, "column=unit")? {
        ensure!(
            name == target || variables.contains(&name),
            "there is no column {name:?} among variables and target; units are for {}",
            names(variables, target)
        );
        ensure!(given.iter().all(|(other, _)| *other != name), "column {name:?} has two units");
        given.push((name, unit.parse()?));
    }
    rule(|name| given.iter().find(|(other, _)| other == name).map(|(_, unit)| *unit), variables, target, constants)
}

/// Reads units from the names of columns: `time [s]`. A column of no unit is `ratio [1]`.
///
/// # Errors
/// If a name has no unit in brackets at its end, or it is no unit.
pub fn units_of_header(variables: &[String], target: &str, constants: ConstantUnits) -> anyhow::Result<UnitRule> {
    let mut given: Vec<(&str, Unit)> = Vec::new();
    for name in variables.iter().map(String::as_str).chain([target]) {
        let unit = name.trim_end().strip_suffix(']').and_then(|name| name.rsplit_once('['));
        if let Some((_, unit)) = unit {
            let unit = if unit.trim().is_empty() { Ok(Unit::ONE) } else { unit.parse() };
            given.push((name, unit.with_context(|| format!("column {name:?}"))?));
        }
    }
    rule(|name| given.iter().find(|(other, _)| *other == name).map(|(_, unit)| *unit), variables, target, constants)
        .context("a unit stands in brackets at the end of a column's name, time [s]")
}

fn rule(
    unit: impl Fn(&str) -> Option<Unit>,
    variables: &[String],
    target: &str,
    constants: ConstantUnits,
) -> anyhow::Result<UnitRule> {
    let without: Vec<String> = variables
        .iter()
        .map(String::as_str)
        .chain([target])
        .filter(|name| unit(name).is_none())
        .map(|name| format!("{name:?}"))
        .collect();
    ensure!(without.is_empty(), "no unit is given for {}; a column without a unit has the unit 1", without.join(", "));
    let variables = variables.iter().filter_map(|name| unit(name)).collect();
    Ok(UnitRule { variables, target: unit(target).expect("it has one"), constants })
}

/// Reads what nodes count in the size of a formula, `sin=3,x1=2,constant=2`: operators, columns and `constant`, and whole
/// numbers from 1.
///
/// # Errors
/// If a name is none of these or there twice, or a number is out of range.
pub fn parse_complexity(text: &str, variables: &[String]) -> anyhow::Result<Complexity> {
    let mut complexity = Complexity::default();
    let mut before: Vec<String> = Vec::new();
    for (name, count) in pairs(text, "name=count")? {
        let number: Option<u16> = count.parse().ok().filter(|count| (1..=1000).contains(count));
        let number = number.with_context(|| format!("{name}={count}: expected a whole number from 1 to 1000"))?;
        ensure!(!before.contains(&name), "{name} is there twice");
        let column = variables.iter().position(|variable| *variable == name);
        match (column, Op::from_name(&name), name.as_str()) {
            (Some(_), Some(_), _) => bail!("{name} is a column and an operator; rename the column"),
            (Some(column), None, _) => complexity.variables.push((column as u16, number)),
            (None, Some(op), _) => complexity.operators.push((op, number)),
            (None, None, "constant") => complexity.constant = Some(number),
            _ => bail!("{name} is no operator, no column and not the word constant"),
        }
        before.push(name);
    }
    Ok(complexity)
}

/// Reads how often operators may occur inside of others, `sin:sin=0,exp:log=1`.
///
/// # Errors
/// If a name is no operator, a pair is there twice, or a number is none.
pub fn parse_nesting(text: &str) -> anyhow::Result<Vec<Nesting>> {
    let mut rules: Vec<Nesting> = Vec::new();
    for (name, most) in pairs(text, "outer:inner=most")? {
        let operator = |name: &str| Op::from_name(name.trim()).with_context(|| format!("{name:?} is no operator"));
        let (outer, inner) =
            name.split_once(':').with_context(|| format!("{name}: expected outer:inner, as in sin:exp=0"))?;
        let (outer, inner) = (operator(outer)?, operator(inner)?);
        let most = most.parse().ok().with_context(|| format!("{name}={most}: expected a whole number from 0"))?;
        ensure!(rules.iter().all(|rule| (rule.outer, rule.inner) != (outer, inner)), "{name} is there twice");
        rules.push(Nesting { outer, inner, most });
    }
    Ok(rules)
}

/// Splits `a=b,c=d`.
fn pairs(text: &str, form: &str) -> anyhow::Result<Vec<(String, String)>> {
    text.split(',')
        .map(|part| {
            let (name, value) =
                part.rsplit_once('=').with_context(|| format!("{:?}: expected {form},…", part.trim()))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

fn names(variables: &[String], target: &str) -> String {
    let all: Vec<&str> = variables.iter().map(String::as_str).chain([target]).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<String> {
        ["distance", "time"].map(String::from).to_vec()
    }

    fn error<T: std::fmt::Debug>(result: anyhow::Result<T>) -> String {
        format!("{:#}", result.expect_err("an error"))
    }

    #[test]
    fn units_are_read_by_name_or_from_the_header() {
        let read = |text: &str| parse_units(text, &columns(), "speed", ConstantUnits::Dimensionless);
        let rule = read("time=s, distance=m,speed=m/s").expect("units");
        assert_eq!(rule.variables, ["m", "s"].map(|unit| unit.parse().expect("a unit")));
        assert_eq!(
            error(read("time=s,distance=m")),
            "no unit is given for \"speed\"; a column without a unit has the unit 1"
        );
        assert!(error(read("time=s,mass=kg")).starts_with("there is no column \"mass\" among variables and target"));
        assert!(error(read("time=s,time=s")).contains("two units"));
        assert!(error(read("time=parsec")).contains("is no unit"));
        assert!(error(read("time")).contains("expected column=unit"));
        let names = ["distance [km]", "time [s]"].map(String::from);
        let header = units_of_header(&names, "speed [m/s]", ConstantUnits::Dimensionless).expect("units");
        assert_eq!(header, rule);
        let names = ["distance [km]", "time", "n [furlong]"].map(String::from);
        assert!(error(units_of_header(&names[..2], "v [m/s]", ConstantUnits::Free)).contains("given for \"time\""));
        assert!(error(units_of_header(&names, "v [m/s]", ConstantUnits::Free)).contains("column \"n [furlong]\""));
        let names = ["ratio [-]", "count []"].map(String::from);
        let rule = units_of_header(&names, "v [1]", ConstantUnits::Free).expect("units");
        assert!(rule.target.is_one() && rule.variables.iter().all(Unit::is_one));
    }

    #[test]
    fn rules_are_read_and_what_is_wrong_is_named() {
        let complexity = parse_complexity("sin=3, time=2,constant=4", &columns()).expect("numbers");
        assert_eq!(complexity.of(&"2.5*sin(x1) + x0".parse::<Expr>().expect("a formula")), 4 + 1 + 3 + 2 + 1 + 1);
        for (text, expected) in [
            ("sin=0", "sin=0: expected a whole number from 1 to 1000"),
            ("foo=2", "foo is no operator, no column and not the word constant"),
            ("sin=2,sin=3", "sin is there twice"),
            ("sin", "\"sin\": expected name=count,…"),
        ] {
            assert_eq!(error(parse_complexity(text, &columns())), expected);
        }
        let nesting = parse_nesting("sin:exp=0,+:*=2").expect("rules");
        assert_eq!(nesting[1], Nesting { outer: Op::Add, inner: Op::Mul, most: 2 });
        for (text, expected) in [
            ("sin=0", "sin: expected outer:inner, as in sin:exp=0"),
            ("sin:foo=0", "\"foo\" is no operator"),
            ("sin:exp=-1", "sin:exp=-1: expected a whole number from 0"),
            ("sin:exp=1,sin:exp=2", "sin:exp is there twice"),
        ] {
            assert_eq!(error(parse_nesting(text)), expected);
        }
    }
}
