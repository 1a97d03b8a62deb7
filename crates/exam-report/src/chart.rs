//! Charts: an SVG that fills its place, with scales in HTML beside it, so that a line keeps its
//! width and a text its size on a telephone and on paper. No script: a reader's pointer gets the
//! figures from `<title>`, and everybody else from the table below each chart.

use std::fmt::Write;

use crate::html::Escaped;

/// A row of equally wide places along the time axis.
pub struct Places {
    /// Left edge of the first and right edge of the last one, seconds since 1970.
    pub from: f64,
    pub to: f64,
    pub count: usize,
}

/// What is drawn, one value a place. None: nothing there.
pub enum Shape<'a> {
    /// Bars from zero.
    Bars(&'a [f64]),
    /// A line; where `under`, the area down to zero is tinted.
    Line(&'a [Option<f64>]),
    /// The area between two lines.
    Band(&'a [Option<f64>], &'a [Option<f64>]),
}

pub struct Layer<'a> {
    pub shape: Shape<'a>,
    /// One of the colours of the page's style: `one`, `two`, `three`.
    pub colour: &'a str,
    /// How it is called in the legend; empty: it has no entry.
    pub name: &'a str,
}

pub struct Chart<'a> {
    /// What it shows, in one sentence: its text for those who do not see it.
    pub label: String,
    pub places: Places,
    pub layers: Vec<Layer<'a>>,
    /// The greatest value of the scale; None: that of the data.
    pub top: Option<f64>,
    /// Marks of the scale, for instance `{}` or `{} %`.
    pub unit: &'a str,
    /// Of a place, what its title says.
    pub title: &'a dyn Fn(usize) -> String,
}

/// Width and height of the drawing; it is stretched to the place that it gets.
const WIDE: f64 = 1000.0;
const HIGH: f64 = 300.0;

impl Chart<'_> {
    /// With times below it.
    pub fn write(&self, out: &mut String) {
        self.write_with(&self.times(), out);
    }

    /// With other marks below it, evenly spaced from the left edge to the right one.
    pub fn write_over(&self, marks: &[&str], out: &mut String) {
        let last = (marks.len() - 1).max(1) as f64;
        let mut below = String::new();
        for (place, mark) in marks.iter().enumerate() {
            let class = if place % 2 == 1 {
                " class=\"wide\""
            } else {
                ""
            };
            let left = 100.0 * place as f64 / last;
            let _ = write!(
                below,
                "<span{class} style=\"left:{left:.2}%\">{mark}</span>"
            );
        }
        self.write_with(&below, out);
    }

    fn write_with(&self, below: &str, out: &mut String) {
        let top = nice_top(self.top.unwrap_or_else(|| self.greatest()));
        let _ = write!(
            out,
            "<div class=\"chart\"><div class=\"scale\" aria-hidden=\"true\">"
        );
        for mark in marks(top) {
            let at = 100.0 * (1.0 - mark / top);
            let text = self.unit.replace("{}", &number(mark));
            let _ = write!(out, "<span style=\"top:{at:.2}%\">{}</span>", Escaped(text));
        }
        let _ = write!(
            out,
            "</div><svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDE} {HIGH}\" \
             preserveAspectRatio=\"none\"><g class=\"grid\">",
            Escaped(&self.label)
        );
        for mark in marks(top) {
            let y = HIGH * (1.0 - mark / top);
            let _ = write!(out, "<path d=\"M0 {y:.1}H{WIDE}\"/>");
        }
        out.push_str("</g>");
        for layer in &self.layers {
            self.layer(layer, top, out);
        }
        let width = WIDE / self.places.count.max(1) as f64;
        out.push_str("<g class=\"touch\">");
        for place in 0..self.places.count {
            let title = (self.title)(place);
            if !title.is_empty() {
                let _ = write!(
                    out,
                    "<rect x=\"{:.2}\" width=\"{width:.2}\" height=\"{HIGH}\"><title>{}</title></rect>",
                    place as f64 * width,
                    Escaped(title)
                );
            }
        }
        out.push_str("</g></svg><div class=\"times\" aria-hidden=\"true\">");
        out.push_str(below);
        out.push_str("</div></div>");
        if self.layers.iter().any(|layer| !layer.name.is_empty()) {
            out.push_str("<ul class=\"legend\">");
            for layer in self.layers.iter().filter(|layer| !layer.name.is_empty()) {
                let kind = match layer.shape {
                    Shape::Line(_) => "line",
                    Shape::Bars(_) => "bar",
                    Shape::Band(..) => "band",
                };
                let (colour, name) = (layer.colour, Escaped(layer.name));
                let _ = write!(out, "<li><i class=\"{kind} {colour}\"></i>{name}</li>");
            }
            out.push_str("</ul>");
        }
    }

    fn greatest(&self) -> f64 {
        let of = |values: &[Option<f64>]| values.iter().flatten().copied().fold(0.0, f64::max);
        self.layers
            .iter()
            .map(|layer| match layer.shape {
                Shape::Bars(values) => values.iter().copied().fold(0.0, f64::max),
                Shape::Line(values) => of(values),
                Shape::Band(_, upper) => of(upper),
            })
            .fold(0.0, f64::max)
    }

    fn layer(&self, layer: &Layer<'_>, top: f64, out: &mut String) {
        let width = WIDE / self.places.count.max(1) as f64;
        let y = |value: f64| HIGH * (1.0 - (value / top).clamp(0.0, 1.0));
        let colour = layer.colour;
        match layer.shape {
            Shape::Bars(values) => {
                let _ = write!(out, "<path class=\"bar {colour}\" d=\"");
                for (place, value) in values.iter().enumerate().filter(|(_, value)| **value > 0.0) {
                    let x = place as f64 * width;
                    let _ = write!(out, "M{x:.2} {HIGH}V{:.2}h{width:.2}V{HIGH}z", y(*value));
                }
                out.push_str("\"/>");
            }
            Shape::Line(values) => {
                let _ = write!(out, "<path class=\"line {colour}\" d=\"");
                let mut pen = 'M';
                for (place, value) in values.iter().enumerate() {
                    match value {
                        None => pen = 'M',
                        Some(value) => {
                            let _ = write!(
                                out,
                                "{pen}{:.2} {:.2}",
                                (place as f64 + 0.5) * width,
                                y(*value)
                            );
                            pen = 'L';
                        }
                    }
                }
                out.push_str("\"/>");
            }
            Shape::Band(lower, upper) => {
                let _ = write!(out, "<path class=\"band {colour}\" d=\"");
                let ends: Vec<(f64, f64, f64)> = lower
                    .iter()
                    .zip(upper)
                    .enumerate()
                    .filter_map(|(place, (low, high))| {
                        Some(((place as f64 + 0.5) * width, y((*low)?), y((*high)?)))
                    })
                    .collect();
                let mut pen = 'M';
                for (x, _, high) in &ends {
                    let _ = write!(out, "{pen}{x:.2} {high:.2}");
                    pen = 'L';
                }
                for (x, low, _) in ends.iter().rev() {
                    let _ = write!(out, "L{x:.2} {low:.2}");
                }
                out.push_str("\"/>");
            }
        }
    }

    /// Times of day below the drawing, on round ones.
    fn times(&self) -> String {
        let mut out = String::new();
        let Places { from, to, .. } = self.places;
        let length = (to - from).max(1.0);
        const STEPS: [f64; 17] = [
            1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0,
            7200.0, 14_400.0, 43_200.0, 86_400.0,
        ];
        let days = length / 6.0 / 86_400.0;
        let step = STEPS
            .into_iter()
            .find(|step| length / step <= 6.0)
            .unwrap_or(86_400.0 * days.ceil());
        let mut at = (from / step).ceil() * step;
        let mut second = false;
        while at <= to {
            let left = 100.0 * (at - from) / length;
            let whole = at as u64;
            let text = if step < 60.0 {
                format!(
                    "{:02}:{:02}:{:02}",
                    whole / 3600 % 24,
                    whole / 60 % 60,
                    whole % 60
                )
            } else if step < 86_400.0 {
                format!("{:02}:{:02}", whole / 3600 % 24, whole / 60 % 60)
            } else {
                let (_, month, day) = crate::html::civil_date(whole / 86_400);
                format!("{month:02}-{day:02}")
            };
            // On a narrow page every other one gives way.
            let class = if second { " class=\"wide\"" } else { "" };
            let _ = write!(out, "<span{class} style=\"left:{left:.2}%\">{text}</span>");
            second = !second;
            at += step;
        }
        out
    }
}

/// The least of 1, 2, 2.5, 4, 5 × 10ⁿ … that holds the value.
fn nice_top(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|top| *top >= value * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// Zero, half and all of it.
fn marks(top: f64) -> [f64; 3] {
    [0.0, top / 2.0, top]
}

fn number(value: f64) -> String {
    if value >= 10_000.0 {
        let text = format!("{:.1}", value / 1000.0);
        format!("{} k", text.trim_end_matches(".0"))
    } else if value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_on_round_numbers() {
        let tops = [0.0, 0.7, 1.0, 1.01, 37.0, 99.0, 4321.0].map(nice_top);
        assert_eq!(tops, [1.0, 0.8, 1.0, 1.5, 40.0, 100.0, 5000.0]);
        assert_eq!(
            [0.125, 20.0, 12_500.0].map(number),
            ["0.125", "20", "12.5 k"]
        );
    }

    #[test]
    fn a_gap_in_the_values_is_a_gap_in_the_line() {
        let values = [Some(1.0), Some(2.0), None, Some(1.0)];
        let mut out = String::new();
        Chart {
            label: "a \"label\"".into(),
            places: Places {
                from: 0.0,
                to: 4.0,
                count: 4,
            },
            layers: vec![Layer {
                shape: Shape::Line(&values),
                colour: "one",
                name: "",
            }],
            top: None,
            unit: "{}",
            title: &|_| String::new(),
        }
        .write(&mut out);
        assert!(
            out.contains("d=\"M125.00 150.00L375.00 0.00M875.00 150.00\""),
            "{out}"
        );
        assert!(out.contains("aria-label=\"a &quot;label&quot;\""));
    }
}
