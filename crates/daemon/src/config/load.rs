//! Where settings come from: a flag wins over the environment, that over the file, and the file over the default.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use forebay_connect::file::{self, Line};

use super::settings::{SETTINGS, Settings};
use super::users;

/// The variable that names a file.
pub(crate) const FILE_VARIABLE: &str = "FOREBAY_CONFIG";

/// Similarity below which a name is no guess worth making.
const GUESS_MIN: f64 = 0.7;

/// Where settings may be found.
pub(crate) struct Sources<'a> {
    /// The file that was named, if one was.
    pub(crate) file: Option<&'a Path>,
    /// A variable of the environment.
    pub(crate) environment: &'a dyn Fn(&str) -> Option<OsString>,
    /// A flag, by the setting's name.
    pub(crate) flag: &'a dyn Fn(&str) -> Option<String>,
}

/// Puts all together. The error says where the wrong text stands and what is expected there.
pub(crate) fn load(sources: &Sources<'_>) -> Result<Settings, String> {
    let mut settings = Settings::default();
    let from_environment = (sources.environment)(FILE_VARIABLE);
    if let Some(file) = sources.file.or(from_environment.as_ref().map(Path::new)) {
        let text = fs::read_to_string(file)
            .map_err(|reason| format!("read settings from {}: {reason}", file.display()))?;
        read_file(&mut settings, &text).map_err(|reason| format!("{}: {reason}", file.display()))?;
    }
    for setting in SETTINGS {
        let variable = setting.variable();
        if let Some(text) = (sources.environment)(&variable) {
            let text = text.into_string().map_err(|_| format!("{variable}: expected UTF-8"))?;
            set(&mut settings, setting.name, &text).map_err(|reason| format!("{variable}: {reason}"))?;
        }
        if let Some(text) = (sources.flag)(setting.name) {
            set(&mut settings, setting.name, &text)
                .map_err(|reason| format!("--{}: {reason}", setting.flag()))?;
        }
    }
    settings.check().map_err(|(name, reason)| format!("{name}: {reason}"))?;
    Ok(settings)
}

fn read_file(settings: &mut Settings, text: &str) -> Result<(), String> {
    let mut table = file::parse(text)?;
    settings.amqp_directory = users::take(&mut table)?;
    for Line { place, name, value } in file::lines(table)? {
        set_value(settings, &name, value).map_err(|reason| format!("{place}: {reason}"))?;
    }
    Ok(())
}

fn set_value(settings: &mut Settings, name: &str, value: toml::Value) -> Result<(), String> {
    let text = match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(truth) => truth.to_string(),
        _ => return Err("expected a text, a whole number, true or false".into()),
    };
    set(settings, name, &text)
}

fn set(settings: &mut Settings, name: &str, text: &str) -> Result<(), String> {
    match settings.set(name, text) {
        Some(Ok(())) => Ok(()),
        Some(Err(expected)) => Err(expected.into()),
        None => Err(match nearest(name) {
            Some(meant) => format!("there is no such setting; did you mean {meant}?"),
            None => "there is no such setting; see forebay serve --help".into(),
        }),
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    let likeness = |known: &str| strsim::jaro_winkler(name, known);
    let best = SETTINGS.iter().map(|setting| (likeness(setting.name), setting.name));
    let (likeness, name) = best.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (likeness >= GUESS_MIN).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn load_from(
        file: Option<&str>,
        environment: &[(&str, &str)],
        flags: &[(&str, &str)],
    ) -> Result<Settings, String> {
        let written = file.map(|text| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        });
        let find = |pairs: &[(&str, &str)], name: &str| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        };
        load(&Sources {
            file: written.as_ref().map(tempfile::NamedTempFile::path),
            environment: &|name| find(environment, name).map(OsString::from),
            flag: &|name| find(flags, name),
        })
    }

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let file = Some("memory = \"2MiB\"\ndrain = \"2s\"\nmemcached_threads = 2\n");
        let environment = [("FOREBAY_MEMORY", "3MiB"), ("FOREBAY_DRAIN", "3s")];
        let settings = load_from(file, &environment, &[("memory", "4MiB")]).unwrap();
        assert_eq!(settings.memory.0, 4 << 20);
        assert_eq!(settings.drain.0.as_secs(), 3);
        assert_eq!(settings.memcached_threads, 2);
        assert_eq!(format!("{:?}", settings.http), "127.0.0.1:8080");
    }

    #[test]
    fn an_unknown_key_in_the_file_is_refused_and_the_nearest_one_named() {
        let refused = load_from(Some("memroy = \"2MiB\""), &[], &[]).unwrap_err();
        assert!(refused.contains("memroy: there is no such setting; did you mean memory?"), "{refused}");
        let refused = load_from(Some("[zzz]\nx = 1"), &[], &[]).unwrap_err();
        assert!(refused.contains("zzz: expected a text, a whole number, true or false"), "{refused}");
        let refused = load_from(Some("qqq = 1"), &[], &[]).unwrap_err();
        assert!(refused.contains("see forebay serve --help"), "{refused}");
    }

    #[test]
    fn wrong_text_is_told_by_the_place_where_it_stands() {
        let wrong = [("FOREBAY_MEMORY", "lots")];
        assert_eq!(
            load_from(None, &wrong, &[]).unwrap_err(),
            "FOREBAY_MEMORY: expected a size such as 256MiB, 64KiB or 1000000"
        );
        let refused = load_from(None, &[], &[("memcached-unix", ""), ("drain", "soon")]).unwrap_err();
        assert!(refused.starts_with("--drain: expected a time"), "{refused}");
        assert!(load_from(Some("memory = lots"), &[], &[]).unwrap_err().contains("line 1"));
        assert!(load_from(Some("memory = true"), &[], &[]).unwrap_err().contains("memory: expected"));
    }

    #[test]
    fn a_line_that_is_wrong_is_never_repeated_as_it_may_hold_a_password() {
        for file in
            ["[cache]\nstore = \"redis://app:secret@cache", "amqp_users = 1\npassword_hash = \"secret"]
        {
            let refused = load_from(Some(file), &[], &[]).unwrap_err();
            assert!(refused.contains("line 2: ") && !refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn truth_may_be_written_as_such_or_as_a_text() {
        for file in ["warm_restart = true", "warm_restart = \"true\""] {
            assert!(load_from(Some(file), &[], &[]).unwrap().warm_restart, "{file}");
        }
    }

    #[test]
    fn store_and_broker_may_stand_in_their_sections() {
        let file = "[cache]\nstore = \"memory:\"\n[queue]\nbroker = \"file:elsewhere\"\n";
        let settings = load_from(Some(file), &[], &[]).unwrap();
        assert_eq!(settings.directory(), Path::new("elsewhere"));
        for (file, why) in [
            ("[cache]\nsize = 1", "cache.size: there is no such setting; [cache] has store alone"),
            ("store = \"memory:\"\n[cache]\nstore = \"memory:\"", "cache.store: it is there twice"),
            ("[queue]\nbroker = 7", "queue.broker: open broker without scheme"),
            ("[queue]\nbroker = \"http://a\"", "expected file:DIR or one of"),
            ("cache = 1", "cache: there is no such setting"),
        ] {
            let refused = load_from(Some(file), &[], &[]).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn settings_that_a_shared_store_or_broker_cannot_keep_are_refused_by_name() {
        let refused = |flags: &[(&str, &str)]| load_from(None, &[], flags).unwrap_err();
        let elsewhere = refused(&[("data", "here"), ("broker", "file:there")]);
        assert!(elsewhere.starts_with("broker: "), "{elsewhere}");
        assert!(load_from(None, &[], &[("data", "here"), ("broker", "file:here")]).is_ok());
        #[cfg(feature = "redis")]
        {
            let warm = refused(&[("store", "redis://h"), ("warm_restart", "true")]);
            assert!(warm.starts_with("warm_restart: "), "{warm}");
        }
    }

    #[cfg(feature = "redis")]
    #[test]
    fn no_secret_of_a_url_is_shown() {
        let url = "redis://app:secret@h/2?prefix=secret";
        let settings = load_from(None, &[("FOREBAY_STORE", url)], &[("broker", url)]).unwrap();
        let shown = format!("{settings:?}");
        assert!(shown.contains("store: redis://h") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_and_never_ignored() {
        let environment = [(FILE_VARIABLE, "/nonexistent/forebay.toml")];
        let refused = load_from(None, &environment, &[]).unwrap_err();
        assert!(refused.starts_with("read settings from /nonexistent/forebay.toml: "), "{refused}");
    }
}
