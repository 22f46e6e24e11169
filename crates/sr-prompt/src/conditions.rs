//! The conditions that children are asked for, or learned under, each with its share of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Condition;

/// Conditions with their shares, of a state's children or of the examples of a training. The text is `PATH`, or with shares `GAIN_4:5,PATH:12,TARGET:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Conditions {
    /// The share of each condition, by its place in [`Condition::ALL`]; one is above 0.
    shares: [u16; Condition::ALL.len()],
}

impl From<Condition> for Conditions {
    fn from(condition: Condition) -> Self {
        Conditions { shares: Condition::ALL.map(|other| u16::from(other == condition)) }
    }
}

impl Conditions {
    /// Returns the conditions and their shares, in the order of [`Condition::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Condition, u16)> + '_ {
        Condition::ALL.into_iter().zip(self.shares).filter(|&(_, share)| share > 0)
    }

    /// Returns the condition of each of `n` children, those of one condition next to each other. Numbers are in
    /// proportion to the shares: what whole numbers leave over goes to the largest remainders, the first of equal ones.
    pub fn of_children(&self, n: usize) -> Vec<Condition> {
        let total: usize = self.shares.iter().map(|&share| usize::from(share)).sum();
        let mut counts: Vec<(Condition, usize, usize)> = self
            .iter()
            .map(|(condition, share)| (condition, n * usize::from(share) / total, n * usize::from(share) % total))
            .collect();
        let left = n - counts.iter().map(|(_, count, _)| count).sum::<usize>();
        let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
        by_remainder.sort_by_key(|&index| std::cmp::Reverse(counts[index].2));
        by_remainder.into_iter().take(left).for_each(|index| counts[index].1 += 1);
        counts.into_iter().flat_map(|(condition, count, _)| std::iter::repeat_n(condition, count)).collect()
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_one = self.iter().count() == 1;
        for (index, (condition, share)) in self.iter().enumerate() {
            f.write_str(if index > 0 { "," } else { "" })?;
            match is_one {
                true => f.write_str(condition.name())?,
                false => write!(f, "{}:{share}", condition.name())?,
            }
        }
        Ok(())
    }
}

impl From<Conditions> for String {
    fn from(conditions: Conditions) -> Self {
        conditions.to_string()
    }
}

impl TryFrom<String> for Conditions {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Reads names with or without shares, which are 1 where they are left out.
impl FromStr for Conditions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut shares = [0; Condition::ALL.len()];
        for part in text.split(',') {
            let (name, share) = part.split_once(':').unwrap_or((part, "1"));
            let names = || Condition::ALL.map(Condition::name).join(", ");
            let index = Condition::ALL.iter().position(|condition| condition.name().eq_ignore_ascii_case(name.trim()));
            let index = index.ok_or_else(|| format!("{name} is none of {}", names()))?;
            if shares[index] > 0 {
                return Err(format!("{} is there twice", Condition::ALL[index].name()));
            }
            shares[index] = share.trim().parse().ok().filter(|&share| share > 0).ok_or_else(|| {
                format!("the share of {} is {share}, expected a whole number from 1 to {}", name.trim(), u16::MAX)
            })?;
        }
        Ok(Conditions { shares })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_children(text: &str, n: usize) -> Vec<(Condition, usize)> {
        let conditions = text.parse::<Conditions>().expect(text).of_children(n);
        conditions.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect()
    }

    #[test]
    fn children_are_shared_out_in_proportion() {
        use Condition::{Gain, Path, Target};
        assert_eq!(of_children("PATH", 19), [(Path, 19)]);
        let mixed = "PATH:12,GAIN_4:5,TARGET:2";
        assert_eq!(of_children(mixed, 19), [(Gain(4), 5), (Path, 12), (Target, 2)]);
        assert_eq!(of_children(mixed, 1), [(Path, 1)]);
        assert_eq!(of_children(mixed, 0), []);
        assert_eq!(of_children("path,target", 3), [(Path, 2), (Target, 1)], "the first of equal remainders");
        for n in 0..200 {
            assert_eq!(of_children(mixed, n).iter().map(|(_, count)| count).sum::<usize>(), n);
        }
    }

    #[test]
    fn texts_are_read_and_written() {
        let text = |text: &str| text.parse::<Conditions>().map(|conditions| conditions.to_string());
        assert_eq!(text("path").as_deref(), Ok("PATH"));
        assert_eq!(text("PATH:7").as_deref(), Ok("PATH"));
        assert_eq!(text("TARGET:2,gain_4:5").as_deref(), Ok("GAIN_4:5,TARGET:2"));
        assert_eq!(Conditions::from(Condition::Gain(0)).to_string(), "GAIN_0");
        for (bad, word) in [
            ("", "none of ALL"),
            ("PATHS", "PATHS is none of"),
            ("PATH:0", "share of PATH is 0"),
            ("PATH:x", "share of PATH is x"),
            ("PATH:70000", "1 to 65535"),
            ("PATH,PATH", "twice"),
        ] {
            let error = text(bad).expect_err(bad);
            assert!(error.contains(word), "{error}");
        }
    }
}
