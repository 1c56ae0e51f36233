//! The statistics of a row of samples: median, spread, and an interval for the true median.
//!
//! They are by rank, and not mean and deviation: on a shared machine samples are not normally distributed but have a tail of
//! slow ones, and a slow sample moves a mean but not a median.

use serde::{Deserialize, Serialize};

/// A row of samples in four numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub median: f64,
    /// The median of the distances from the median.
    pub mad: f64,
    pub min: f64,
    pub max: f64,
}

impl Summary {
    /// Of at least one value.
    pub fn of(values: &[f64]) -> Option<Self> {
        let median = median(values)?;
        let distances: Vec<_> = values.iter().map(|value| (value - median).abs()).collect();
        Some(Self {
            median,
            mad: self::median(&distances)?,
            min: values.iter().copied().reduce(f64::min)?,
            max: values.iter().copied().reduce(f64::max)?,
        })
    }

    /// Of values that may be missing; `None` unless all are there.
    pub fn of_all(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        Self::of(&values.collect::<Option<Vec<_>>>()?)
    }
}

/// The middle value, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The fewest samples with which [`interval`] has its probability.
pub const FEWEST_SAMPLES: usize = 5;

/// The interval between two of the samples that holds the true median with a probability of at least 15/16, whatever the
/// distribution. For five samples that is from the least to the most; for more it leaves out the outermost.
///
/// The true median lies below the k-th least of n samples if fewer than k of them are below it. The probability is that of fewer
/// than k heads in n throws of a coin. It is the same for the k-th largest.
pub fn interval(values: &[f64]) -> Option<(f64, f64)> {
    const MISS: f64 = 1.0 / 16.0;
    let sorted = sorted(values);
    let n = sorted.len();
    let mut heads = 0.5_f64.powi(n as i32);
    let mut fewer = heads;
    // Zero-based, so that `rank` heads are one fewer than the rank counts.
    let mut rank = 0;
    while rank + 1 < n {
        heads *= (n - rank) as f64 / (rank + 1) as f64;
        if 2.0 * (fewer + heads) > MISS {
            break;
        }
        fewer += heads;
        rank += 1;
    }
    Some((*sorted.get(rank)?, *sorted.get(n - 1 - rank)?))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn one_slow_sample_moves_the_least_and_nothing_else() {
        let summary = Summary::of(&[10.0, 10.5, 2.0, 9.5, 10.0]).unwrap();
        assert_eq!(summary, Summary { median: 10.0, mad: 0.5, min: 2.0, max: 10.5 });
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of_all([Some(1.0), None].into_iter()), None);
        assert_eq!(Summary::of_all([Some(1.0)].into_iter()).unwrap().mad, 0.0);
    }

    #[test]
    fn the_interval_has_the_ranks_of_the_binomial_table() {
        // One-based ranks of the tables of the sign test: the largest k with 2 P(Bin(n, 1/2) < k) at most 1/16.
        for (n, rank) in
            [(5, 1), (6, 1), (7, 1), (8, 1), (9, 2), (10, 2), (11, 2), (15, 4), (20, 6), (25, 8), (100, 41)]
        {
            let values: Vec<_> = (1..=n).rev().map(f64::from).collect();
            assert_eq!(interval(&values), Some((f64::from(rank), f64::from(n + 1 - rank))), "{n} samples");
        }
        assert_eq!(interval(&[]), None);
        assert_eq!(interval(&[3.0]), Some((3.0, 3.0)));
        assert!(interval(&vec![1.0; 1000]) == Some((1.0, 1.0)), "no underflow");
    }
}
