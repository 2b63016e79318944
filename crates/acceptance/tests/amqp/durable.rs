//! What is durable, step by step beside RabbitMQ: once without kills, and once with both killed between the steps.

use std::net::SocketAddr;
use std::thread;

use forebay_acceptance::client::Client;
use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::{python, torture};
use forebay_contract::servers::Restarts;
use forebay_contract::servers::rabbitmq::RabbitMq;

/// What the script says of its steps; `kill` is called for each word with which it asks for it.
fn answers(mode: &str, address: SocketAddr, mut kill: impl FnMut(&str)) -> Vec<String> {
    let mut client = Client::start(python("amqp/durable.py").arg(address.to_string()).arg(mode));
    let mut steps = Vec::new();
    while let Some(line) = client.line() {
        if line.starts_with("kill") {
            kill(&line);
            client.tell("back\n");
        } else {
            steps.push(line);
        }
    }
    let end = client.end();
    assert!(end.status.success() && steps.pop().is_some_and(|last| last == "all said"), "{}", end.all());
    steps
}

/// The answers as far as a kill does not change them: a server that was killed has had no time to write down what it
/// handed out last, so it may say of every message that it comes again.
fn lasting(steps: &[String]) -> Vec<String> {
    let lasting = steps.iter().filter(|step| !step.starts_with("passing: "));
    lasting.map(|step| step.replace("'new'", "'again'")).collect()
}

/// Fails with every pair that differs.
fn assert_same<'s>(what: &str, steps: impl Iterator<Item = (&'s String, &'s String)>) {
    let differ: Vec<_> =
        steps.filter(|(one, other)| one != other).map(|(one, other)| format!("{one}\n{other}\n")).collect();
    assert!(differ.is_empty(), "{what}:\n{}", differ.join("\n"));
}

#[test]
fn what_is_durable_is_answered_as_rabbitmq_does_and_the_same_over_kills_between_the_steps() {
    let (data, rabbitmq) = (tempfile::tempdir().unwrap(), RabbitMq::start());
    let mut daemon = Daemon::start(data.path());
    let (theirs, ours) = (rabbitmq.address, daemon.amqp);
    let (mut theirs_killed, mut ours_killed) = (0, 0);
    let (theirs, ours) = thread::scope(|scope| {
        let theirs = scope.spawn(|| {
            let quiet = answers("quiet", theirs, |_| ());
            // It takes seconds to start: it is killed once between two steps of each subject.
            let killed = answers("killed", theirs, |word| {
                if word == "kill round" || torture() {
                    rabbitmq.sync_log();
                    rabbitmq.kill();
                    rabbitmq.start_again();
                    theirs_killed += 1;
                }
            });
            [quiet, killed]
        });
        let quiet = answers("quiet", ours, |_| ());
        let killed = answers("killed", ours, |_| {
            daemon.kill();
            daemon.restart();
            ours_killed += 1;
        });
        (theirs.join().unwrap(), [quiet, killed])
    });
    let [quiet, killed] = &ours;
    assert_same("without kills, ours and theirs", quiet.iter().zip(&theirs[0]));
    assert_same("over kills, ours and theirs", killed.iter().zip(&theirs[1]));
    assert_same("without kills and over them", lasting(quiet).iter().zip(&lasting(killed)));
    assert!(ours.iter().chain(&theirs).all(|steps| steps.len() == quiet.len()), "a step was left out");
    println!("{} steps, RabbitMQ was killed {theirs_killed} times, the daemon {ours_killed}", killed.len());
    assert!(theirs_killed >= 5 && ours_killed == killed.len() - 1);
    assert!(daemon.stop(), "the daemon stops cleanly");
}
