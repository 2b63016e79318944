//! A file of settings, as far as the daemon and the library read it alike.

use toml::{Table, Value};

/// Settings that may also stand in a section of the file: `[cache] store = "…"`.
const SECTIONS: &[(&str, &str)] = &[("cache", "store"), ("queue", "broker")];

/// A setting of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Where it stands, for errors: its name, behind that of its section.
    pub place: String,
    /// Its name.
    pub name: String,
    /// What it is set to.
    pub value: Value,
}

/// Reads the text of a file. The error says in which line it is wrong, and never what stands there, which may be a password.
pub fn parse(text: &str) -> Result<Table, String> {
    text.parse().map_err(|reason: toml::de::Error| match reason.span() {
        Some(span) => {
            let line = text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1);
            format!("line {line}: {}", reason.message())
        }
        None => reason.message().to_owned(),
    })
}

/// Its settings, in sections and without. The error names one that a section has not, and one that is there twice.
pub fn lines(mut table: Table) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (section, known) in SECTIONS {
        let Some(Value::Table(_)) = table.get(*section) else { continue };
        let Some(Value::Table(of_section)) = table.remove(*section) else { continue };
        for (name, value) in of_section {
            let place = format!("{section}.{name}");
            if name != *known {
                return Err(format!("{place}: there is no such setting; [{section}] has {known} alone"));
            }
            if table.contains_key(&name) {
                return Err(format!("{place}: it is there twice, as {name} too"));
            }
            lines.push(Line { place, name, value });
        }
    }
    lines.extend(table.into_iter().map(|(name, value)| Line { place: name.clone(), name, value }));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_line_is_told_by_its_number_and_never_repeated() {
        for text in ["data = \"a\"\nstore = \"redis://:secret@h", "data = \"a\"\nsecret secret"] {
            let refused = parse(text).unwrap_err();
            assert!(refused.starts_with("line 2: ") && !refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn settings_stand_in_their_section_or_without_and_not_in_both() {
        let read = |text: &str| {
            lines(parse(text).unwrap()).map(|lines| lines.into_iter().map(|l| (l.place, l.name)).collect())
        };
        let named = |place: &str, name: &str| (place.to_owned(), name.to_owned());
        let found: Vec<_> = read("memory = 1\n[cache]\nstore = \"memory:\"").unwrap();
        assert_eq!(found, [named("cache.store", "store"), named("memory", "memory")]);
        let refused = read("[queue]\nstore = 1").unwrap_err();
        assert_eq!(refused, "queue.store: there is no such setting; [queue] has broker alone");
        let refused = read("store = 1\n[cache]\nstore = 1").unwrap_err();
        assert_eq!(refused, "cache.store: it is there twice, as store too");
        assert_eq!(read("cache = 1").unwrap(), [named("cache", "cache")]);
    }
}
