//! HTTP as a small program speaks it: one connection, one request at a time.

use std::net::SocketAddr;

use bytes::Bytes;
use forebay_core::error::{Error, Kind, Result};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::demo::daemon::Addresses;
use crate::demo::limits;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A client of the daemon's HTTP socket.
pub(super) struct Http {
    addresses: watch::Receiver<Addresses>,
    connection: Option<(SocketAddr, SendRequest<Full<Bytes>>)>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Http {
    /// One that connects when it is first used.
    pub(super) fn new(addresses: watch::Receiver<Addresses>) -> Self {
        Self { addresses, connection: None }
    }

    /// Asks, and returns any answer that is one of the `expected`; every other one is an error of its kind. After an error, or
    /// when its future was dropped, the connection is a new one.
    pub(super) async fn ask(
        &mut self,
        operation: &'static str,
        (method, path): (Method, &str),
        body: Option<&Value>,
        expected: &[StatusCode],
    ) -> Result<Answer> {
        let away = |cause: Cause| Error::new(Kind::Unavailable, operation, path).because(cause);
        let answer = self.exchange(method, path, body).await.map_err(away)?;
        if expected.contains(&answer.status) {
            return Ok(answer);
        }
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        Err(Error::new(kind(answer.status), operation, path).because(format!("{}: {said}", answer.status)))
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> std::result::Result<Answer, Cause> {
        let address = self.addresses.borrow().http;
        let kept = self.connection.take().filter(|(of, sender)| *of == address && !sender.is_closed());
        let mut sender = match kept {
            Some((_, sender)) => sender,
            None => connect(address).await?,
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, address.to_string());
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let response = sender.send_request(request.body(Full::from(body))?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limits::QUEUE_BODY_BYTES_MAX).collect().await?;
        self.connection = Some((address, sender));
        Ok(Answer { status, body: body.to_bytes() })
    }
}

async fn connect(address: SocketAddr) -> std::result::Result<SendRequest<Full<Bytes>>, Cause> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its connection; what goes wrong in it is told to the request that is waiting.
    tokio::spawn(driver);
    Ok(sender)
}

fn kind(status: StatusCode) -> Kind {
    match status {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::CONFLICT => Kind::Conflict,
        StatusCode::TOO_MANY_REQUESTS => Kind::Full,
        StatusCode::NOT_IMPLEMENTED => Kind::Unsupported,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => Kind::Unavailable,
        _ => Kind::Invalid,
    }
}
