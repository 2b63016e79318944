//! The list of routes: one for the router and the document both, so that they cannot differ.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::get;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::cache::{state, values};
use crate::api::{dead_letters, deliveries, found, messages, queues};
use crate::errors::Refused;
use crate::openapi::Document;
use crate::parts::Shared;
use crate::{health, metrics, openapi};

/// What every handler is given.
pub(crate) type App = Arc<Shared>;

fn routes() -> (Router<App>, OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health::health))
        .routes(routes!(metrics::metrics))
        .routes(routes!(queues::list))
        .routes(routes!(queues::show, queues::declare, queues::delete))
        .routes(routes!(queues::pause))
        .routes(routes!(queues::resume))
        .routes(routes!(messages::publish, messages::peek))
        .routes(routes!(messages::purge))
        .routes(routes!(messages::replay))
        .routes(routes!(found::find))
        .routes(routes!(deliveries::receive))
        .routes(routes!(deliveries::ack))
        .routes(routes!(deliveries::nack))
        .routes(routes!(deliveries::extend))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(state::stats))
        .routes(routes!(values::get, values::put, values::delete))
        .split_for_parts()
}

/// The router with everything that answers where no route does.
pub(crate) fn router(app: App) -> Router {
    let (router, document) = routes();
    let document: Arc<str> = openapi::finish(&document, app.parts.version).into();
    router
        .route("/openapi.json", get(move || openapi::serve(Arc::clone(&document))))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .with_state(app)
}

/// The document that describes the API, as JSON text.
pub fn openapi_json(version: &str) -> String {
    openapi::finish(&routes().1, version)
}

async fn unknown_route(uri: Uri) -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        format!("find {}: there is no such resource; see /openapi.json", uri.path()),
    )
}

async fn unknown_method(method: Method, uri: Uri) -> Refused {
    Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} {}: the resource does not know this method", uri.path()),
    )
}
