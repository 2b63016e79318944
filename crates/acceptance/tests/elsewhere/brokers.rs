//! Queues on Kafka, on SQS, and on the engine of the program's own process.

use forebay_acceptance::daemon::Daemon;
use forebay_contract::servers::kafka::Kafka;
use forebay_contract::servers::moto::Moto;

use crate::desk::{Looks, the_queue_api_works};
use crate::journal::nothing_confirmed_is_lost_over_kill_9;
use crate::program::a_program_runs_unchanged;

#[test]
fn sqs_behind_a_daemon_loses_nothing_when_its_consumer_is_killed() {
    let moto = Moto::start();
    let endpoint = format!("endpoint=http://{}", moto.address);
    let url =
        format!("sqs://key:secret@eu-central-1/123456789012?{endpoint}&prefix=shop-&visibility_s=4&poll_s=1");
    a_program_runs_unchanged(&format!("[queue]\nbroker = \"{url}\"\n"));
    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start_with(data.path(), &["--broker", &url]);
    nothing_confirmed_is_lost_over_kill_9(&mut daemon);
    the_queue_api_works(&daemon, Looks { peek: false, find: false, replay: false });
    assert!(!daemon.panicked());
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn kafka_behind_a_daemon_loses_nothing_when_its_consumer_is_killed() {
    let Some(kafka) = Kafka::start() else { return };
    let url = format!("{}?session_ms=2000", kafka.url());
    a_program_runs_unchanged(&format!("[queue]\nbroker = \"{url}\"\n"));
    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start_with(data.path(), &["--broker", &url]);
    // Its member of the group is killed with it, and what it held goes to the next one.
    nothing_confirmed_is_lost_over_kill_9(&mut daemon);
    the_queue_api_works(&daemon, Looks { peek: true, find: false, replay: true });
    assert!(!daemon.panicked());
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn a_program_runs_on_the_engine_of_its_own_process() {
    let data = tempfile::tempdir().unwrap();
    let queues = data.path().join("queues");
    a_program_runs_unchanged(&format!("[queue]\nbroker = \"file:{}\"\n", queues.display()));
}
