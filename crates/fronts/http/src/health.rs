//! Whether this process can keep its promises.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use forebay_core::pressure::Rung;
use forebay_log::Log;
use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::{Answer, ErrorBody, Refused};
use crate::router::App;

/// All is well.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthBody {
    /// Always `ok`; everything else is a 503.
    #[schema(example = "ok")]
    status: &'static str,
    /// How far memory pressure has come: `calm`; `cache-shrunk` in favour of queues; `bodies-given-up`, which are read
    /// from disk then. The next rung refuses publishes, and is a 503.
    #[schema(example = "calm")]
    memory: &'static str,
    /// Some servers of a shared store cannot be reached, and why: what lies on the others is served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    away: Vec<String>,
}

/// Tells whether the process can keep its promises
///
/// 503 names what is broken: a log that stopped after a failed write, a full disk budget, queues that fill the memory,
/// damaged records, a part that died, a shared store or broker that is away. A shared store of which some servers are away is
/// none of these: 200 names it.
#[utoipa::path(
    get, path = "/health", tag = "process", operation_id = "health",
    responses(
        (status = 200, description = "All is well, but for servers of a shared store that it names.", body = HealthBody),
        (status = 503, description = "Something is broken; the text says what.", body = ErrorBody),
    )
)]
pub(crate) async fn health(State(app): State<App>) -> Answer<Json<HealthBody>> {
    let log = app.parts.log.as_ref().map(Log::stats).unwrap_or_default();
    let mut reasons = app.parts.health.failures();
    let away = app.parts.health.away();
    if log.poisoned {
        reasons.push("the commit log has stopped after a failed write, restart to recover".into());
    }
    let pinned = app.parts.cache.pinned().map(|pinned| pinned.log).unwrap_or_default();
    if pinned.poisoned {
        reasons.push("the log of pinned results has stopped after a failed write, restart to recover".into());
    }
    if pinned.full {
        reasons.push("there is no disk space for pinned results, their writes are refused".into());
    }
    if log.full {
        reasons.push("the commit log is full, publishes are refused until messages are settled".into());
    }
    let rung = app.parts.pressure.stats().rung;
    let refuses = rung == Rung::PublishesRefused;
    if refuses {
        reasons.push(
            "queues have used up their memory, publishes are refused until messages are settled".into(),
        );
    }
    if log.damaged > 0 {
        reasons.push("the commit log has damaged records, its messages say where".into());
    }
    if reasons.is_empty() && away.is_empty() {
        let away = app.parts.health.partly_away();
        return Ok(Json(HealthBody { status: "ok", memory: rung.name(), away }));
    }
    let passing = usize::from(log.full) + usize::from(pinned.full) + usize::from(refuses) + away.len();
    reasons.extend(away);
    let passes = reasons.len() == passing;
    reasons.extend(app.parts.health.partly_away());
    let refused = if passes { Refused::for_now } else { Refused::new };
    Err(refused(StatusCode::SERVICE_UNAVAILABLE, reasons.join("; ")))
}
