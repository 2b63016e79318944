//! `forebay queue publish`, `receive`, `ack`, `nack`, `peek`, `find`, `dead-letters`: messages by hand.

use std::io::{self, Read};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Arg, ArgAction, ArgMatches, Command};
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::client::{Answer, Client, Question, segment};
use super::declared::milliseconds;
use super::queue::{name, path};
use super::show;
use crate::failure::Failure;

/// Messages that one request carries.
const BATCH: usize = 1_000;

/// `--count N`.
pub(crate) fn count(help: &'static str) -> Arg {
    Arg::new("count").long("count").value_name("N").value_parser(clap::value_parser!(u64)).help(help)
}

/// The part of the command line.
pub(crate) fn commands() -> Vec<Command> {
    let flag = |name: &'static str, shape: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(shape).help(help)
    };
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let delivery = || Arg::new("delivery").value_name("DELIVERY").required(true).help("As receive named it");
    vec![
        Command::new("publish").about("Publishes a message and returns once it is durable").args([
            name(),
            Arg::new("payload")
                .value_name("TEXT")
                .help("The body; without it standard input is read to its end"),
            switch("lines", "Every line of standard input is a message of its own").conflicts_with("payload"),
            flag("id", "ID", "Names the message").conflicts_with("lines"),
            flag("key", "KEY", "Ordering key"),
            flag("content-type", "TYPE", "What the body is"),
            flag("header", "NAME=VALUE", "A header; may be repeated").action(ArgAction::Append),
            flag("delay", "TIME", "Not delivered before it has passed"),
            flag("expires-in", "TIME", "Not delivered after it has passed"),
            flag("priority", "0..255", "Greater goes first").value_parser(clap::value_parser!(u8)),
            flag("dedup-id", "ID", "Not taken again within the queue's window").conflicts_with("lines"),
        ]),
        Command::new("receive").about("Takes messages and holds them").args([
            name(),
            count("At most so many; 1 unless said otherwise"),
            flag("wait", "TIME", "How long to wait for the first, at most 30s"),
            flag("hold", "TIME", "How long each is held"),
            switch("ack", "Acknowledges each once it is printed"),
        ]),
        Command::new("ack").about("Says that the work is done").args([name(), delivery()]),
        Command::new("nack").about("Says that the work is not done; it is tried again").args([
            name(),
            delivery(),
            flag("note", "TEXT", "What went wrong"),
            switch("reject", "It can never work: dead-letter it at once"),
            switch("return", "Give it back untouched, without using an attempt").conflicts_with("reject"),
        ]),
        Command::new("peek")
            .about("Looks at ready messages without taking them")
            .args([name(), count("At most so many; 10 unless said otherwise")]),
        Command::new("find")
            .about("Looks a message up by its id, wherever in the queue it is")
            .args([name(), Arg::new("id").value_name("ID").required(true).help("The message's id")]),
        Command::new("dead-letters")
            .about("Looks at a queue's dead letters, with their reasons")
            .args([name(), count("At most so many; 10 unless said otherwise")]),
    ]
}

/// Runs one of them.
pub(crate) async fn run(
    verb: &str,
    client: &Client,
    matches: &ArgMatches,
    json: bool,
) -> Result<(), Failure> {
    match verb {
        "publish" => publish(client, matches, json).await,
        "receive" => receive(client, matches, json).await,
        "ack" => {
            client.ask(Method::POST, delivery_path(matches, "ack")).await?;
            show::line("done")
        }
        "nack" => nack(client, matches, json).await,
        "find" => find(client, matches, json).await,
        "peek" => peek(client, matches, "/messages", json).await,
        _ => peek(client, matches, "/dead-letters", json).await,
    }
}

fn delivery_path(matches: &ArgMatches, verb: &str) -> String {
    let delivery = matches.get_one::<String>("delivery").map(String::as_str).unwrap_or_default();
    path(matches, &format!("/deliveries/{}/{verb}", segment(delivery)))
}

async fn publish(client: &Client, matches: &ArgMatches, json: bool) -> Result<(), Failure> {
    let template = template(matches)?;
    let with_payload = |payload: &[u8]| {
        let mut message = template.clone();
        match std::str::from_utf8(payload) {
            Ok(text) => message.insert("payload".into(), text.into()),
            Err(_) => message.insert("payload_base64".into(), STANDARD.encode(payload).into()),
        };
        Value::Object(message)
    };
    let payload = match matches.get_one::<String>("payload") {
        Some(text) => text.clone().into_bytes(),
        None => read_input()?,
    };
    let messages: Vec<Value> = if matches.get_flag("lines") {
        let lines = payload.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines.filter(|line| !line.is_empty()).map(with_payload).collect()
    } else {
        vec![with_payload(&payload)]
    };
    for batch in messages.chunks(BATCH) {
        let answer =
            client.ask_with(Method::POST, path(matches, "/messages"), &json!({ "messages": batch })).await?;
        if json {
            show::raw(&answer)?;
            continue;
        }
        for id in answer.json()?["ids"].as_array().map(Vec::as_slice).unwrap_or_default() {
            show::line(&show::text(id))?;
        }
    }
    Ok(())
}

/// Everything of a message but its payload.
fn template(matches: &ArgMatches) -> Result<Map<String, Value>, Failure> {
    let mut message = Map::new();
    for (flag, field) in
        [("id", "id"), ("key", "key"), ("content-type", "content_type"), ("dedup-id", "dedup_id")]
    {
        if let Some(text) = matches.get_one::<String>(flag) {
            message.insert(field.into(), text.as_str().into());
        }
    }
    for (flag, field) in [("delay", "delay_ms"), ("expires-in", "expires_in_ms")] {
        if let Some(ms) = milliseconds(matches, flag)? {
            message.insert(field.into(), ms.into());
        }
    }
    if let Some(priority) = matches.get_one::<u8>("priority") {
        message.insert("priority".into(), (*priority).into());
    }
    let mut headers = Map::new();
    for header in matches.get_many::<String>("header").into_iter().flatten() {
        let (name, value) =
            header.split_once('=').ok_or_else(|| Failure::usage("--header: expected NAME=VALUE"))?;
        headers.insert(name.into(), value.into());
    }
    if !headers.is_empty() {
        message.insert("headers".into(), headers.into());
    }
    Ok(message)
}

/// Standard input to its end, within what one process should hold.
pub(crate) fn read_input() -> Result<Vec<u8>, Failure> {
    const INPUT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
    let mut input = Vec::new();
    let read = io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_end(&mut input);
    read.map_err(|reason| Failure::new(format!("read standard input: {reason}")))?;
    if input.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::new("read standard input: more than 1 GiB"));
    }
    Ok(input)
}

async fn receive(client: &Client, matches: &ArgMatches, json: bool) -> Result<(), Failure> {
    let wait_ms = milliseconds(matches, "wait")?.unwrap_or(0);
    let mut body = json!({ "wait_ms": wait_ms });
    if let Some(count) = matches.get_one::<u64>("count") {
        body["count_max"] = (*count).into();
    }
    if let Some(ms) = milliseconds(matches, "hold")? {
        body["hold_ms"] = ms.into();
    }
    let answer = client
        .send(Question {
            headers: &[(CONTENT_TYPE, "application/json")],
            body: body.to_string().into(),
            wait: Duration::from_millis(wait_ms),
            ..Question::new(Method::POST, path(matches, "/receive"))
        })
        .await?;
    let body = answer.json()?;
    let deliveries = body["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default();
    if json {
        show::raw(&answer)?;
    } else {
        let rows: Vec<Vec<String>> = deliveries
            .iter()
            .map(|delivery| {
                let fields = ["delivery", "id", "attempt"].map(|field| show::text(&delivery[field]));
                fields.into_iter().chain([payload(delivery)]).collect()
            })
            .collect();
        show::table(&["DELIVERY", "ID", "ATTEMPT", "PAYLOAD"], &rows)?;
    }
    if matches.get_flag("ack") {
        for delivery in deliveries {
            let id = segment(delivery["delivery"].as_str().unwrap_or_default());
            client.ask(Method::POST, path(matches, &format!("/deliveries/{id}/ack"))).await?;
        }
    }
    Ok(())
}

fn payload(message: &Value) -> String {
    match message["payload"].as_str() {
        Some(text) => show::harmless(text),
        None => format!("base64:{}", show::text(&message["payload_base64"])),
    }
}

async fn nack(client: &Client, matches: &ArgMatches, json: bool) -> Result<(), Failure> {
    let mut body = json!({ "reject": matches.get_flag("reject"), "return": matches.get_flag("return") });
    if let Some(note) = matches.get_one::<String>("note") {
        body["note"] = note.as_str().into();
    }
    let answer = client.ask_with(Method::POST, delivery_path(matches, "nack"), &body).await?;
    if json {
        return show::raw(&answer);
    }
    let outcome = answer.json()?;
    match outcome["outcome"].as_str() {
        Some("retry") => show::line(&format!("tried again at {} ms", show::text(&outcome["at_ms"]))),
        Some("dead_letter") => show::line("dead-lettered"),
        _ => show::line("given back"),
    }
}

async fn find(client: &Client, matches: &ArgMatches, json: bool) -> Result<(), Failure> {
    let id = matches.get_one::<String>("id").map(String::as_str).unwrap_or_default();
    let answer = client.ask(Method::GET, path(matches, &format!("/messages/{}", segment(id)))).await?;
    if json {
        return show::raw(&answer);
    }
    let message = answer.json()?;
    let names = ["id", "place", "until_ms", "attempt", "priority", "key", "published_at_ms"];
    let shown = names.map(|name| (name, show::text(&message[name])));
    let pairs: Vec<_> = shown.into_iter().chain([("payload", payload(&message))]).collect();
    show::fields(&pairs)
}

async fn peek(client: &Client, matches: &ArgMatches, place: &str, json: bool) -> Result<(), Failure> {
    let query = match matches.get_one::<u64>("count") {
        Some(count) => format!("{place}?count_max={count}"),
        None => place.to_owned(),
    };
    let answer: Answer = client.ask(Method::GET, path(matches, &query)).await?;
    if json {
        return show::raw(&answer);
    }
    let body = answer.json()?;
    let rows: Vec<Vec<String>> = body["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|message| {
            let last =
                message["history"].as_array().and_then(|history| history.last()).unwrap_or(&Value::Null);
            let reason = match last["note"].as_str() {
                Some(note) => format!("{}: {}", show::text(&last["reason"]), show::harmless(note)),
                None => show::text(&last["reason"]),
            };
            vec![
                show::text(&message["id"]),
                show::text(&message["attempt"]),
                show::text(&last["queue"]),
                reason,
                payload(message),
            ]
        })
        .collect();
    show::table(&["ID", "ATTEMPT", "FROM", "REASON", "PAYLOAD"], &rows)
}
