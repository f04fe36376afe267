//! Line charts as SVG text: small, readable in a diff, without a dependency.

use std::fmt::Write as _;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What it is of.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// Of the vertical axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    Linear,
    /// From power to power of ten; what is not above 0 is left out.
    Logarithmic,
}

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// Of the horizontal axis.
    pub x: String,
    /// Unit of the vertical axis.
    pub y: String,
    /// Of the vertical axis.
    pub scale: Scale,
    /// Names of the places 0, 1, 2 … on the horizontal axis; empty: it shows numbers.
    pub x_names: Vec<String>,
    /// The lines.
    pub series: Vec<Series>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 52.0;
const BOTTOM: f64 = 54.0;

/// Told apart by people with any colour vision.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"];

/// From the ninth line on colours come again, with these.
const DASHES: [&str; 3] = ["none", "6 3", "2 3"];

/// Where values lie on an axis, and which are named.
struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
    marks: Vec<f64>,
}

impl Axis {
    fn vertical(values: impl Iterator<Item = f64> + Clone, scale: Scale) -> Self {
        match scale {
            Scale::Logarithmic => {
                let low = values.clone().map(f64::log10).fold(f64::INFINITY, f64::min).floor();
                let high = values.map(f64::log10).fold(low + 1.0, f64::max).ceil();
                let decades = (high - low) as i32;
                // Few powers of ten would leave a chart of two lines.
                let between: &[f64] = if decades <= 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let mut marks: Vec<f64> = (0..decades)
                    .flat_map(|power| between.iter().map(move |times| times * 10f64.powi(low as i32 + power)))
                    .collect();
                marks.push(10f64.powi(low as i32 + decades));
                Axis { low, high, scale, marks }
            }
            Scale::Linear => {
                let most = values.fold(f64::MIN_POSITIVE, f64::max);
                // A step of 1, 2 or 5 times a power of ten, so that there are five to ten.
                let power = 10f64.powf((most / 5.0).log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0]
                    .map(|times| times * power)
                    .into_iter()
                    .rfind(|step| most / step >= 4.0)
                    .unwrap_or(power);
                let count = (most / step).ceil();
                let marks = (0..=count as u32).map(|nth| f64::from(nth) * step).collect();
                Axis { low: 0.0, high: count * step, scale, marks }
            }
        }
    }

    /// From 0 at the lowest to 1 at the highest.
    fn share(&self, value: f64) -> f64 {
        let value = if self.scale == Scale::Logarithmic { value.log10() } else { value };
        (value - self.low) / (self.high - self.low).max(f64::MIN_POSITIVE)
    }
}

impl Chart {
    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| self.shown(series).next().is_none())
    }

    fn shown<'a>(&self, series: &'a Series) -> impl Iterator<Item = (f64, f64)> + Clone + use<'a> {
        let scale = self.scale;
        series.points.iter().copied().filter(move |(_, y)| scale == Scale::Linear || *y > 0.0)
    }

    /// The chart.
    #[must_use]
    pub fn svg(&self) -> String {
        let points = self.series.iter().flat_map(|series| self.shown(series));
        let x_max = points.clone().map(|(x, _)| x).fold(f64::MIN_POSITIVE, f64::max);
        let x_min = points.clone().map(|(x, _)| x).fold(x_max, f64::min);
        let vertical = Axis::vertical(points.clone().map(|(_, y)| y), self.scale);
        let at_x =
            |x: f64| LEFT + (x - x_min) / (x_max - x_min).max(f64::MIN_POSITIVE) * (WIDTH - LEFT - RIGHT);
        let at_y = |y: f64| HEIGHT - BOTTOM - vertical.share(y) * (HEIGHT - TOP - BOTTOM);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{}</text>\n\
             <text x=\"{}\" y=\"36\" text-anchor=\"end\" fill=\"#555\">{}</text>\n",
            escaped(&self.title),
            LEFT - 6.0,
            escaped(&self.y)
        );
        for mark in &vertical.marks {
            let y = at_y(*mark);
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                number(*mark)
            );
        }
        let mut places: Vec<f64> = points.map(|(x, _)| x).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let mut last_named = f64::NEG_INFINITY;
        for x in places {
            // Names that would run into each other are left out.
            if at_x(x) - last_named < 46.0 {
                continue;
            }
            last_named = at_x(x);
            let name = self.x_names.get(x as usize).cloned().unwrap_or_else(|| number(x));
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                at_x(x),
                HEIGHT - BOTTOM + 18.0,
                escaped(&name)
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
            LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
            HEIGHT - 12.0,
            escaped(&self.x)
        );
        for (nth, series) in self.series.iter().enumerate() {
            self.line(nth, series, &at_x, &at_y, &mut out);
        }
        out.push_str("</svg>\n");
        out
    }

    /// One line with its points, and its name on the right.
    fn line(
        &self,
        nth: usize,
        series: &Series,
        at_x: &dyn Fn(f64) -> f64,
        at_y: &dyn Fn(f64) -> f64,
        out: &mut String,
    ) {
        let (colour, dash) = (COLOURS[nth % COLOURS.len()], DASHES[nth / COLOURS.len() % DASHES.len()]);
        let places: Vec<(f64, f64)> = self.shown(series).map(|(x, y)| (at_x(x), at_y(y))).collect();
        let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let name_y = TOP + 18.0 * (nth as f64 + 0.5);
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\" \
             points=\"{}\"/>",
            line.join(" ")
        );
        for (x, y) in places {
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let from = WIDTH - RIGHT + 12.0;
        let _ = writeln!(
            out,
            "<line x1=\"{from}\" x2=\"{}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dash}\"/><text x=\"{}\" y=\"{name_y:.1}\">{}</text>",
            from + 18.0,
            name_y - 4.0,
            name_y - 4.0,
            from + 24.0,
            escaped(&series.name)
        );
    }
}

/// As people write it: 2,500 and 0.05.
pub(super) fn number(value: f64) -> String {
    let text = format!("{}", (value * 1e6).round() / 1e6);
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut grouped = String::new();
    for (nth, digit) in whole.chars().enumerate() {
        if nth > 0 && (whole.len() - nth).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { grouped } else { format!("{grouped}.{rest}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(scale: Scale) -> Chart {
        Chart {
            title: "a < b".to_owned(),
            x: "x".to_owned(),
            y: "ms".to_owned(),
            scale,
            x_names: Vec::new(),
            series: vec![Series {
                name: "s".to_owned(),
                points: vec![(1.0, 0.5), (10.0, 900.0), (20.0, 3.0), (21.0, 0.0)],
            }],
        }
    }

    #[test]
    fn every_point_lies_inside_the_chart() {
        for (scale, count) in [(Scale::Logarithmic, 3), (Scale::Linear, 4)] {
            let svg = chart(scale).svg();
            assert!(svg.contains("a &lt; b") && !svg.contains("NaN") && !svg.contains("inf"));
            let line =
                svg.split(" points=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a line");
            assert_eq!(line.split(' ').count(), count, "{line}");
            for point in line.split(' ') {
                let (x, y) = point.split_once(',').expect("a point");
                let (x, y): (f64, f64) = (x.parse().expect("a number"), y.parse().expect("a number"));
                assert!(
                    (LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y),
                    "{point}"
                );
            }
        }
    }

    #[test]
    fn a_linear_axis_has_round_marks() {
        let marks = |most: f64| Axis::vertical([most].into_iter(), Scale::Linear).marks;
        assert_eq!(marks(900.0), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        assert_eq!(marks(4.4), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn numbers_are_grouped() {
        for (value, text) in
            [(0.05, "0.05"), (0.0, "0"), (999.0, "999"), (12_345.5, "12,345.5"), (1e6, "1,000,000")]
        {
            assert_eq!(number(value), text);
        }
    }
}
