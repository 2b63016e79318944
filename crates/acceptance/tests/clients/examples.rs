//! The programs of `examples`, run as their pages say.

use std::path::{Path, PathBuf};
use std::process::Command;

use forebay_acceptance::client::Client;
use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::{compiled, run, tool};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// Something in Python that finds the daemon where it is.
fn python(program: &str, daemon: &Daemon) -> Command {
    let mut command = Command::new(tool(program));
    command
        .current_dir(example("python"))
        .env("FOREBAY_AMQP", daemon.amqp.to_string())
        .env("FOREBAY_MEMCACHED", daemon.memcached.to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn with_daemon(check: impl FnOnce(&Daemon)) {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    check(&daemon);
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn reading_through_a_cache_keeps_no_old_value() {
    with_daemon(|daemon| {
        let said = run(python("python", daemon).arg("cache_aside.py"));
        let expected = [
            "read three times with 1 query",
            "after an update it reads samovar",
            "a product that is not there costs one query as well: 3 in all",
            "a reader that was overtaken by a writer leaves no old name behind: kettle",
        ];
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    });
}

#[test]
fn a_work_queue_keeps_apart_what_cannot_be_done() {
    with_daemon(|daemon| {
        let run = |words: &[&str]| run(python("python", daemon).arg("work_queue.py").args(words));
        assert_eq!(run(&["publish", "3", "four", "5"]), "published 3\n");
        assert_eq!(run(&["work", "3"]), "3 squared is 9\n5 squared is 25\n");
        assert_eq!(run(&["failed"]), "'four' was rejected in squares\n");
        assert_eq!(run(&["failed"]), "");
    });
}

#[test]
fn a_celery_application_has_its_broker_and_its_results_in_one_daemon() {
    with_daemon(|daemon| {
        let mut worker = python("celery", daemon);
        worker.args([
            "--quiet",
            "--app",
            "celery_app",
            "worker",
            "--loglevel",
            "ERROR",
            "--concurrency",
            "2",
        ]);
        let worker = Client::start(&mut worker);
        let said = run(python("python", daemon).arg("celery_app.py"));
        worker.terminate();
        let end = worker.end();
        assert!(end.status.success(), "the worker ends in good order: {}", end.all());
        assert_eq!(said, "the mean of Oslo, Lima, Dakar is 13.0\na task for later ran in its time\n");
    });
}

#[test]
fn a_program_in_c_has_its_cache_and_its_queue_in_one_daemon() {
    with_daemon(|daemon| {
        let folder = tempfile::tempdir().unwrap();
        let libraries = ["memcached", "rabbitmq"];
        let mut program = compiled(&example("c/cache_and_queue.c"), &libraries, folder.path());
        program.args([daemon.amqp.port().to_string(), daemon.memcached.port().to_string()]);
        assert_eq!(run(&mut program), "12 squared is 144\n");
    });
}
