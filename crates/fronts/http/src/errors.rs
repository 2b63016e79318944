//! Every way in which a request fails: its status, and one JSON shape for all of them.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forebay_core::error::{Error, Kind, Retry};
use serde::Serialize;
use tracing::warn;
use utoipa::ToSchema;

/// Seconds after which a refused client may try again.
const RETRY_AFTER_SECONDS: &str = "1";

/// What every refusal carries.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorBody {
    /// What was attempted, on what, and why it failed.
    pub(crate) error: String,
    /// Whether the same request may succeed later.
    pub(crate) retry: bool,
}

/// A request that was not carried out.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) body: ErrorBody,
}

/// What a handler returns.
pub(crate) type Answer<T> = Result<T, Refused>;

impl Refused {
    /// A refusal that trying again does not change.
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: ErrorBody { error: error.into(), retry: false } }
    }

    /// A refusal that passes.
    pub(crate) fn for_now(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: ErrorBody { error: error.into(), retry: true } }
    }

    /// The request itself is wrong.
    pub(crate) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

/// The status that stands for a kind of error.
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Full => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable | Kind::Closed | Kind::Poisoned => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Damaged | Kind::Io => StatusCode::INTERNAL_SERVER_ERROR,
        // `Kind` may grow; what this front does not know is not the client's fault.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let status = status(error.kind());
        if status.is_server_error() {
            warn!(%error, "a request failed");
        }
        // This process is going, but its client will find the next one under the same address.
        let retry = error.retry() == Retry::Later || error.kind() == Kind::Closed;
        Self { status, body: ErrorBody { error: error.to_string(), retry } }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let retry = self.body.retry;
        let mut response = (self.status, Json(self.body)).into_response();
        if retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_pressure_tells_when_to_come_back() {
        let response = Refused::from(Error::new(Kind::Full, "publish to queue", "orders")).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn a_client_of_a_closing_daemon_is_asked_to_come_back() {
        let response = Refused::from(Error::new(Kind::Closed, "publish to queue", "orders")).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn a_refusal_for_good_does_not() {
        let response = Refused::from(Error::new(Kind::NotFound, "find queue", "orders")).into_response();
        assert_eq!(response.status(), 404);
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn only_failures_of_this_side_are_server_errors() {
        for kind in [Kind::Invalid, Kind::NotFound, Kind::Conflict, Kind::TooLarge, Kind::Full] {
            assert!(status(kind).is_client_error(), "{kind:?}");
        }
        for kind in
            [Kind::Unavailable, Kind::Closed, Kind::Poisoned, Kind::Damaged, Kind::Io, Kind::Unsupported]
        {
            assert!(status(kind).is_server_error(), "{kind:?}");
        }
    }
}
