//! A connection whose other end is the test.

use std::future::poll_fn;
use std::time::Duration;

use forebay_core::limits::MEMCACHED_SENT_CALLS_MAX;
use forebay_wire::memcached::reply::Code;
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const META: Dialect = Dialect::Meta { numbers_ours: false };

fn linked() -> (Arc<Link>, DuplexStream, JoinHandle<io::Error>) {
    let (ours, theirs) = duplex(1 << 20);
    let (link, calls) = Link::new(1, 0, META);
    (Arc::new(link), theirs, tokio::spawn(carry(ours, calls)))
}

fn looks(first: u64, count: u64) -> Commands {
    let mut commands = Commands::new(first, META);
    (0..count).for_each(|_| commands.look(b"k"));
    commands
}

async fn expect(server: &mut DuplexStream, text: &[u8]) {
    let mut read = vec![0; text.len()];
    server.read_exact(&mut read).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(text));
}

#[tokio::test]
async fn replies_go_to_their_callers_in_order() {
    let (link, mut server, _task) = linked();
    let one = link.send(looks(10, 1)).await.unwrap();
    let two = link.send(looks(20, 2)).await.unwrap();
    expect(&mut server, b"mg k f c O10\r\nmg k f c O20\r\nmg k f c O21\r\n").await;
    server.write_all(b"EN O10\r\nVA 1 O20\r\na\r\nEN O21\r\n").await.unwrap();
    assert_eq!(one.await.unwrap()[0].code, Code::Miss);
    let two = two.await.unwrap();
    assert_eq!((&*two[0].body, two[1].code), (&b"a"[..], Code::Miss));
}

/// Lets the connection's task do what it can.
async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

#[tokio::test]
async fn who_is_alone_writes_to_the_connection_itself() {
    let (link, mut server, _task) = linked();
    settle().await;
    let one = link.send(looks(10, 1)).await.unwrap();
    // The task has had no turn yet.
    let mut read = [0; 14];
    assert_eq!(server.read_exact(&mut read).now_or_never().unwrap().unwrap(), 14);
    let two = link.send(looks(20, 1)).await.unwrap();
    assert!(server.read_u8().now_or_never().is_none(), "the next one waits for others");
    expect(&mut server, b"mg k f c O20\r\n").await;
    server.write_all(b"EN O10\r\nEN O20\r\n").await.unwrap();
    assert!(one.await.is_some() && two.await.is_some());
}

#[tokio::test]
async fn what_the_connection_does_not_take_at_once_goes_before_all_else() {
    let (ours, mut server) = duplex(5);
    let (link, calls) = Link::new(1, 0, META);
    let _task = tokio::spawn(carry(ours, calls));
    settle().await;
    let one = link.send(looks(10, 2)).await.unwrap();
    let two = link.send(looks(20, 1)).await.unwrap();
    expect(&mut server, b"mg k f c O10\r\nmg k f c O11\r\nmg k f c O20\r\n").await;
    server.write_all(b"EN O10\r\nEN O11\r\nEN O20\r\n").await.unwrap();
    assert_eq!((one.await.unwrap().len(), two.await.unwrap().len()), (2, 1));
}

#[tokio::test]
async fn callers_that_come_together_share_a_write_until_one_comes_alone() {
    let (link, mut server, _task) = linked();
    settle().await;
    let mut all = Vec::new();
    for number in 0..3 {
        all.push(link.send(looks(number, 1)).await.unwrap());
    }
    expect(&mut server, b"mg k f c O0\r\nmg k f c O1\r\nmg k f c O2\r\n").await;
    server.write_all(b"EN O0\r\nEN O1\r\nEN O2\r\n").await.unwrap();
    for call in all {
        call.await.unwrap();
    }
    for (number, by_itself) in [(3, false), (4, true)] {
        let call = link.send(looks(number, 1)).await.unwrap();
        let mut read = vec![0; 13];
        let at_once = server.read_exact(&mut read).now_or_never().is_some();
        assert_eq!(at_once, by_itself, "call {number}");
        if !at_once {
            server.read_exact(&mut read).await.unwrap();
        }
        server.write_all(format!("EN O{number}\r\n").as_bytes()).await.unwrap();
        call.await.unwrap();
    }
}

#[tokio::test]
async fn who_was_sent_when_the_connection_is_dropped_is_told_so() {
    let (link, _server, task) = linked();
    settle().await;
    let call = link.send(looks(3, 1)).await.unwrap();
    task.abort();
    assert!(call.await.is_none() && link.has_ended());
    assert!(link.call(looks(9, 1)).await.is_none());
}

#[tokio::test]
async fn who_gives_up_disturbs_nobody() {
    let (link, mut server, _task) = linked();
    let gone = link.send(looks(1, 1)).await.unwrap();
    expect(&mut server, b"mg k f c O1\r\n").await;
    drop(gone);
    let stays = link.send(looks(2, 1)).await.unwrap();
    expect(&mut server, b"mg k f c O2\r\n").await;
    server.write_all(b"VA 5 O1\r\nother\r\nVA 3 O2\r\nown\r\n").await.unwrap();
    assert_eq!(&*stays.await.unwrap()[0].body, b"own");
}

#[tokio::test]
async fn a_quiet_call_ends_with_its_noop_and_has_only_its_hits() {
    let (link, mut server, _task) = linked();
    let mut commands = Commands::new(5, META);
    commands.get([&b"k"[..]; 3].into_iter());
    let quiet = link.send(commands).await.unwrap();
    expect(&mut server, b"mg k v f c q O5\r\nmg k v f c q O6\r\nmg k v f c q O7\r\nmn\r\n").await;
    server.write_all(b"VA 1 O6\r\nx\r\nMN\r\n").await.unwrap();
    let replies = quiet.await.unwrap();
    assert_eq!(replies.iter().map(|reply| reply.marks.opaque).collect::<Vec<_>>(), [Some(6)]);
}

async fn ends_at(replies: &[u8]) {
    let (link, mut server, task) = linked();
    let call = link.send(looks(3, 1)).await.unwrap();
    expect(&mut server, b"mg k f c O3\r\n").await;
    server.write_all(replies).await.unwrap();
    let _ = call.await;
    assert_eq!(task.await.unwrap().kind(), ErrorKind::InvalidData);
    assert!(link.has_ended());
    assert!(link.call(looks(9, 1)).await.is_none());
}

#[tokio::test]
async fn a_reply_to_another_command_ends_the_connection() {
    ends_at(b"EN O4\r\n").await;
    ends_at(b"EN O3\r\nEN O3\r\n").await;
    ends_at(b"what\r\n").await;
}

#[tokio::test]
async fn more_replies_than_were_asked_for_end_the_connection() {
    let (link, mut server, task) = linked();
    let mut commands = Commands::new(5, META);
    commands.get([&b"k"[..]; 2].into_iter());
    let call = link.send(commands).await.unwrap();
    server.write_all(b"VA 1 O5\r\nx\r\nVA 1 O6\r\nx\r\nVA 1 O6\r\nx\r\nMN\r\n").await.unwrap();
    assert!(call.await.is_none());
    assert_eq!(task.await.unwrap().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn the_end_of_the_connection_ends_every_call() {
    let (link, mut server, task) = linked();
    let call = link.send(looks(3, 1)).await.unwrap();
    expect(&mut server, b"mg k f c O3\r\n").await;
    drop(server);
    assert!(call.await.is_none());
    task.await.unwrap();
    assert!(link.has_ended());
}

#[tokio::test]
async fn no_more_is_sent_than_may_be_unanswered_and_all_goes_on_after_it() {
    let (link, mut server, _task) = linked();
    let total = MEMCACHED_SENT_CALLS_MAX as u64 + 100;
    let all = link.clone();
    let calls = tokio::spawn(async move {
        let mut waiting = Vec::new();
        for number in 0..total {
            waiting.push(all.send(looks(number, 1)).await.unwrap());
        }
        for call in waiting {
            call.await.unwrap();
        }
    });
    for number in 0..total {
        expect(&mut server, format!("mg k f c O{number}\r\n").as_bytes()).await;
        if number + 1 >= MEMCACHED_SENT_CALLS_MAX as u64 {
            let answered = number + 1 - MEMCACHED_SENT_CALLS_MAX as u64;
            server.write_all(format!("EN O{answered}\r\n").as_bytes()).await.unwrap();
        }
    }
    for number in 101..MEMCACHED_SENT_CALLS_MAX as u64 + 100 {
        server.write_all(format!("EN O{number}\r\n").as_bytes()).await.unwrap();
    }
    calls.await.unwrap();
}

#[tokio::test]
async fn a_value_larger_than_any_buffer_comes_whole() {
    let (link, mut server, _task) = linked();
    let call = link.send(looks(1, 1)).await.unwrap();
    let value = vec![b'v'; 3_000_000];
    let send = value.clone();
    tokio::spawn(async move {
        server.write_all(b"VA 3000000 O1\r\n").await.unwrap();
        server.write_all(&send).await.unwrap();
        server.write_all(b"\r\n").await.unwrap();
    });
    assert!(*call.await.unwrap()[0].body == value[..]);
}

/// Asks once for what is waited for, as whoever else has to do something first.
async fn look(answer: &mut Answer) -> bool {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *answer).poll(context).is_ready())).await
}

#[tokio::test]
async fn who_is_alone_reads_its_reply_itself() {
    let (link, mut server, _task) = linked();
    settle().await;
    for number in 0..3 {
        let mut one = link.send(looks(number, 1)).await.unwrap();
        expect(&mut server, format!("mg k f c O{number}\r\n").as_bytes()).await;
        assert!(!look(&mut one).await, "call {number}");
        server.write_all(format!("EN O{number}\r\n").as_bytes()).await.unwrap();
        // The task has had no turn since.
        assert!(one.now_or_never().is_some(), "call {number}");
    }
}

#[tokio::test]
async fn who_is_given_up_in_the_middle_of_its_reply_leaves_the_rest_to_others() {
    for is_polled_on in [false, true] {
        let (link, mut server, _task) = linked();
        settle().await;
        let mut gone = link.send(looks(1, 2)).await.unwrap();
        server.write_all(b"EN O1\r\nVA 5 O2\r\nha").await.unwrap();
        assert!(!look(&mut gone).await);
        drop(gone);
        if is_polled_on {
            settle().await;
        }
        let stays = link.send(looks(10, 1)).await.unwrap();
        expect(&mut server, b"mg k f c O1\r\nmg k f c O2\r\nmg k f c O10\r\n").await;
        server.write_all(b"lf!\r\nVA 3 O10\r\nown\r\n").await.unwrap();
        assert_eq!(&*stays.await.unwrap()[0].body, b"own");
    }
}

#[tokio::test]
async fn who_joins_one_that_reads_alone_does_not_wait_for_it_to_be_polled() {
    let (link, mut server, _task) = linked();
    settle().await;
    let mut one = link.send(looks(1, 1)).await.unwrap();
    assert!(!look(&mut one).await);
    let two = link.send(looks(2, 1)).await.unwrap();
    expect(&mut server, b"mg k f c O1\r\nmg k f c O2\r\n").await;
    server.write_all(b"VA 1 O1\r\na\r\nVA 1 O2\r\nb\r\n").await.unwrap();
    assert_eq!(&*two.await.unwrap()[0].body, b"b");
    // Another one may be alone by now.
    let three = link.send(looks(3, 1)).await.unwrap();
    assert_eq!(&*one.await.unwrap()[0].body, b"a");
    server.write_all(b"VA 1 O3\r\nc\r\n").await.unwrap();
    assert_eq!(&*three.await.unwrap()[0].body, b"c");
}

#[tokio::test]
async fn who_has_its_answer_from_the_task_takes_no_others_turn() {
    let (link, mut server, _task) = linked();
    settle().await;
    let mut one = link.send(looks(1, 1)).await.unwrap();
    assert!(!look(&mut one).await);
    let two = link.send(looks(2, 1)).await.unwrap();
    expect(&mut server, b"mg k f c O1\r\nmg k f c O2\r\n").await;
    server.write_all(b"EN O1\r\nEN O2\r\n").await.unwrap();
    two.await.unwrap();
    let three = link.send(looks(3, 1)).await.unwrap();
    let waiting = tokio::spawn(three);
    settle().await;
    drop(one);
    expect(&mut server, b"mg k f c O3\r\n").await;
    server.write_all(b"EN O3\r\n").await.unwrap();
    assert!(waiting.await.unwrap().is_some());
}

#[tokio::test]
async fn the_end_of_the_connection_ends_a_call_that_reads_alone() {
    let (link, mut server, task) = linked();
    settle().await;
    let mut call = link.send(looks(3, 1)).await.unwrap();
    server.write_all(b"VA 5 O3\r\nha").await.unwrap();
    assert!(!look(&mut call).await);
    drop(server);
    assert!(call.await.is_none());
    assert_eq!(task.await.unwrap().kind(), ErrorKind::UnexpectedEof);
    assert!(link.has_ended());
}

/// Nobody reads after this, until the task takes it over again.
async fn leave_alone(link: &Link, server: &mut DuplexStream) {
    settle().await;
    let call = link.send(looks(1, 1)).await.unwrap();
    expect(server, b"mg k f c O1\r\n").await;
    server.write_all(b"EN O1\r\n").await.unwrap();
    call.await.unwrap();
    assert!(link.shared.awaited.reader.is_nobody());
}

#[tokio::test]
async fn the_end_of_a_connection_that_nobody_watches_is_seen_by_whoever_would_use_it() {
    let (link, mut server, task) = linked();
    leave_alone(&link, &mut server).await;
    assert!(!link.has_ended());
    drop(server);
    // The task has had no turn yet.
    assert!(link.has_ended());
    assert_eq!(task.await.unwrap().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn what_nobody_asked_for_ends_a_connection_that_nobody_watches() {
    let (link, mut server, task) = linked();
    leave_alone(&link, &mut server).await;
    server.write_all(b"EN O1\r\n").await.unwrap();
    assert!(link.has_ended());
    assert_eq!(task.await.unwrap().kind(), ErrorKind::InvalidData);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_watched_again_after_a_while() {
    let (link, mut server, task) = linked();
    leave_alone(&link, &mut server).await;
    drop(server);
    // Nobody looks.
    assert_eq!(task.await.unwrap().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test(start_paused = true)]
async fn the_task_watches_as_long_as_there_are_turns() {
    let (link, mut server, _task) = linked();
    let reader = &link.shared.awaited.reader;
    for _ in 0..3 {
        for _ in 0..5 {
            leave_alone(&link, &mut server).await;
            sleep(MEMCACHED_UNWATCHED_MAX / 3 * 2).await;
            assert!(reader.is_nobody(), "there was a turn within the time");
        }
        sleep(MEMCACHED_UNWATCHED_MAX * 2).await;
        assert!(reader.is_task());
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_not_polled_is_not_the_reader_for_long() {
    let (link, mut server, task) = linked();
    settle().await;
    let call = link.send(looks(1, 1)).await.unwrap();
    expect(&mut server, b"mg k f c O1\r\n").await;
    drop(server);
    assert_eq!(task.await.unwrap().kind(), ErrorKind::UnexpectedEof);
    assert!(call.await.is_none());
}

/// Numbers that differ, and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Answers each command with its own number as the value, in pieces of any length.
async fn answer_all(server: DuplexStream) {
    let (input, mut output) = tokio::io::split(server);
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(input));
    let mut numbers = Numbers(7);
    while let Ok(Some(line)) = lines.next_line().await {
        let number = line.rsplit('O').next().unwrap().to_owned();
        let reply = format!("VA {} O{number}\r\n{number}\r\n", number.len());
        let mut rest = reply.as_bytes();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(1 + numbers.below(rest.len() as u64) as usize);
            if output.write_all(piece).await.is_err() {
                return;
            }
            rest = behind;
            if numbers.below(3) == 0 {
                yield_now().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reply_goes_to_its_own_caller_whoever_gives_up() {
    const CALLERS: u64 = 4;
    const CALLS: u64 = 3_000;
    let (link, server, _task) = linked();
    let _server = tokio::spawn(answer_all(server));
    let caller = |caller: u64| {
        let link = link.clone();
        async move {
            let mut numbers = Numbers(caller);
            let mut answered = 0;
            for call in 0..CALLS {
                let number = (call * CALLERS + caller) * 10;
                let mut answer = link.send(looks(number, 1)).await.unwrap();
                match numbers.below(6) {
                    // Given up where it has come to by then.
                    0 => drop(answer),
                    1 => drop(timeout(Duration::ZERO, &mut answer).await),
                    2 => drop(look(&mut answer).await),
                    _ => {
                        let replies = answer.await.unwrap();
                        assert_eq!(&*replies[0].body, number.to_string().as_bytes());
                        answered += 1;
                    }
                }
                // Now and then nobody is there, or one alone.
                for _ in 0..numbers.below(40) {
                    yield_now().await;
                }
            }
            answered
        }
    };
    let callers: Vec<_> = (0..CALLERS).map(|number| tokio::spawn(caller(number))).collect();
    for caller in callers {
        let answered: u64 = timeout(Duration::from_secs(60), caller).await.unwrap().unwrap();
        assert!(answered > CALLS / 3);
    }
    assert!(!link.has_ended());
}
