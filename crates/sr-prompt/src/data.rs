//! Statistics and a plot of the data, for the contexts `rich` and `superrich`.

use sr_expr::Columns;

/// The number of columns of the plot.
pub(crate) const WIDTH: usize = 40;
/// The number of rows of the plot.
const HEIGHT: usize = 10;

/// A range of y below this counts as none, as in the original.
const NO_RANGE: f64 = 1e-10;
/// The same bound for the plot.
const NO_PLOT_RANGE: f64 = 1e-12;
/// A standard deviation this small beside the mean is rounding, and gives no skewness.
const RESOLUTION: f64 = 1e-15;

/// Statistics of y. All are 0 without points. Moments are those of the population, not estimates from a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Statistics {
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
    pub(crate) variance: f64,
    /// The skewness; 0 for a constant y.
    pub(crate) skewness: f64,
    /// Whether y never falls or never rises with x; false with more than one variable.
    pub(crate) monotonic: bool,
    /// The number of changes of sign from row to row; 0 is a sign of its own.
    pub(crate) sign_changes: usize,
    /// The total variation from row to row, divided by the range times the number of rows.
    pub(crate) complexity: f64,
}

impl Statistics {
    pub(crate) fn new(x: &Columns, y: &[f64]) -> Self {
        let n = y.len().max(1) as f64;
        let (min, max) = range(y);
        let mean = y.iter().sum::<f64>() / n;
        let deviations = || y.iter().map(|value| value - mean);
        let variance = deviations().map(|d| d * d).sum::<f64>() / n;
        let third_moment = deviations().map(|d| d * d * d).sum::<f64>() / n;
        let deviation = variance.sqrt();
        let has_spread = deviation > RESOLUTION * mean.abs();
        let steps = || y.windows(2).map(|pair| pair[1] - pair[0]);
        let total_variation: f64 = steps().map(f64::abs).sum();
        let sign = |value: f64| i8::from(value > 0.0) - i8::from(value < 0.0);
        Statistics {
            min,
            max,
            mean,
            variance,
            skewness: if has_spread { third_moment / (variance * deviation) } else { 0.0 },
            monotonic: x.n_columns() == 1 && is_monotonic(x.column(0), y),
            sign_changes: y.windows(2).filter(|pair| sign(pair[0]) != sign(pair[1])).count(),
            complexity: if max - min < NO_RANGE { 0.0 } else { total_variation / ((max - min) * n) },
        }
    }
}

fn range(y: &[f64]) -> (f64, f64) {
    match y {
        [] => (0.0, 0.0),
        _ => y.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value))),
    }
}

fn is_monotonic(x: &[f64], y: &[f64]) -> bool {
    let mut rows: Vec<usize> = (0..y.len()).collect();
    rows.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let steps = || rows.windows(2).map(|pair| y[pair[1]] - y[pair[0]]);
    steps().all(|step| step >= 0.0) || steps().all(|step| step <= 0.0)
}

/// y over the only variable: the median in each of [`WIDTH`] equal ranges of x, interpolated in ranges without points.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plot {
    low: f64,
    high: f64,
    columns: [f64; WIDTH],
}

impl Plot {
    /// Makes a plot, or returns `None` if there are no points or not exactly one variable.
    pub(crate) fn new(x: &Columns, y: &[f64]) -> Option<Self> {
        if x.n_columns() != 1 || y.is_empty() {
            return None;
        }
        let x = x.column(0);
        let (low, high) = match range(y) {
            (low, high) if (high - low).abs() < NO_PLOT_RANGE => (-1.0, 1.0),
            range => range,
        };
        let (first, last) = range(x);
        let step = (last - first) / WIDTH as f64;
        let mut bins = [const { Vec::new() }; WIDTH];
        for (&x, &y) in x.iter().zip(y) {
            // x is compared with the borders and not divided, which would round differently. The last range includes
            // its end.
            let bin = (1..WIDTH).take_while(|&border| x >= border as f64 * step + first).count();
            bins[bin].push(y);
        }
        let medians = bins.map(median);
        // The first and the last range contain the ends of x, so a gap has neighbours on both sides.
        let known: Vec<usize> = (0..WIDTH).filter(|&column| medians[column].is_some()).collect();
        let columns = std::array::from_fn(|column| {
            medians[column].unwrap_or_else(|| {
                let right = known.partition_point(|&other| other < column);
                let at = |place: usize| known.get(place).and_then(|&column| Some((column, medians[column]?)));
                match (right.checked_sub(1).and_then(at), at(right)) {
                    (Some((a, from)), Some((b, to))) => {
                        let share = (column - a) as f64 / (b - a) as f64;
                        (1.0 - share) * from + share * to
                    }
                    (Some((_, only)), None) | (None, Some((_, only))) => only,
                    (None, None) => low,
                }
            })
        });
        Some(Plot { low, high, columns })
    }

    /// Returns each column's height between the least y, 0, and the greatest, 1.
    pub(crate) fn heights(&self) -> [f64; WIDTH] {
        self.columns.map(|value| self.height(value))
    }

    fn height(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Returns the row of a value, counted from the top.
    fn row(&self, value: f64) -> usize {
        ((1.0 - self.height(value)) * (HEIGHT - 1) as f64).round_ties_even() as usize
    }

    /// Returns the original's drawing: lines of characters, then a line with the range of y.
    pub(crate) fn text(&self) -> String {
        let mut grid = [[b' '; WIDTH]; HEIGHT];
        if self.low <= 0.0 && self.high >= 0.0 {
            grid[self.row(0.0)] = [b'-'; WIDTH];
        }
        let rows = self.columns.map(|value| self.row(value));
        for (column, &row) in rows.iter().enumerate() {
            // A vertical line joins a point to the previous one, without that point's own row.
            let joined = match column.checked_sub(1).map(|before| rows[before]) {
                Some(before) if before < row => before + 1..row,
                Some(before) if before > row => row + 1..before,
                _ => 0..0,
            };
            grid[row][column] = b'*';
            joined.for_each(|row| grid[row][column] = b'*');
        }
        let lines: Vec<&str> = grid.iter().map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
        format!("{}\nyr=[{},{}]", lines.join("\n"), fixed(self.low, 2), fixed(self.high, 2))
    }
}

/// Returns the middle value, or the mean of the middle two; `None` if there are no values.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// Returns the text that follows ` | PLOT: `.
pub(crate) fn plot_text(x: &Columns, y: &[f64]) -> String {
    match Plot::new(x, y) {
        Some(plot) => plot.text(),
        None => {
            let (low, high) = range(y);
            format!("{}D(n={},yr=[{},{}])", x.n_columns(), y.len(), fixed(low, 2), fixed(high, 2))
        }
    }
}

/// Formats like Python's `%.Nf`.
pub(crate) fn fixed(value: f64, digits: usize) -> String {
    if value.is_nan() { "nan".into() } else { format!("{value:.digits$}") }
}

/// The data sets of golden files.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    fn set(x: Columns, y: impl Fn(&[f64]) -> f64) -> (Columns, Vec<f64>) {
        let row = |row| (0..x.n_columns()).map(|column| x.column(column)[row]).collect::<Vec<_>>();
        let y = (0..x.n_rows()).map(|n| y(&row(n))).collect();
        (x, y)
    }

    /// Returns a rising function of one variable at points with unequal distances, in no order.
    pub(crate) fn cubic() -> (Columns, Vec<f64>) {
        set(Columns::from_fn(50, 1, |row, _| f64::from((row * 37 % 50) as u32).powi(2) / 625.0 - 1.5), |x| {
            0.5 * x[0] * x[0] * x[0]
        })
    }

    /// Returns a function that crosses zero five times, with gaps in x and rows in order.
    pub(crate) fn wave() -> (Columns, Vec<f64>) {
        set(Columns::from_fn(23, 1, |row, _| f64::from(row as u32) / 4.0 - 2.75), |x| {
            x[0] * (x[0] - 1.0) * (x[0] + 1.0) * (x[0] - 2.25) * (x[0] + 2.25) + 1.0
        })
    }

    /// Returns a function of two variables.
    pub(crate) fn two_variables() -> (Columns, Vec<f64>) {
        set(Columns::from_fn(30, 2, |row, column| f64::from((row * (7 + 4 * column) % 30) as u32) / 10.0 - 1.0), |x| {
            x[0] * x[1] + 0.125
        })
    }

    /// Returns a function of three variables, with values beyond those of most problems.
    pub(crate) fn three_variables() -> (Columns, Vec<f64>) {
        set(Columns::from_fn(41, 3, |row, column| f64::from((row * (5 + 3 * column) % 41) as u32) / 8.0 - 2.0), |x| {
            1e5 * (x[0] * x[0] + x[1] * x[2])
        })
    }

    /// Returns a constant function.
    pub(crate) fn constant() -> (Columns, Vec<f64>) {
        set(Columns::from_fn(10, 1, |row, _| f64::from(row as u32) / 3.0), |_| -0.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(x: &[f64]) -> Columns {
        Columns::new(x.len(), 1, x.to_vec())
    }

    #[test]
    fn constant_and_missing_data_have_no_spread() {
        let constant = Statistics::new(&one(&[1.0, 2.0, 3.0]), &[0.1; 3]);
        assert_eq!((constant.skewness, constant.complexity, constant.monotonic), (0.0, 0.0, true));
        let none = Statistics::new(&one(&[]), &[]);
        assert_eq!((none.min, none.max, none.mean, none.variance, none.complexity), (0.0, 0.0, 0.0, 0.0, 0.0));
        assert_eq!(Plot::new(&one(&[]), &[]), None);
        let flat = Plot::new(&one(&[1.0, 2.0]), &[3.0, 3.0]).expect("a plot");
        assert!(flat.text().ends_with("\nyr=[-1.00,1.00]"), "{}", flat.text());
    }

    #[test]
    fn one_value_of_x_is_one_column_for_all() {
        let plot = Plot::new(&one(&[2.0, 2.0, 2.0]), &[0.0, 1.0, 10.0]).expect("a plot");
        assert_eq!(plot.columns, [1.0; WIDTH]);
    }

    #[test]
    fn zero_is_a_sign_of_its_own() {
        let changes = |y: &[f64]| Statistics::new(&one(&vec![0.0; y.len()]), y).sign_changes;
        assert_eq!(changes(&[-1.0, 0.0, 1.0]), 2);
        assert_eq!(changes(&[-1.0, 1.0, 2.0, -0.0, 0.0]), 2);
    }
}
