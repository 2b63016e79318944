//! One AMQP connection with one channel: what a publisher and a worker each keep, and give up after any failure.

use std::net::SocketAddr;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};
use tokio::time::timeout;

use crate::demo::limits;

/// The queue of all orders.
pub(super) const QUEUE: &str = "orders";
/// What everybody may log in with who comes from this machine, as name and as password.
const GUEST: &str = "guest";

/// Reply codes of a daemon that may answer differently next time: a connection closed by force, a resource that is
/// used up, an error within.
const LATER: [u16; 3] = [320, 506, 541];
const NOT_FOUND: u16 = 404;

/// A connection and its channel. Dropped, it is closed, and what was not acknowledged on it comes again.
pub(super) struct Session {
    /// Where everything is said.
    pub(super) channel: Channel,
    /// Open as long as it is kept.
    _connection: Connection,
}

impl Session {
    /// Connects to the daemon at `address`.
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let properties = ConnectionProperties::default();
        let connecting = Connection::connect_uri(uri(address), properties);
        let connection = connecting.await.map_err(|error| failed("connect for queue", error))?;
        let channel =
            connection.create_channel().await.map_err(|error| failed("open channel for queue", error))?;
        Ok(Self { channel, _connection: connection })
    }
}

/// Declares the queue: durable, with its default settings.
pub(in crate::demo) async fn declare(address: SocketAddr) -> Result<()> {
    within("declare queue", async {
        let session = Session::open(address).await?;
        say(&session, "declare queue", QueueDeclareOptions::durable()).await
    })
    .await
}

/// Asks for a sign of life: that the queue, declared before, is there.
pub(in crate::demo) async fn ping(address: SocketAddr) -> Result<()> {
    within("look for queue", async {
        let session = Session::open(address).await?;
        say(&session, "look for queue", QueueDeclareOptions::durable().passive()).await
    })
    .await
}

async fn say(session: &Session, operation: &'static str, options: QueueDeclareOptions) -> Result<()> {
    let declared = session.channel.queue_declare(QUEUE.into(), options, FieldTable::default()).await;
    declared.map(drop).map_err(|error| failed(operation, error))
}

/// Waits for `work`, but not for ever.
pub(super) async fn within<T>(operation: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    within_time(limits::QUEUE_ANSWER_MAX, operation, work).await
}

/// The same, of another time.
pub(super) async fn within_time<T>(
    time: Duration,
    operation: &'static str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let late =
        |_| Error::new(Kind::Unavailable, operation, QUEUE).because(format!("no answer within {time:?}"));
    timeout(time, work).await.map_err(late)?
}

/// The error of a call that was made through `lapin`.
pub(super) fn failed(operation: &'static str, error: lapin::Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::ProtocolError(said) => match said.get_id() {
            code if LATER.contains(&code) => Kind::Unavailable,
            NOT_FOUND => Kind::NotFound,
            _ => Kind::Invalid,
        },
        // The connection is gone, or what is left of one that is: a new one may do.
        _ => Kind::Unavailable,
    };
    Error::new(kind, operation, QUEUE).because(error)
}

fn uri(address: SocketAddr) -> AMQPUri {
    AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: GUEST.into(), password: GUEST.into() },
            host: address.ip().to_string(),
            port: address.port(),
        },
        vhost: "/".into(),
        query: AMQPQueryString {
            frame_max: Some(limits::QUEUE_FRAME_BYTES_MAX),
            heartbeat: Some(limits::QUEUE_HEARTBEAT_SECONDS),
            ..AMQPQueryString::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::error::Retry;

    use super::*;
    use crate::demo::clients::front::Front;
    use crate::demo::clients::scripted;

    #[tokio::test]
    async fn a_queue_that_was_never_declared_is_no_sign_of_life() {
        let front = Front::start().await;
        let error = ping(front.address()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (Kind::NotFound, Retry::Never), "{error}");
        declare(front.address()).await.unwrap();
        ping(front.address()).await.unwrap();
        declare(front.address()).await.unwrap();
        front.stop().await;
    }

    #[tokio::test]
    async fn nobody_there_may_be_tried_again() {
        let address = scripted::nobody().await.borrow().amqp;
        assert_eq!(ping(address).await.unwrap_err().retry(), Retry::Later);
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_is_for_ever() {
        let error = within("wait for queue", std::future::pending::<Result<()>>()).await.unwrap_err();
        assert!(error.to_string().starts_with("wait for queue orders: unavailable"), "{error}");
    }
}
