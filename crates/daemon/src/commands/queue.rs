//! `forebay queue`: what there is to say about queues, and looking after them.

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::client::{self, Client, segment};
use super::{messages, show};
use crate::config::value::{Span, Value as _};
use crate::failure::Failure;

/// The part of the command line.
pub(crate) fn command() -> Command {
    let setting = |name: &'static str, shape: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(shape).help(help)
    };
    let create = Command::new("create")
        .about("Declares a queue; again with the same settings changes nothing")
        .args([
            name(),
            setting("attempt-max", "N", "Attempts before a message is dead-lettered").value_parser(whole()),
            setting("backoff-first", "TIME", "Wait after the first failure, doubled for each further one"),
            setting("backoff-longest", "TIME", "The wait never grows longer"),
            setting("backoff-jitter", "SHARE", "Share of the wait that is random, 0.0 to 1.0")
                .value_parser(clap::value_parser!(f64)),
            setting("hold", "TIME", "How long a delivery is held for its consumer"),
            setting("dead-letter", "QUEUE", "Where dead letters go"),
            setting("length-max", "N", "Most messages in the queue").value_parser(whole()),
            setting("overflow", "WHAT", "What happens to a publish at that length")
                .value_parser(["reject", "drop-head"]),
            setting("order", "WHAT", "What is kept in order; with key, one message of a key at a time")
                .value_parser(["arrival", "key"]),
            setting("priority-max", "0..255", "Greatest priority that is told apart")
                .value_parser(clap::value_parser!(u8)),
            setting("dedup-window", "TIME", "How long a message with a dedup id is not taken again"),
            setting("retain", "TIME", "How long acknowledged messages are kept to be replayed"),
            Arg::new("newest-by-key")
                .long("newest-by-key")
                .action(ArgAction::SetTrue)
                .help("Of waiting messages with one key only the newest is kept"),
        ]);
    Command::new("queue")
        .about("Looks after the queues of a running daemon")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(client::arguments())
        .subcommand(Command::new("list").about("Lists all queues"))
        .subcommand(create)
        .subcommand(Command::new("show").about("Shows a queue's settings and state").arg(name()))
        .subcommands(messages::commands())
        .subcommand(
            Command::new("redrive")
                .about("Sends the dead letters in a dead-letter queue back to where they came from")
                .args([name(), messages::count("At most so many; 1000 unless said otherwise")]),
        )
        .subcommand(Command::new("pause").about("Stops handing out a queue's messages").arg(name()))
        .subcommand(Command::new("resume").about("Hands out a paused queue's messages again").arg(name()))
        .subcommand(Command::new("purge").about("Throws away all ready and delayed messages").arg(name()))
        .subcommand(Command::new("delete").about("Deletes a queue and its messages").arg(name()))
}

/// The queue's name.
pub(crate) fn name() -> Arg {
    Arg::new("name").value_name("QUEUE").required(true)
}

fn whole() -> clap::builder::ValueParser {
    clap::value_parser!(u64).into()
}

/// A time after a flag, in milliseconds.
pub(crate) fn milliseconds(matches: &ArgMatches, flag: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = matches.get_one::<String>(flag) else { return Ok(None) };
    let Span(time) = Span::read(text).map_err(|expected| Failure::usage(format!("--{flag}: {expected}")))?;
    Ok(Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

/// `/v1/queues/NAME` and what follows.
pub(crate) fn path(matches: &ArgMatches, rest: &str) -> String {
    let name = matches.get_one::<String>("name").map(String::as_str).unwrap_or_default();
    format!("/v1/queues/{}{rest}", segment(name))
}

/// Runs one of the subcommands.
pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let client = Client::new(matches)?;
    let json = matches.get_flag("json");
    let Some((verb, matches)) = matches.subcommand() else { return Ok(ExitCode::SUCCESS) };
    client::run(async {
        match verb {
            "list" => list(&client, json).await,
            "create" => create(&client, matches, json).await,
            "show" => details(&client, matches, json).await,
            "redrive" => redrive(&client, matches, json).await,
            "pause" => pause(&client, matches, "/pause", "the queue is paused").await,
            "resume" => pause(&client, matches, "/resume", "the queue goes on").await,
            "purge" => purge(&client, matches, json).await,
            "delete" => delete(&client, matches).await,
            _ => messages::run(verb, &client, matches, json).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.ask(Method::GET, "/v1/queues".into()).await?;
    if json {
        return show::raw(&answer);
    }
    let body = answer.json()?;
    let queues = body["queues"].as_array().map(Vec::as_slice).unwrap_or_default();
    let columns = ["name", "ready", "held", "delayed", "published", "acked", "dead_lettered"];
    let rows: Vec<Vec<String>> = queues
        .iter()
        .map(|queue| {
            let mut row: Vec<String> = columns.iter().map(|column| show::text(&queue[*column])).collect();
            row.push(show::span(&queue["oldest_ms"]));
            row
        })
        .collect();
    show::table(&["QUEUE", "READY", "HELD", "DELAYED", "PUBLISHED", "ACKED", "DEAD", "OLDEST"], &rows)
}

async fn create(client: &Client, matches: &ArgMatches, json: bool) -> Result<(), Failure> {
    let mut settings = Map::new();
    for (flag, field) in [("attempt-max", "attempt_max"), ("length-max", "length_max")] {
        if let Some(number) = matches.get_one::<u64>(flag) {
            settings.insert(field.into(), json!(number));
        }
    }
    for (flag, field) in [
        ("backoff-first", "backoff_first_ms"),
        ("backoff-longest", "backoff_longest_ms"),
        ("hold", "hold_ms"),
        ("dedup-window", "dedup_window_ms"),
        ("retain", "retain_ms"),
    ] {
        if let Some(ms) = milliseconds(matches, flag)? {
            settings.insert(field.into(), json!(ms));
        }
    }
    if let Some(jitter) = matches.get_one::<f64>("backoff-jitter") {
        settings.insert("backoff_jitter".into(), json!(jitter));
    }
    if let Some(queue) = matches.get_one::<String>("dead-letter") {
        settings.insert("dead_letter".into(), json!(queue));
    }
    if let Some(overflow) = matches.get_one::<String>("overflow") {
        settings.insert("overflow".into(), json!(overflow.replace('-', "_")));
    }
    if let Some(order) = matches.get_one::<String>("order") {
        settings.insert("order".into(), json!(order));
    }
    if let Some(priority) = matches.get_one::<u8>("priority-max") {
        settings.insert("priority_max".into(), json!(priority));
    }
    if matches.get_flag("newest-by-key") {
        settings.insert("newest_by_key".into(), json!(true));
    }
    let answer = client.ask_with(Method::PUT, path(matches, ""), &Value::Object(settings)).await?;
    if json { show::raw(&answer) } else { show::line("the queue is there") }
}

async fn details(client: &Client, matches: &ArgMatches, json: bool) -> Result<(), Failure> {
    let answer = client.ask(Method::GET, path(matches, "")).await?;
    if json {
        return show::raw(&answer);
    }
    let queue = answer.json()?;
    let spans =
        ["backoff_first_ms", "backoff_longest_ms", "hold_ms", "oldest_ms", "dedup_window_ms", "retain_ms"];
    let names = [
        "name",
        "paused",
        "ready",
        "held",
        "delayed",
        "oldest_ms",
        "published",
        "delivered",
        "acked",
        "retried",
        "dead_lettered",
        "dropped",
        "repeated",
        "dedup_forgotten",
        "retained",
        "retained_dropped",
        "attempt_max",
        "backoff_first_ms",
        "backoff_longest_ms",
        "backoff_jitter",
        "hold_ms",
        "dead_letter",
        "length_max",
        "overflow",
        "order",
        "priority_max",
        "dedup_window_ms",
        "retain_ms",
        "newest_by_key",
    ];
    let pairs: Vec<(&str, String)> = names
        .iter()
        .map(|name| {
            let value = &queue[*name];
            let shown = if spans.contains(name) { show::span(value) } else { show::text(value) };
            (name.trim_end_matches("_ms"), shown)
        })
        .collect();
    show::fields(&pairs)
}

async fn redrive(client: &Client, matches: &ArgMatches, json: bool) -> Result<(), Failure> {
    let body = match matches.get_one::<u64>("count") {
        Some(count) => json!({ "count_max": count }),
        None => json!({}),
    };
    let answer = client.ask_with(Method::POST, path(matches, "/redrive"), &body).await?;
    if json {
        return show::raw(&answer);
    }
    show::line(&format!("{} sent back", show::text(&answer.json()?["redriven"])))
}

async fn pause(client: &Client, matches: &ArgMatches, verb: &str, done: &str) -> Result<(), Failure> {
    client.ask(Method::POST, path(matches, verb)).await?;
    show::line(done)
}

async fn purge(client: &Client, matches: &ArgMatches, json: bool) -> Result<(), Failure> {
    let answer = client.ask(Method::POST, path(matches, "/purge")).await?;
    if json {
        return show::raw(&answer);
    }
    show::line(&format!("{} thrown away", show::text(&answer.json()?["purged"])))
}

async fn delete(client: &Client, matches: &ArgMatches) -> Result<(), Failure> {
    client.ask(Method::DELETE, path(matches, "")).await?;
    show::line("the queue is gone")
}
