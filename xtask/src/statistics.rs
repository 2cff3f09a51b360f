//! Medians and spreads of repeated measurements.

/// Median and quartiles of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// Summarises at least one number.
pub fn summarise(numbers: &[f64]) -> Summary {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
    Summary { median: at(0.5), low: at(0.25), high: at(0.75) }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median < 10.0 { 2 } else { 0 };
        write!(f, "{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_quarters() {
        let summary = summarise(&[5.0, 1.0, 2.0, 4.0, 3.0]);
        assert_eq!(summary, Summary { median: 3.0, low: 2.0, high: 4.0 });
        assert_eq!(summary.to_string(), "3.00 (2.00 to 4.00)");
    }
}
