//! `docs/backends.md` is what the backends declare. `FOREBAY_BLESS=1` writes it anew.

#![cfg(all(
    feature = "kafka",
    feature = "memcached",
    feature = "rabbitmq",
    feature = "redis",
    feature = "sqs"
))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use forebay_cache::near::alone::Alone;
use forebay_connect::declared::declared;
use forebay_core::entry::Version;
use forebay_core::limits::VALUE_BYTES_MAX_DEFAULT;
use forebay_core::limits::memory;
use forebay_core::ports::broker::{AdminCapabilities, BrokerCapabilities};
use forebay_core::ports::bus::BusCapabilities;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{RemoteCapabilities, RemoteStore};
use forebay_memory::{Memory, MemoryOptions};
use forebay_runtime::clock::TokioClock;

type Rows = Vec<(&'static str, bool)>;

/// Every field is named, so that a new one cannot be forgotten here.
fn store_rows(can: RemoteCapabilities) -> Rows {
    let RemoteCapabilities { lease, fenced_fill, conditional, arithmetic, touch, negative, tags, locks } =
        can;
    vec![
        ("One reader of a missing key, in all processes, loads it (lease)", lease),
        ("A fill never overwrites a newer write or invalidation (fence)", fenced_fill),
        ("Writes and deletes on condition of a version", conditional),
        ("Counters, exact under any concurrency", arithmetic),
        ("A new life for an entry, without writing it", touch),
        ("“There is none” is an entry of its own", negative),
        ("Removes all entries with a tag", tags),
        ("Locks with fencing tokens", locks),
    ]
}

fn broker_rows(can: BrokerCapabilities, admin: AdminCapabilities) -> Rows {
    let BrokerCapabilities {
        delay,
        dead_letter,
        extend,
        attempts,
        expired,
        length_max,
        expiry,
        order_by_key,
        priorities,
        dedup,
        place,
        lasting_holds,
        retain,
        newest_by_key,
        message_ttl,
        length_bytes_max,
        drop_head,
        dead_letter_exchange,
    } = can;
    let AdminCapabilities { list, counts, peek, find, pause } = admin;
    vec![
        ("Messages for later, and retries with backoff, kept by the broker itself", delay),
        ("Dead letters, with reason and history", dead_letter),
        ("A hold can be extended", extend),
        ("Attempts are counted over a restart", attempts),
        ("A hold that ends counts as a failed attempt, by the retry policy", expired),
        ("Messages expire", expiry),
        ("Order per key", order_by_key),
        ("Priorities", priorities),
        ("What failed goes back to its place", place),
        ("Holds outlive the process that has them", lasting_holds),
        ("Duplicates are not taken within a window (`dedup_id`)", dedup),
        ("Bounded length, publishers are refused (`length_max`)", length_max),
        ("Bounded bytes (`length_bytes_max`)", length_bytes_max),
        ("Bounded length, the oldest are dropped (`overflow`)", drop_head),
        ("A longest life for what comes in (`message_ttl`)", message_ttl),
        ("Dead letters to an exchange (`dead_letter_exchange`)", dead_letter_exchange),
        ("Finished messages are kept and replayed (`retain`)", retain),
        ("Of waiting messages with one key only the newest is kept (`newest_by_key`)", newest_by_key),
        ("Operators: the list of all queues", list),
        ("Operators: held and delayed messages, and what has happened", counts),
        ("Operators: a look at messages without taking them", peek),
        ("Operators: a message by its id", find),
        ("Operators: pause and resume", pause),
    ]
}

fn bus_rows(can: BusCapabilities) -> Rows {
    let BusCapabilities { ordered, once, replay } = can;
    vec![
        ("Notices are heard in their order", ordered),
        ("A notice is heard at most once", once),
        ("A listener can begin in the past", replay),
    ]
}

/// One table: a row for each capability, a column for each URL.
fn table(page: &mut String, what: &str, columns: &[(&str, Rows)]) {
    let heads: Vec<_> = columns.iter().map(|(url, _)| format!("`{}`", scheme(url))).collect();
    writeln!(page, "| {what} | {} |", heads.join(" | ")).unwrap();
    writeln!(page, "| --- |{}", " :-: |".repeat(columns.len())).unwrap();
    for (row, (words, _)) in columns[0].1.iter().enumerate() {
        let cells: Vec<_> = columns.iter().map(|(_, rows)| if rows[row].1 { "yes" } else { "–" }).collect();
        writeln!(page, "| {words} | {} |", cells.join(" | ")).unwrap();
    }
}

fn scheme(url: &str) -> &str {
    url.find("://").map_or(url, |end| &url[..end + 3])
}

fn page() -> String {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let declared = declared(&clock).unwrap();
    let memory = Arc::new(Memory::new(MemoryOptions {
        bytes_max: memory::BYTES_MIN,
        value_bytes_max: VALUE_BYTES_MAX_DEFAULT,
        first_version: Version(1),
    }));
    let alone = Alone::new(memory, Arc::clone(&clock));
    let mut stores = vec![("memory:", store_rows(alone.capabilities()))];
    let mut brokers =
        vec![("file:DIR", broker_rows(forebay_broker::broker::CAPABILITIES, AdminCapabilities::ALL))];
    let mut buses = vec![("file:DIR", bus_rows(forebay_broker::bus::embedded::CAPABILITIES))];
    for one in &declared {
        stores.extend(one.store.map(|can| (one.url, store_rows(can))));
        brokers.extend(one.broker.zip(one.admin).map(|(can, admin)| (one.url, broker_rows(can, admin))));
        buses.extend(one.bus.map(|can| (one.url, bus_rows(can))));
    }
    let mut page = String::from(
        "<!-- Written by `FOREBAY_BLESS=1 cargo test -p forebay-connect --all-features --test matrix`: do not edit. -->\n\n\
         # What each backend can do\n\n\
         As each declares it; the suites in `crates/contract` run what is declared, on the real server. What a backend lacks is \
         refused by name, where it is asked for: it is never imitated quietly. What a server is set to may take away more: \
         Redis has tags and locks where the server drops nothing before its time, and memcached with `failover=next` has neither leases, nor \
         fenced fills, nor exact counters.\n\n\
         ## Stores\n\n\
         Every store reads many keys at once, writes, adds, replaces and deletes.\n\n",
    );
    table(&mut page, "Store", &stores);
    page.push_str(
        "\n## Queues\n\n\
         Every broker keeps what it has confirmed, hands a message to one of many consumers, and hands it out again when that \
         one fails or is gone.\n\n",
    );
    table(&mut page, "Broker", &brokers);
    page.push_str("\n## Notices to all processes\n\nA listener hears every notice, or is told that it may have missed some.\n\n");
    table(&mut page, "Bus", &buses);
    page
}

#[test]
fn the_page_of_backends_says_what_they_declare() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/backends.md");
    let page = page();
    if std::env::var_os("FOREBAY_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/backends.md differs from what is declared: FOREBAY_BLESS=1 writes it anew"
    );
}
