//! pika and the tools of librabbitmq against the daemon; and the daemon beside RabbitMQ.

use std::net::SocketAddr;
use std::process::Command;

use forebay_acceptance::client::Client;
use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::{forebay, tool};
use forebay_contract::servers::rabbitmq::RabbitMq;

/// A script of the clients' folder that talks to `address`.
fn python(script: &str, arguments: &[&str], address: SocketAddr) -> Command {
    let mut command = Command::new(tool("python"));
    command.arg(format!("{}/tests/clients/amqp/{script}", env!("CARGO_MANIFEST_DIR")));
    command.args(arguments).arg(address.to_string());
    command
}

/// Runs a client to its end, and returns what it said; with `input` on its standard input.
fn run(command: &mut Command, input: &str) -> (Option<i32>, String) {
    let mut client = Client::start(command);
    client.tell(input);
    let end = client.end();
    (end.status.code(), end.all())
}

/// Runs the script against both servers, and compares what they answered line by line.
fn compare(script: &str) {
    let (data, rabbitmq) = (tempfile::tempdir().unwrap(), RabbitMq::start());
    let daemon = Daemon::start(data.path());
    compare_answers(script, &[], rabbitmq.address, daemon.amqp);
    assert!(daemon.stop(), "the daemon stops cleanly");
}

fn compare_answers(script: &str, arguments: &[&str], rabbitmq: SocketAddr, daemon: SocketAddr) {
    let (expected, found) = std::thread::scope(|scope| {
        let answers = |address| run(&mut python(script, arguments, address), "").1;
        let expected = scope.spawn(move || answers(rabbitmq));
        let found = answers(daemon);
        (expected.join().unwrap(), found)
    });
    assert!(expected.ends_with("all said\n"), "{expected}");
    for (expected, found) in expected.lines().zip(found.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found, expected);
}

#[test]
fn pika_gets_the_same_answers_as_from_rabbitmq() {
    compare("steps.py");
}

#[test]
fn frames_out_of_turn_get_the_same_answers_as_from_rabbitmq() {
    compare("frames.py");
}

#[test]
fn dead_letters_tell_of_their_way_as_with_rabbitmq() {
    compare("dead_letters.py");
}

/// The hash of a password, from the daemon's own command.
fn hashed(password: &str) -> String {
    let (code, hash) = run(Command::new(forebay()).arg("hash-password"), password);
    assert_eq!(code, Some(0), "{hash}");
    hash.trim_end().to_owned()
}

#[test]
fn users_may_do_what_they_may_with_rabbitmq_and_no_more() {
    let (data, rabbitmq) = (tempfile::tempdir().unwrap(), RabbitMq::start());
    rabbitmq.control(&["add_vhost", "shop"]);
    rabbitmq.control(&["add_user", "u", "secret"]);
    rabbitmq.control(&["set_permissions", "-p", "/", "u", "^c-", "^w-", "^r-"]);
    let user = |name: &str, password: &str, [configure, write, read]: [&str; 3]| {
        format!(
            "[[amqp_users]]\nname = '{name}'\npassword_hash = '{}'\n[[amqp_users.permissions]]\nvhost = '/'\n\
             configure = '{configure}'\nwrite = '{write}'\nread = '{read}'\n",
            hashed(password)
        )
    };
    let (guest, u) = (user("guest", "guest", [".*"; 3]), user("u", "secret", ["^c-", "^w-", "^r-"]));
    let settings = data.path().join("forebay.toml");
    std::fs::write(&settings, format!("amqp_vhosts = ['shop']\n{guest}{u}")).unwrap();
    let settings = settings.to_str().unwrap();
    let daemon = Daemon::start_with(&data.path().join("data"), &["--config", settings]);
    compare_answers("users.py", &[], rabbitmq.address, daemon.amqp);
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn a_consumer_that_keeps_a_delivery_for_too_long_loses_its_channel() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let (_, said) = run(&mut python("own.py", &["overdue"], daemon.amqp), "");
    assert!(said.contains("all well"), "{said}");
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn publishers_are_told_when_the_disk_is_full_and_go_on_when_consumers_have_made_room() {
    let data = tempfile::tempdir().unwrap();
    let small = ["--segment-bytes", "1MiB", "--queue-disk", "16MiB"];
    let daemon = Daemon::start_with(data.path(), &small);
    let (_, said) = run(&mut python("own.py", &["blocked"], daemon.amqp), "");
    assert!(said.contains("all well"), "{said}");
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn many_messages_are_confirmed_together_and_come_in_order() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let (_, said) = run(&mut python("many.py", &[], daemon.amqp), "");
    assert!(said.contains("all well"), "{said}");
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn what_was_confirmed_survives_a_kill_and_what_was_delivered_before_says_so() {
    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(data.path());
    let (_, said) = run(&mut python("crash.py", &["publish"], daemon.amqp), "");
    assert!(said.contains("all well"), "{said}");
    let mut holder = Client::start(&mut python("crash.py", &["hold"], daemon.amqp));
    assert_eq!(holder.line().as_deref(), Some("held"));
    daemon.kill();
    holder.kill();
    daemon.restart();
    let (_, said) = run(&mut python("crash.py", &["drain"], daemon.amqp), "");
    assert!(said.contains("all well"), "{said}");
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn the_tools_of_librabbitmq_declare_publish_get_consume_and_delete() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let url = format!("amqp://guest:guest@{}", daemon.amqp);
    let tool = |name: &str, arguments: &[&str], input: &str| {
        let (code, said) = run(Command::new(name).args(["-u", &url]).args(arguments), input);
        (code, said.trim_end().to_owned())
    };
    let ok = |said: &str| (Some(0), said.to_owned());
    assert_eq!(tool("amqp-declare-queue", &["-q", "tools", "-d"], ""), ok("tools"));
    assert_eq!(tool("amqp-publish", &["-r", "tools", "-p"], "first"), ok(""));
    assert_eq!(tool("amqp-publish", &["-r", "tools"], "second"), ok(""));
    assert_eq!(tool("amqp-get", &["-q", "tools"], ""), ok("first"));
    assert_eq!(tool("amqp-consume", &["-q", "tools", "-c", "1", "cat"], ""), ok("second"));
    assert_eq!(tool("amqp-get", &["-q", "tools"], "").0, Some(2), "it is empty");
    assert_eq!(tool("amqp-delete-queue", &["-q", "tools"], ""), ok("0"));
    assert!(daemon.stop(), "the daemon stops cleanly");
}
