//! kill -9 under publishers and consumers: what was confirmed and not settled comes again, in order, and says so.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use forebay_acceptance::amqp::load::{Lane, Sums};
use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::torture;
use tokio::runtime::Builder;
use tokio::time::timeout;

const LANES: usize = 3;
/// How long a round may take, and the last drain.
const ROUND_MAX: Duration = Duration::from_secs(60);
/// How long a client may take to see that its daemon is gone. A promise of lapin's that is made while its connection
/// comes to its end stays open for ever now and then; what it would have told is known to nobody.
const END_MAX: Duration = Duration::from_secs(2);

#[test]
fn what_was_confirmed_comes_again_in_order_over_rounds_of_kill_9() {
    for sums in rounds_of_kill_9(if torture() { 500 } else { 20 }) {
        assert!(sums.lost.is_empty(), "lost: {:?}", sums.lost);
        assert!(sums.broken.is_empty(), "{:?}", sums.broken);
    }
}

#[test]
fn what_was_delivered_before_a_kill_says_so_when_it_comes_again() {
    for sums in rounds_of_kill_9(3) {
        assert_eq!(sums.unmarked, 0, "of {} that came again", sums.again);
    }
}

/// What became of each queue's messages.
fn rounds_of_kill_9(rounds: usize) -> Vec<Sums> {
    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(data.path());
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let lanes: Vec<_> = (0..LANES).map(|number| Arc::new(Lane::new(&format!("lane-{number}")))).collect();
    let confirmed = || lanes.iter().map(|lane| lane.confirmed()).sum::<usize>();
    let amqp = daemon.amqp;
    for round in 0..rounds {
        let mut tasks = Vec::new();
        for lane in &lanes {
            let (publisher, consumer) = (lane.clone(), lane.clone());
            tasks.push(runtime.spawn(async move { publisher.publish(amqp).await }));
            tasks.push(runtime.spawn(async move { consumer.consume(amqp).await }));
        }
        // The kill waits for progress, not for time: a different number of confirms every round.
        let (goal, begun) = (confirmed() + 20 + (round * 337) % 4000, Instant::now());
        while confirmed() < goal {
            assert!(begun.elapsed() < ROUND_MAX, "round {round}: too few are confirmed");
            thread::yield_now();
        }
        daemon.kill();
        for mut task in tasks {
            runtime.block_on(async {
                if let Ok(end) = timeout(END_MAX, &mut task).await {
                    end.unwrap().expect_err("its daemon is gone");
                } else {
                    task.abort();
                    // It is cancelled or at its end: nothing more is written into the books.
                    let _ = task.await;
                }
            });
        }
        daemon.restart();
    }
    let drains: Vec<_> =
        lanes.iter().cloned().map(|lane| runtime.spawn(async move { lane.drain(amqp).await })).collect();
    for drain in drains {
        let drained =
            runtime.block_on(async { timeout(ROUND_MAX, drain).await }).expect("a drain comes to its end");
        assert!(drained.unwrap().unwrap() > 0, "there was nothing left to drain");
    }
    let sums: Vec<_> = lanes.iter().map(|lane| lane.sums()).collect();
    let again = sums.iter().map(|sums| sums.again).sum::<usize>();
    println!("{rounds} rounds of kill -9: {} confirmed, {again} came again", confirmed());
    assert!(again > 0, "nothing was held at any kill");
    assert!(daemon.stop(), "the daemon stops cleanly");
    sums
}
