//! What is answered to whom, where one has to say who one is: a `set` of name and password on a connection of the text protocol,
//! SASL's mechanism PLAIN (RFC 4616) on one of the binary.

use forebay_wire::memcached::auth::Authenticate;
use forebay_wire::memcached::binary::request::{Operation, Request, Sasl};
use forebay_wire::memcached::binary::response::{Response, write};
use forebay_wire::memcached::binary::status::Status;
use forebay_wire::memcached::command::Command;
use forebay_wire::memcached::refusal::Refusal;

use super::users::Users;
use crate::backing::Backing;
use crate::execute::run::Ran;
use crate::execute::turn::Turn;
use crate::reply;
use crate::stats::counters::Count;

/// The one mechanism.
const MECHANISM: &[u8] = b"PLAIN";
const WELCOME: &[u8] = b"Authenticated";

/// Carries out a command of somebody who is `admitted` or not, and admits.
pub(crate) fn pass<S: Backing>(
    admitted: &mut bool,
    users: &Users,
    turn: &mut Turn<'_, S>,
    command: &Command<'_>,
) -> Ran {
    match command {
        Command::Authenticate(Authenticate { user, password }) => {
            *admitted = check(users, turn, user, password);
            let refused = Refusal::WrongCredentials.text();
            reply::line(turn.out, if *admitted { "STORED" } else { refused });
            Ran::Done
        }
        Command::Binary(request) => pass_request(admitted, users, turn, command, request),
        // Nothing else is understood of who is not admitted.
        _ => S::run(turn, command),
    }
}

fn pass_request<S: Backing>(
    admitted: &mut bool,
    users: &Users,
    turn: &mut Turn<'_, S>,
    command: &Command<'_>,
    request: &Request<'_>,
) -> Ran {
    let unauthenticated = Response::refused(Status::Unauthenticated);
    match request.operation {
        Operation::SaslList => {
            write(turn.out, request.echo, &Response { value: MECHANISM, ..Response::done(0) });
        }
        Operation::Sasl(sasl) => {
            *admitted = match credentials(&sasl) {
                Some((user, password)) => check(users, turn, user, password),
                None => count(turn, false),
            };
            let welcome = Response { value: WELCOME, ..Response::done(0) };
            write(turn.out, request.echo, if *admitted { &welcome } else { &unauthenticated });
        }
        Operation::Version => return S::run(turn, command),
        _ if *admitted => return S::run(turn, command),
        _ => {
            write(turn.out, request.echo, &unauthenticated);
            return Ran::Refused;
        }
    }
    Ran::Done
}

/// Name and password: behind whom one would act for, and one after the other. PLAIN has no second step.
fn credentials<'a>(sasl: &Sasl<'a>) -> Option<(&'a [u8], &'a [u8])> {
    if sasl.is_step || sasl.mechanism != MECHANISM {
        return None;
    }
    let mut parts = sasl.data.splitn(3, |byte| *byte == 0);
    let (_, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    Some((user, password))
}

fn check<S: Backing>(users: &Users, turn: &mut Turn<'_, S>, user: &[u8], password: &[u8]) -> bool {
    let known = users.know(user, password);
    count(turn, known)
}

fn count<S: Backing>(turn: &mut Turn<'_, S>, known: bool) -> bool {
    turn.tally.one(Count::Auths);
    if !known {
        turn.tally.one(Count::AuthErrors);
    }
    known
}
