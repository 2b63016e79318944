//! Asking a running daemon over HTTP.

use std::future::Future;
use std::time::Duration;

use clap::{Arg, ArgMatches};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName};
use hyper::{Method, Request, StatusCode, Uri, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::failure::Failure;

const URL_DEFAULT: &str = "http://127.0.0.1:8080";
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long an answer may take, above what the daemon was asked to wait.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// The flags that every operator command has.
pub(crate) fn arguments() -> [Arg; 2] {
    [
        Arg::new("url")
            .long("url")
            .value_name("URL")
            .global(true)
            .help(format!("The daemon's HTTP address [env: FOREBAY_URL] [default: {URL_DEFAULT}]")),
        Arg::new("json")
            .long("json")
            .global(true)
            .action(clap::ArgAction::SetTrue)
            .help("Prints the daemon's answer as it is"),
    ]
}

/// A daemon to ask.
pub(crate) struct Client {
    url: String,
    authority: String,
    address: (String, u16),
    path: String,
}

/// What it answered, when that was not a refusal.
pub(crate) struct Answer {
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|_| Failure::new("the answer is not JSON; is this a forebay daemon?"))
    }
}

/// One question.
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    /// Path and query, already encoded.
    pub(crate) path: String,
    pub(crate) headers: &'a [(HeaderName, &'a str)],
    pub(crate) body: Bytes,
    /// How long the daemon was asked to wait.
    pub(crate) wait: Duration,
}

impl Question<'_> {
    pub(crate) fn new(method: Method, path: String) -> Self {
        Self { method, path, headers: &[], body: Bytes::new(), wait: Duration::ZERO }
    }
}

impl Client {
    /// The daemon that the flag, the environment or the default names.
    pub(crate) fn new(matches: &ArgMatches) -> Result<Self, Failure> {
        let named = matches.get_one::<String>("url").cloned();
        let url = named.or_else(|| std::env::var("FOREBAY_URL").ok()).unwrap_or_else(|| URL_DEFAULT.into());
        let wrong = || Failure::usage(format!("{url}: expected an address such as {URL_DEFAULT}"));
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?.clone();
        if uri.scheme_str() != Some("http") || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let address = (host, authority.port_u16().unwrap_or(80));
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { authority: authority.to_string(), address, path, url })
    }

    /// Asks without a body.
    pub(crate) async fn ask(&self, method: Method, path: String) -> Result<Answer, Failure> {
        self.send(Question::new(method, path)).await
    }

    /// Asks with a JSON body.
    pub(crate) async fn ask_with(
        &self,
        method: Method,
        path: String,
        body: &Value,
    ) -> Result<Answer, Failure> {
        let headers = [(CONTENT_TYPE, "application/json")];
        let body = body.to_string().into();
        self.send(Question { headers: &headers, body, ..Question::new(method, path) }).await
    }

    /// Asks, and turns a refusal into what it says.
    pub(crate) async fn send(&self, question: Question<'_>) -> Result<Answer, Failure> {
        let patience = ANSWER_WAIT_MAX + question.wait;
        let answered = tokio::time::timeout(patience, self.exchange(question)).await;
        let (status, body) =
            answered.map_err(|_| Failure::new(format!("the daemon at {} does not answer", self.url)))??;
        if status.is_success() {
            return Ok(Answer { body });
        }
        let refusal: Option<Value> = serde_json::from_slice(&body).ok();
        match refusal.as_ref().and_then(|refusal| refusal["error"].as_str()) {
            Some(error) => Err(Failure::new(error)),
            None => Err(Failure::new(format!("{} answers {status}; is this a forebay daemon?", self.url))),
        }
    }

    async fn exchange(&self, question: Question<'_>) -> Result<(StatusCode, Bytes), Failure> {
        let absent =
            |_| Failure::new(format!("no daemon answers at {}; start one with: forebay serve", self.url));
        let broken = |reason: &dyn std::fmt::Display| {
            Failure::new(format!("the connection to {} broke off: {reason}", self.url))
        };
        let (host, port) = &self.address;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(absent)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|reason| broken(&reason))?;
        let mut request = Request::builder()
            .method(question.method)
            .uri(format!("{}{}", self.path, question.path))
            .header(HOST, &self.authority);
        for (name, value) in question.headers {
            request = request.header(name, *value);
        }
        let request = request.body(Full::new(question.body)).map_err(Failure::new)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|reason| broken(&reason))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
            let body = body.collect().await.map_err(|reason| broken(&reason))?;
            Ok((status, body.to_bytes()))
        };
        with(connection, answer).await
    }
}

/// Drives the connection while waiting for the answer; the answer decides.
async fn with<T>(connection: impl Future, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Runs a command to its end on this thread.
pub(crate) fn run<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)?
        .block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Result<Client, Failure> {
        let command = clap::Command::new("test").args(arguments());
        Client::new(&command.get_matches_from(["test", "--url", url]))
    }

    #[test]
    fn an_address_is_taken_apart() {
        let client = client("http://[::1]:8081/behind/a/proxy/").unwrap();
        assert_eq!(client.address, ("::1".to_owned(), 8081));
        assert_eq!((client.authority.as_str(), client.path.as_str()), ("[::1]:8081", "/behind/a/proxy"));
    }

    #[test]
    fn an_address_that_cannot_be_asked_is_refused() {
        for bad in
            ["127.0.0.1:8080", "https://localhost", "http://", "/v1", "http://u:p@host", "http://host/?q=1"]
        {
            assert!(client(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_becomes_one_segment() {
        assert_eq!(segment("a/b c?ü%"), "a%2Fb%20c%3F%C3%BC%25");
        assert_eq!(segment("plain-name_1.~"), "plain-name_1.~");
    }
}
