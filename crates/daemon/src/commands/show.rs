//! Printing for people: aligned columns, and bytes of strangers made harmless.

use std::io::{self, Write};

use serde_json::Value;

use super::client::Answer;
use crate::failure::Failure;

/// Prints bytes as they are. A reader that hangs up (`| head`) is not a failure.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(reason) if reason.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("write to standard output: {reason}")))
        }
        _ => Ok(()),
    }
}

/// Prints one line.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints the answer as it came, with a line end.
pub(crate) fn raw(answer: &Answer) -> Result<(), Failure> {
    bytes(&answer.body)?;
    if answer.body.is_empty() { Ok(()) } else { line("") }
}

/// Prints rows under heads. Columns of numbers stand to the right, the last column is not padded.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    bytes(aligned(heads, rows).as_bytes())
}

fn aligned(heads: &[&str], rows: &[Vec<String>]) -> String {
    // Digits, and at most a unit behind them.
    let is_number = |cell: &str| {
        let unit = cell.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        unit.len() < cell.len() && unit.len() <= 2 && unit.chars().all(char::is_alphabetic)
    };
    let columns: Vec<(usize, bool)> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = || rows.iter().filter_map(|row| row.get(column));
            let width = cells().map(|cell| cell.chars().count()).chain([head.chars().count()]).max();
            (width.unwrap_or(0), column > 0 && cells().all(|cell| is_number(cell)) && !rows.is_empty())
        })
        .collect();
    let mut text = String::new();
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    for row in std::iter::once(&heads).chain(rows) {
        let cells = row.iter().zip(&columns).map(|(cell, (width, right))| {
            if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Prints `name  value` lines, the names aligned.
pub(crate) fn fields(pairs: &[(&str, String)]) -> Result<(), Failure> {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in pairs {
        line(&format!("{name:<width$}  {value}"))?;
    }
    Ok(())
}

/// Text of strangers on one line: control characters cannot move the cursor or change the title.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
                .chars()
                .collect::<Vec<_>>()
        })
        .collect()
}

/// A field of an answer as text.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => harmless(text),
        other => other.to_string(),
    }
}

/// Milliseconds for people.
pub(crate) fn span(ms: &Value) -> String {
    match ms.as_u64() {
        None => "-".into(),
        Some(ms) if ms < 1_000 => format!("{ms}ms"),
        Some(ms) if ms < 120_000 => format!("{:.1}s", ms as f64 / 1e3),
        Some(ms) if ms < 7_200_000 => format!("{}m", ms / 60_000),
        Some(ms) => format!("{}h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let rows = [vec!["orders".into(), "7".into()], vec!["q".into(), "1200".into()]];
        assert_eq!(aligned(&["QUEUE", "READY"], &rows), "QUEUE   READY\norders      7\nq        1200\n");
        assert_eq!(aligned(&["QUEUE", "READY"], &[]), "QUEUE  READY\n");
    }

    #[test]
    fn a_payload_cannot_speak_to_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(text(&json!("ü")), "ü");
    }

    #[test]
    fn spans_are_short() {
        for (ms, shown) in [(5, "5ms"), (1_500, "1.5s"), (150_000, "2m"), (7_200_000, "2h")] {
            assert_eq!(span(&json!(ms)), shown);
        }
    }
}
