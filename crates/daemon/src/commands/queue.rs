//! `forebay queue`: what there is to say about queues, and looking after them.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use hyper::Method;
use serde_json::json;

use super::client::{self, Client, segment};
use super::{declared, messages, show};
use crate::failure::Failure;

/// The part of the command line.
pub(crate) fn command() -> Command {
    let create = Command::new("create")
        .about("Declares a queue; again with the same settings changes nothing")
        .arg(name())
        .args(declared::flags());
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
    let settings = declared::asked(matches)?;
    let answer = client.ask_with(Method::PUT, path(matches, ""), &settings).await?;
    if json { show::raw(&answer) } else { show::line("the queue is there") }
}

async fn details(client: &Client, matches: &ArgMatches, json: bool) -> Result<(), Failure> {
    let answer = client.ask(Method::GET, path(matches, "")).await?;
    if json {
        return show::raw(&answer);
    }
    let queue = answer.json()?;
    let state = [
        "name",
        "paused",
        "ready",
        "held",
        "delayed",
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
    ];
    let mut pairs: Vec<(&str, String)> =
        state.iter().map(|name| (*name, show::text(&queue[*name]))).collect();
    pairs.push(("oldest", show::span(&queue["oldest_ms"])));
    pairs.extend(declared::shown(&queue));
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
