//! Settings from file, environment and flags, as the real program reads them.

use std::fs;
use std::process::Command;

use crate::process::{Daemon, forebay, printed};

fn budget(daemon: &Daemon) -> u64 {
    let (status, body) = daemon.ask("GET", "/v1/cache", "");
    assert_eq!(status, 200);
    let budget = body.split("\"bytes_max\":").nth(1).unwrap();
    budget.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forebay.toml");
    let data = folder.path().join("data");
    let text = format!(
        "data = {:?}\nmemcached = \"off\"\namqp = \"off\"\nhttp = \"127.0.0.1:0\"\nmemory = \"2MiB\"\nlog = \"warn\"\n",
        data.to_str().unwrap()
    );
    fs::write(&file, text).unwrap();
    let start = |change: &dyn Fn(&mut Command)| {
        let mut command = forebay();
        command.arg("serve").arg("--config").arg(&file);
        change(&mut command);
        let daemon = Daemon::run(&mut command);
        assert_eq!(daemon.lines.len(), 1, "the file turns the others off: {:?}", daemon.lines);
        let budget = budget(&daemon);
        daemon.stop();
        budget >> 20
    };
    assert_eq!(start(&|_| {}), 2);
    assert_eq!(
        start(&|command| {
            command.env("FOREBAY_MEMORY", "3MiB");
        }),
        3
    );
    assert_eq!(
        start(&|command| {
            command.env("FOREBAY_MEMORY", "3MiB").args(["--memory", "4MiB"]);
        }),
        4
    );
    assert!(data.is_dir());
}

#[test]
fn wrong_settings_end_with_exit_code_2_and_say_where() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forebay.toml");
    fs::write(&file, "http_port = 80\n").unwrap();
    let refused = |change: &dyn Fn(&mut Command)| {
        let mut command = forebay();
        command.arg("serve").arg("--data").arg(folder.path().join("data"));
        change(&mut command);
        let output = command.output().unwrap();
        let (stdout, stderr) = printed(&output);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{stderr}");
        stderr
    };
    let said = refused(&|command| {
        command.arg("--config").arg(&file);
    });
    assert!(said.contains("forebay.toml: http_port: there is no such setting; did you mean http?"), "{said}");
    let said = refused(&|command| {
        command.env("FOREBAY_CONFIG", "/nonexistent");
    });
    assert!(said.contains("/nonexistent"), "{said}");
    let said = refused(&|command| {
        command.env("FOREBAY_DRAIN", "never");
    });
    assert!(said.contains("FOREBAY_DRAIN: expected a time"), "{said}");
    let said = refused(&|command| {
        command.args(["--memory", "1KiB"]);
    });
    assert!(said.contains("memory: expected a size from 1MiB"), "{said}");
    let said = refused(&|command| {
        command.arg("--memroy=1");
    });
    assert!(said.contains("--memory"), "{said}");
    assert!(!folder.path().join("data").exists(), "nothing was begun");
}

#[test]
fn help_and_version_are_printed_and_succeed() {
    for (arguments, expected) in [
        (&["--version"][..], format!("forebay {}", env!("CARGO_PKG_VERSION"))),
        (&["serve", "--help"], "FOREBAY_QUEUE_DISK".into()),
        (&["queue", "--help"], "dead-letters".into()),
        (&["cache", "--help"], "stats".into()),
    ] {
        let output = forebay().args(arguments).output().unwrap();
        let (stdout, stderr) = printed(&output);
        assert!(output.status.success() && stderr.is_empty(), "{stderr}");
        assert!(stdout.contains(&expected), "{stdout}");
    }
}
