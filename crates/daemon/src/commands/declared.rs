//! The settings of a queue as the command line says and shows them: one list for the flags, the request and the display.

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use serde_json::{Map, Value, json};

use super::show;
use crate::config::value::{Size, Span, Value as _};
use crate::failure::Failure;

/// One setting.
struct Setting {
    /// The flag.
    flag: &'static str,
    /// Its field in requests and answers.
    field: &'static str,
    kind: Kind,
    help: &'static str,
}

/// How its value is written.
#[derive(Clone, Copy)]
enum Kind {
    Count,
    Bytes,
    Time,
    Share,
    Level,
    Text(&'static str),
    /// One of these, with - for the field's _.
    Choice(&'static [&'static str]),
    Flag,
}

const fn setting(flag: &'static str, field: &'static str, kind: Kind, help: &'static str) -> Setting {
    Setting { flag, field, kind, help }
}

const SETTINGS: &[Setting] = &[
    setting("attempt-max", "attempt_max", Kind::Count, "Attempts before a message is dead-lettered"),
    setting(
        "backoff-first",
        "backoff_first_ms",
        Kind::Time,
        "Wait after the first failure, doubled for each further one",
    ),
    setting("backoff-longest", "backoff_longest_ms", Kind::Time, "The wait never grows longer"),
    setting("backoff-jitter", "backoff_jitter", Kind::Share, "Share of the wait that is random, 0.0 to 1.0"),
    setting("hold", "hold_ms", Kind::Time, "How long a delivery is held for its consumer"),
    setting("dead-letter", "dead_letter", Kind::Text("QUEUE"), "Where dead letters go"),
    setting(
        "dead-letter-exchange",
        "dead_letter_exchange",
        Kind::Text("EXCHANGE"),
        "Exchange that dead letters are published to instead",
    ),
    setting(
        "dead-letter-key",
        "dead_letter_key",
        Kind::Text("KEY"),
        "Routing key for that exchange; each message's own unless said otherwise",
    ),
    setting("message-ttl", "message_ttl_ms", Kind::Time, "What comes in expires no later than after so long"),
    setting("length-max", "length_max", Kind::Count, "Most messages in the queue"),
    setting(
        "length-bytes-max",
        "length_bytes_max",
        Kind::Bytes,
        "Most bytes of payload that are ready in it",
    ),
    setting(
        "overflow",
        "overflow",
        Kind::Choice(&["reject", "drop-head", "reject-dead-letter"]),
        "What happens to a publish at that length",
    ),
    setting(
        "order",
        "order",
        Kind::Choice(&["arrival", "key"]),
        "What is kept in order; with key, one message of a key at a time",
    ),
    setting("priority-max", "priority_max", Kind::Level, "Greatest priority that is told apart"),
    setting(
        "dedup-window",
        "dedup_window_ms",
        Kind::Time,
        "How long a message with a dedup id is not taken again",
    ),
    setting("retain", "retain_ms", Kind::Time, "How long acknowledged messages are kept to be replayed"),
    setting(
        "newest-by-key",
        "newest_by_key",
        Kind::Flag,
        "Of waiting messages with one key only the newest is kept",
    ),
    setting(
        "lifetime",
        "lifetime",
        Kind::Choice(&["durable", "process"]),
        "Whether the queue ends with the daemon's process",
    ),
];

/// A flag for each.
pub(crate) fn flags() -> impl Iterator<Item = Arg> {
    SETTINGS.iter().map(|setting| {
        let arg = Arg::new(setting.flag).long(setting.flag).help(setting.help);
        match setting.kind {
            Kind::Count => arg.value_name("N").value_parser(value_parser!(u64)),
            Kind::Bytes => arg.value_name("SIZE"),
            Kind::Time => arg.value_name("TIME"),
            Kind::Share => arg.value_name("SHARE").value_parser(value_parser!(f64)),
            Kind::Level => arg.value_name("0..255").value_parser(value_parser!(u8)),
            Kind::Text(shape) => arg.value_name(shape),
            Kind::Choice(choices) => arg.value_name("WHAT").value_parser(choices.to_vec()),
            Kind::Flag => arg.action(ArgAction::SetTrue),
        }
    })
}

/// What the flags say, as the daemon is asked for it. What is left out has the daemon's default.
pub(crate) fn asked(matches: &ArgMatches) -> Result<Value, Failure> {
    let mut asked = Map::new();
    for Setting { flag, field, kind, .. } in SETTINGS {
        let text = || matches.get_one::<String>(flag);
        let value = match kind {
            Kind::Count => matches.get_one::<u64>(flag).map(|number| json!(number)),
            Kind::Share => matches.get_one::<f64>(flag).map(|share| json!(share)),
            Kind::Level => matches.get_one::<u8>(flag).map(|level| json!(level)),
            Kind::Flag => matches.get_flag(flag).then_some(Value::Bool(true)),
            Kind::Text(_) => text().map(|text| json!(text)),
            Kind::Choice(_) => text().map(|text| json!(text.replace('-', "_"))),
            Kind::Time => milliseconds(matches, flag)?.map(|ms| json!(ms)),
            Kind::Bytes => match text() {
                None => None,
                Some(text) => {
                    let Size(bytes) = Size::read(text)
                        .map_err(|expected| Failure::usage(format!("--{flag}: {expected}")))?;
                    Some(json!(bytes))
                }
            },
        };
        if let Some(value) = value {
            asked.insert((*field).to_owned(), value);
        }
    }
    Ok(Value::Object(asked))
}

/// A time after a flag, in milliseconds.
pub(crate) fn milliseconds(matches: &ArgMatches, flag: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = matches.get_one::<String>(flag) else { return Ok(None) };
    let Span(time) = Span::read(text).map_err(|expected| Failure::usage(format!("--{flag}: {expected}")))?;
    Ok(Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

/// The settings of a queue that the daemon described, to be shown.
pub(crate) fn shown(queue: &Value) -> impl Iterator<Item = (&'static str, String)> {
    SETTINGS.iter().map(|setting| {
        let value = &queue[setting.field];
        let shown = match setting.kind {
            Kind::Time => show::span(value),
            _ => show::text(value),
        };
        (setting.field.trim_end_matches("_ms"), shown)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Command;

    #[test]
    fn what_the_flags_say_is_asked_for_and_nothing_else() {
        let said = [
            "create",
            "--attempt-max=3",
            "--hold=90s",
            "--length-bytes-max=2MiB",
            "--overflow=reject-dead-letter",
            "--dead-letter-exchange=letters",
            "--newest-by-key",
        ];
        let matches = Command::new("create").args(flags()).try_get_matches_from(said).unwrap();
        assert_eq!(
            asked(&matches).ok(),
            Some(json!({
                "attempt_max": 3,
                "hold_ms": 90_000,
                "length_bytes_max": 2 << 20,
                "overflow": "reject_dead_letter",
                "dead_letter_exchange": "letters",
                "newest_by_key": true,
            }))
        );
    }

    #[test]
    fn a_size_that_is_none_is_told_by_its_flag() {
        let said = ["create", "--length-bytes-max=much"];
        let matches = Command::new("create").args(flags()).try_get_matches_from(said).unwrap();
        assert!(asked(&matches).is_err());
    }

    #[test]
    fn times_are_shown_for_people() {
        let queue = json!({ "message_ttl_ms": 150_000, "overflow": "drop_head" });
        let shown: Vec<_> = shown(&queue).collect();
        assert!(shown.contains(&("message_ttl", "2m".into())));
        assert!(shown.contains(&("overflow", "drop_head".into())));
    }
}
