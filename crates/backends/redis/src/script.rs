//! Scripts that the server runs in one step, named by their hash once it knows them.

use std::error::Error as _;

use forebay_core::error::{Error, Kind, Result};
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::time::Instant;

use crate::link::{About, Link, Standing, bytes_of};

/// A script and its hash.
pub(crate) struct Script {
    code: String,
    hash: String,
}

/// What a script is called with.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) about: About<'a>,
    /// When the answer must have come; `None` is the settings' time from when there is a connection.
    pub(crate) end: Option<Instant>,
    pub(crate) keys: &'a [&'a [u8]],
    pub(crate) arguments: &'a [&'a [u8]],
}

impl Script {
    /// The parts stand one behind the other.
    pub(crate) fn new(parts: &[&str]) -> Self {
        let code = parts.concat();
        let hash = redis::Script::new(&code).get_hash().to_owned();
        Self { code, hash }
    }

    /// Runs it over the connection that stands, or comes within the settings' patience.
    pub(crate) async fn run(&self, link: &Link, call: Call<'_>) -> Result<Value> {
        let standing = link.stand(call.about, link.settings.patience).await?;
        self.run_on(link, standing, call).await
    }

    /// Runs it over this connection. Where the server does not know it yet, which it says before it does anything, it is told it
    /// in what is left of the time.
    pub(crate) async fn run_on(&self, link: &Link, standing: Standing, call: Call<'_>) -> Result<Value> {
        let command = self.command("EVALSHA", &self.hash, call);
        let end = call.end.unwrap_or_else(|| link.end_of(bytes_of(&command)));
        match link.ask_on(call.about, standing.clone(), &command, end).await {
            Err(error) if is_unknown(&error) => {
                let command = self.command("EVAL", &self.code, call);
                link.ask_on(call.about, standing, &command, end).await
            }
            answer => answer,
        }
    }

    fn command(&self, verb: &str, script: &str, call: Call<'_>) -> Cmd {
        let mut command = redis::cmd(verb);
        command.arg(script).arg(call.keys.len()).arg(call.keys).arg(call.arguments);
        command
    }
}

fn is_unknown(error: &Error) -> bool {
    is_because_of(error, ServerErrorKind::NoScript)
}

/// The keys are another server's by now. Nothing was done.
pub(crate) fn is_moved(error: &Error) -> bool {
    is_because_of(error, ServerErrorKind::Moved)
}

fn is_because_of(error: &Error, kind: ServerErrorKind) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<RedisError>());
    cause.is_some_and(|cause| cause.kind() == ErrorKind::Server(kind))
}

/// An answer that no script of ours gives: somebody else writes to our keys.
pub(crate) fn strange(about: About<'_>) -> Error {
    about.error(Kind::Damaged).because("the server's answer is not of the form that was agreed")
}
