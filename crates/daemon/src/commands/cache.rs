//! `forebay cache`: values by hand.

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use hyper::Method;
use hyper::header::IF_NONE_MATCH;

use super::client::{self, Client, Question, segment};
use super::declared::milliseconds;
use super::messages::read_input;
use super::show;
use crate::failure::Failure;

/// The part of the command line.
pub(crate) fn command() -> Command {
    let key = || Arg::new("key").value_name("KEY").required(true);
    Command::new("cache")
        .about("Reads and writes the cache of a running daemon")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(client::arguments())
        .subcommand(Command::new("get").about("Prints a value; fails where there is none").arg(key()))
        .subcommand(
            Command::new("set").about("Writes a value").args([
                key(),
                Arg::new("value").value_name("TEXT").help("Without it standard input is read to its end"),
                Arg::new("ttl")
                    .long("ttl")
                    .value_name("TIME")
                    .help("Its life; without it the value does not expire"),
                Arg::new("add").long("add").action(ArgAction::SetTrue).help("Only where there is none"),
            ]),
        )
        .subcommand(Command::new("delete").about("Deletes a value").arg(key()))
        .subcommand(Command::new("stats").about("Shows the state of the cache"))
        .subcommand(Command::new("top").about("Shows the keys that were read most of late, from a sample"))
}

/// Runs one of the subcommands.
pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let client = Client::new(matches)?;
    let json = matches.get_flag("json");
    let Some((verb, matches)) = matches.subcommand() else { return Ok(ExitCode::SUCCESS) };
    client::run(async {
        match verb {
            "get" => show::bytes(&client.ask(Method::GET, path(matches)).await?.body),
            "set" => set(&client, matches).await,
            "delete" => client.ask(Method::DELETE, path(matches)).await.map(|_| ()),
            "top" => top(&client, json).await,
            _ => stats(&client, json).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn path(matches: &ArgMatches) -> String {
    let key = matches.get_one::<String>("key").map(String::as_str).unwrap_or_default();
    format!("/v1/cache/{}", segment(key))
}

async fn set(client: &Client, matches: &ArgMatches) -> Result<(), Failure> {
    let mut path = path(matches);
    if let Some(ms) = milliseconds(matches, "ttl")? {
        path.push_str(&format!("?ttl_ms={ms}"));
    }
    let body = match matches.get_one::<String>("value") {
        Some(text) => text.clone().into_bytes(),
        None => read_input()?,
    };
    let only_new = [(IF_NONE_MATCH, "*")];
    let headers: &[_] = if matches.get_flag("add") { &only_new } else { &[] };
    client.send(Question { headers, body: body.into(), ..Question::new(Method::PUT, path) }).await?;
    Ok(())
}

async fn stats(client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.ask(Method::GET, "/v1/cache".into()).await?;
    if json {
        return show::raw(&answer);
    }
    let stats = answer.json()?;
    let (hits, misses) = (stats["hits"].as_f64().unwrap_or(0.0), stats["misses"].as_f64().unwrap_or(0.0));
    let ratio =
        if hits + misses > 0.0 { format!("{:.1} %", 100.0 * hits / (hits + misses)) } else { "-".into() };
    let names = [
        "items",
        "bytes",
        "bytes_max",
        "hits",
        "misses",
        "writes",
        "replaced",
        "removed",
        "evicted",
        "evicted_unread",
        "evicted_by_resize",
        "expired",
        "flushed",
    ];
    let mut pairs: Vec<(&str, String)> =
        names.iter().map(|name| (*name, show::text(&stats[*name]))).collect();
    pairs.push(("hit ratio", ratio));
    show::fields(&pairs)
}

async fn top(client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.ask(Method::GET, "/v1/cache".into()).await?;
    let state = answer.json()?;
    if json {
        return show::line(&state["top"].to_string());
    }
    let empty = Vec::new();
    let rows = state["top"].as_array().unwrap_or(&empty).iter();
    let rows: Vec<_> =
        rows.map(|top| ["key", "reads", "reads_error"].map(|name| show::text(&top[name])).to_vec()).collect();
    show::table(&["key", "reads", "of which may be others'"], &rows)
}
