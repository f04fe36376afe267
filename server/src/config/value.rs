//! Durations and sizes as people write them.

use std::time::Duration;

/// Units of durations, in microseconds.
const DURATIONS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Units of sizes, in bytes.
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Reads "25s", "1.5h", "200 ms".
///
/// # Errors
/// What is wrong with the text, with an example.
pub fn duration(text: &str) -> Result<Duration, String> {
    quantity(text, DURATIONS, "a duration such as \"25s\", \"200ms\" or \"14d\"").map(Duration::from_micros)
}

/// Reads "128 KiB", "64MiB", "512B".
///
/// # Errors
/// What is wrong with the text, with an example.
pub fn size(text: &str) -> Result<u64, String> {
    quantity(text, SIZES, "a size such as \"128 KiB\" or \"64 MiB\"")
}

fn quantity(text: &str, units: &[(&str, u64)], wanted: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let number: f64 = number.parse().map_err(|_| format!("\"{text}\" is not {wanted}"))?;
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let factor = factor.ok_or_else(|| {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        format!("\"{text}\" has no unit that is known here; the units are {}", names.join(", "))
    })?;
    let value = number * factor as f64;
    if value > u64::MAX as f64 { Err(format!("\"{text}\" is too large")) } else { Ok(value.round() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        let durations =
            [("25s", 25_000), ("200 ms", 200), ("1.5h", 5_400_000), ("14d", 1_209_600_000), ("0s", 0)];
        for (text, ms) in durations {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for (text, bytes) in [("128 KiB", 131_072), ("64MiB", 67_108_864), ("512B", 512), ("1 MB", 1_000_000)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_the_units() {
        let error = duration("25").expect_err("no unit");
        assert!(error.contains("us, ms, s, m, h, d"), "{error}");
        for text in ["", "s", "1..2s", "-5s", "5 parsecs", "99999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
