//! Settings from a file: the same names as the daemon's, as far as they apply to a library.

use std::path::Path;

use forebay_connect::file;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::units::{SIZES, measure};

use crate::builder::Builder;

/// Every setting; in the file `store` and `broker` stand in the sections `[cache]` and `[queue]`, or without one.
const NAMES: &str = "data, memory, memory_total, warm_restart, pinned, pinned_memory, value_bytes_max, queue_disk, \
                     queue_memory, [cache] store, [queue] broker";

/// Reads a file. The error names the setting that is wrong, and never its text, which may be a secret.
pub(crate) fn read(path: &Path) -> Result<Builder> {
    let of = || path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|reason| Error::new(Kind::Io, "read settings from", of()).because(reason))?;
    parse(&text).map_err(|reason| Error::new(Kind::Invalid, "read settings from", of()).because(reason))
}

fn parse(text: &str) -> std::result::Result<Builder, String> {
    file::lines(file::parse(text)?)?.iter().try_fold(Builder::new(), |builder, line| {
        set(builder, &line.name, &line.value).map_err(|why| format!("{}: {why}", line.place))
    })
}

fn set(builder: Builder, name: &str, value: &toml::Value) -> std::result::Result<Builder, String> {
    let text = || value.as_str().ok_or("expected a text");
    let size = || {
        let bytes = match value {
            toml::Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            toml::Value::String(text) => measure(text, SIZES, Some(1)),
            _ => None,
        };
        bytes.ok_or("expected a size such as \"256MiB\", \"64KiB\" or 1000000")
    };
    // The daemon reads both from the same file.
    let truth = || match value {
        toml::Value::Boolean(truth) => Ok(*truth),
        toml::Value::String(text) => text.parse().map_err(|_| "expected true or false"),
        _ => Err("expected true or false"),
    };
    let at_most_usize = || size().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let told = |error: Error| error.to_string();
    Ok(match name {
        "data" => builder.data(text()?),
        "memory" => builder.memory(at_most_usize()?),
        "memory_total" => builder.memory_total(size()?),
        "warm_restart" => builder.warm(truth()?),
        "pinned" => builder.pinned(text()?.split(',').filter(|prefix| *prefix != "off")).map_err(told)?,
        "pinned_memory" => builder.pinned_memory(size()?),
        "value_bytes_max" => builder.value_bytes_max(at_most_usize()?),
        "queue_disk" => builder.queue_disk(size()?),
        "queue_memory" => builder.queue_memory(at_most_usize()?),
        "store" => builder.store(text()?).map_err(told)?,
        "broker" => builder.broker(text()?).map_err(told)?,
        _ => return Err(format!("there is no such setting of the library; it has {NAMES}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_says_is_set() {
        let text = "data = \"there\"\nmemory = \"2MiB\"\nqueue_disk = 1073741824\nwarm_restart = true\n\
                    pinned = \"task:,job:\"\n[cache]\nstore = \"memory:\"\n[queue]\nbroker = \"file:there\"\n";
        let read = parse(text).unwrap();
        let built = Builder::new().data("there").memory(2 << 20).queue_disk(1 << 30).warm(true);
        let built = built.pinned(["task:", "job:"]).unwrap().broker("file:there").unwrap();
        assert_eq!(format!("{read:?}"), format!("{built:?}"));
        let as_text = parse("warm_restart = \"true\"").unwrap();
        assert_eq!(format!("{as_text:?}"), format!("{:?}", Builder::new().warm(true)));
    }

    #[test]
    fn what_is_unknown_or_wrong_is_refused_by_name_and_not_repeated() {
        for (text, why) in [
            ("memroy = \"2MiB\"", "memroy: there is no such setting"),
            ("http = \"127.0.0.1:1\"", "http: there is no such setting"),
            ("[cache]\nmemory = \"1GiB\"", "cache.memory: there is no such setting"),
            ("store = \"memory:\"\n[cache]\nstore = \"memory:\"", "cache.store: it is there twice"),
            ("memory = \"secret\"", "memory: expected a size"),
            ("warm_restart = \"secret\"", "warm_restart: expected true or false"),
            ("[cache]\nstore = \"secret://u:secret@h\"", "cache.store: open store"),
            ("data = \"a\"\nstore = \"redis://:secret", "line 2"),
            ("cache = 7", "cache: there is no such setting"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(why), "{refused}");
            assert!(!refused.replace("secret:", "").contains("secret"), "{refused}");
        }
    }
}
