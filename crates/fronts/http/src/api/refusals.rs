//! The refusals that operations share, for the document.

use utoipa::IntoResponses;

use crate::errors::ErrorBody;

/// What any operation on a named queue may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(crate) enum QueueRefusals {
    /// The request is wrong; the text names the field.
    #[response(status = 400)]
    Wrong(ErrorBody),
    /// There is no such queue.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// Stored bytes are damaged, or the operating system failed.
    #[response(status = 500)]
    Failed(ErrorBody),
    /// The broker that the daemon was given cannot do this; the text names what it lacks.
    #[response(status = 501)]
    Unsupported(ErrorBody),
    /// The log has stopped after a failed write, the broker is away, or the daemon is stopping.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// What operations may answer that write to the log.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(crate) enum FullRefusals {
    /// The queue or the log is full: back-pressure.
    #[response(status = 429, headers(("retry-after" = u64, description = "Seconds to wait.")))]
    Full(ErrorBody),
}

/// What operations may answer that read a JSON body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(crate) enum BodyRefusals {
    /// The body took too long to arrive.
    #[response(status = 408)]
    Slow(ErrorBody),
    /// The body, or a message in it, is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The body is not declared as JSON.
    #[response(status = 415)]
    NotJson(ErrorBody),
    /// Too many bodies are arriving at once.
    #[response(status = 429, headers(("retry-after" = u64, description = "Seconds to wait.")))]
    TooMany(ErrorBody),
}
