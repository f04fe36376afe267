//! Which part of an object is asked for, and whether the asker has it already (RFC 9110 §13, §14).

use std::ops::Range;

use http::{HeaderMap, header};

/// What is to be answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Selection {
    /// 200, all of it.
    Whole,
    /// 206, these bytes.
    Part(Range<u64>),
    /// 304: the asker has it.
    NotModified,
    /// 412: the asker wants another one.
    Failed,
    /// 416: there is nothing there.
    Unsatisfiable,
    /// 400: that is no range.
    Malformed,
}

/// Decides; `tag` is the object's, with its quotes.
pub fn select(headers: &HeaderMap, tag: &str, length: u64, is_get: bool) -> Selection {
    if let Some(wanted) = joined(headers, header::IF_MATCH)
        && !matches_any(&wanted, tag, false)
    {
        return Selection::Failed;
    }
    if let Some(had) = joined(headers, header::IF_NONE_MATCH)
        && matches_any(&had, tag, true)
    {
        return Selection::NotModified;
    }
    // Only GET has ranges. One that was asked for under a condition that does not hold is not asked for.
    let Some(range) = headers.get(header::RANGE).filter(|_| is_get) else { return Selection::Whole };
    if headers.get(header::IF_RANGE).is_some_and(|condition| condition.as_bytes() != tag.as_bytes()) {
        return Selection::Whole;
    }
    let Ok(range) = range.to_str() else { return Selection::Malformed };
    parse(range, length)
}

/// All values of a header, as one list.
fn joined(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Whether a list of tags has this one. Ours has no comma in it, so a tag that has one is not ours.
fn matches_any(list: &str, tag: &str, weak: bool) -> bool {
    list.trim() == "*"
        || list.split(',').map(str::trim).any(|entry| match entry.strip_prefix("W/") {
            Some(entry) => weak && entry == tag,
            None => entry == tag,
        })
}

fn parse(text: &str, length: u64) -> Selection {
    let Some((unit, specs)) = text.split_once('=') else { return Selection::Malformed };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        // A unit that we do not know is to be ignored.
        return Selection::Whole;
    }
    let mut ranges = specs.split(',').map(str::trim).filter(|spec| !spec.is_empty()).map(parse_one);
    let (first, second) = (ranges.next(), ranges.next());
    match (first, second) {
        (None, _) | (Some(None), _) | (_, Some(None)) => Selection::Malformed,
        (Some(Some(spec)), None) => spec.resolve(length),
        // More than one may be answered with all of it, which nobody has to take apart again.
        (Some(Some(_)), Some(Some(_))) if ranges.all(|range| range.is_some()) => Selection::Whole,
        (Some(Some(_)), Some(Some(_))) => Selection::Malformed,
    }
}

#[derive(Clone, Copy)]
enum Spec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

fn parse_one(spec: &str) -> Option<Spec> {
    let (first, last) = spec.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than fit lie behind every object.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first.trim(), last.trim()) {
        ("", last) => number(last).map(Spec::Last),
        (first, "") => number(first).map(Spec::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::Between(first, last))
        }
    }
}

impl Spec {
    fn resolve(self, length: u64) -> Selection {
        let range = match self {
            Spec::From(first) => first..length,
            Spec::Between(first, last) => first..last.saturating_add(1).min(length),
            Spec::Last(count) => length.saturating_sub(count)..length,
        };
        if range.start < range.end { Selection::Part(range) } else { Selection::Unsatisfiable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"abc\"";

    fn check(headers: &[(header::HeaderName, &'static str)], expected: Selection) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, header::HeaderValue::from_static(value));
        }
        assert_eq!(select(&map, TAG, 100, true), expected, "{headers:?}");
    }

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (text, expected) in [
            ("bytes=0-9", Selection::Part(0..10)),
            ("bytes=90-", Selection::Part(90..100)),
            ("bytes=-5", Selection::Part(95..100)),
            ("bytes=-500", Selection::Part(0..100)),
            ("bytes=50-500", Selection::Part(50..100)),
            ("BYTES=99-99", Selection::Part(99..100)),
            ("bytes=100-", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=99999999999999999999999-", Selection::Unsatisfiable),
            ("bytes=0-99999999999999999999999", Selection::Part(0..100)),
            ("bytes=9-0", Selection::Malformed),
            ("bytes=", Selection::Malformed),
            ("bytes=-", Selection::Malformed),
            ("bytes=a-b", Selection::Malformed),
            ("bytes=+1-2", Selection::Malformed),
            ("0-9", Selection::Malformed),
            ("bytes=0-1,x", Selection::Malformed),
            ("bytes=0-1,5-6,zz", Selection::Malformed),
            ("lines=0-9", Selection::Whole),
            ("bytes=0-1,5-6", Selection::Whole),
        ] {
            assert_eq!(parse(text, 100), expected, "{text}");
        }
        assert_eq!(parse("bytes=0-", 0), Selection::Unsatisfiable);
    }

    #[test]
    fn conditions_come_before_ranges() {
        let part = (header::RANGE, "bytes=0-9");
        check(&[part.clone(), (header::IF_RANGE, TAG)], Selection::Part(0..10));
        check(&[part.clone(), (header::IF_RANGE, "\"other\"")], Selection::Whole);
        check(&[part.clone(), (header::IF_RANGE, "W/\"abc\"")], Selection::Whole);
        check(&[part.clone(), (header::IF_NONE_MATCH, "\"x\", W/\"abc\"")], Selection::NotModified);
        check(&[(header::IF_NONE_MATCH, "*")], Selection::NotModified);
        check(&[(header::IF_NONE_MATCH, "\"x\""), (header::IF_NONE_MATCH, TAG)], Selection::NotModified);
        check(&[part.clone(), (header::IF_MATCH, "\"x\"")], Selection::Failed);
        check(&[part.clone(), (header::IF_MATCH, "W/\"abc\"")], Selection::Failed);
        check(&[part, (header::IF_MATCH, "*")], Selection::Part(0..10));
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, header::HeaderValue::from_static("bytes=0-9"));
        assert_eq!(select(&headers, TAG, 100, false), Selection::Whole, "HEAD has no ranges");
    }
}
