//! Plots for the reports, as SVG.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

/// A horizontal bar for each row, with its range where it has one.
pub struct Bar {
    pub name: String,
    pub value: f64,
    pub range: Option<(f64, f64)>,
}

/// One line through its points.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

const WIDTH: u32 = 900;
const HEIGHT: u32 = 420;
const BAR_HEIGHT: u32 = 34;
const FRAME_HEIGHT: u32 = 90;

/// Draws the bars from top to bottom.
pub fn bars(path: &Path, title: &str, unit: &str, bars: &[Bar]) -> Result<(), Box<dyn Error>> {
    make_room_for(path)?;
    let height = FRAME_HEIGHT + BAR_HEIGHT * bars.len() as u32;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let highest = bars.iter().map(|bar| bar.range.map_or(bar.value, |(_, high)| high.max(bar.value)));
    let highest = highest.fold(f64::MIN_POSITIVE, f64::max);
    let rows = bars.len() as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(4)
        .build_cartesian_2d(0.0..highest * 1.02, rows..0.0)?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().x_desc(unit).draw()?;
    for (row, bar) in bars.iter().enumerate() {
        let (top, bottom) = (row as f64 + 0.15, row as f64 + 0.85);
        let colour =
            if bar.name.to_lowercase().starts_with("forebay") { BLUE.mix(0.55) } else { BLACK.mix(0.25) };
        chart.draw_series([Rectangle::new([(0.0, top), (bar.value, bottom)], colour.filled())])?;
        if let Some((low, high)) = bar.range {
            let middle = row as f64 + 0.5;
            chart.draw_series([PathElement::new([(low, middle), (high, middle)], BLACK.stroke_width(2))])?;
        }
        let label = format!("{}  {:.3}", bar.name, bar.value);
        chart.draw_series([Text::new(label, (highest * 0.01, row as f64 + 0.3), ("sans-serif", 14))])?;
    }
    area.present()?;
    Ok(())
}

/// Draws the lines over a logarithmic axis, with their names.
pub fn lines(path: &Path, title: &str, x: &str, y: &str, lines: &[Line]) -> Result<(), Box<dyn Error>> {
    make_room_for(path)?;
    let area = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let points = || lines.iter().flat_map(|line| &line.points);
    let edge =
        |of: fn(&(f64, f64)) -> f64, pick: fn(f64, f64) -> f64| points().map(of).reduce(pick).unwrap_or(1.0);
    let (left, right) = (edge(|point| point.0, f64::min), edge(|point| point.0, f64::max));
    let (low, high) = (edge(|point| point.1, f64::min), edge(|point| point.1, f64::max));
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((left..right).log_scale(), low * 0.98..high * 1.02)?;
    chart.configure_mesh().x_desc(x).y_desc(y).draw()?;
    for (index, line) in lines.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        let style = colour.stroke_width(if line.name.to_lowercase().starts_with("forebay") { 3 } else { 1 });
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), style))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE.mix(0.8)).draw()?;
    area.present()?;
    Ok(())
}

fn make_room_for(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}
