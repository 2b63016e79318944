//! The document that describes the API: generated from the handlers, completed by what Rust types cannot say.

use std::sync::Arc;

use axum::http::header;
use axum::response::IntoResponse;
use serde_json::json;
use utoipa::OpenApi;

/// What the document says of the whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Forebay",
        description = "A cache and a durable queue that know about each other. A publish is answered only once the \
                       messages are durable; a cached value may be forgotten at any time."
    ),
    tags(
        (name = "queues", description = "Declaring and looking after queues."),
        (name = "messages", description = "Putting messages in and looking at them."),
        (name = "deliveries", description = "Taking messages out: each is held until it is settled or its hold runs out."),
        (name = "dead letters", description = "Messages that were given up, with their history."),
        (name = "cache", description = "Values at hand, by key."),
        (name = "process", description = "The daemon itself.")
    )
)]
pub(crate) struct Document;

/// Adds to the generated document what has no place in a Rust type: which fields exclude each other, and the version.
pub(crate) fn finish(document: &utoipa::openapi::OpenApi, version: &str) -> String {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["info"]["version"] = version.into();
    let schemas = &mut document["components"]["schemas"];
    schemas["NewMessage"]["oneOf"] = json!([{ "required": ["payload"] }, { "required": ["payload_base64"] }]);
    schemas["NackBody"]["not"] = json!({
        "properties": { "reject": { "const": true }, "return": { "const": true } },
        "required": ["reject", "return"]
    });
    document.to_string()
}

/// Answers with the finished document.
pub(crate) async fn serve(document: Arc<str>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::router::openapi_json;

    fn document() -> Value {
        serde_json::from_str(&openapi_json("1.2.3")).unwrap()
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(target)) = fields.get("$ref") {
                        found.push(target.clone());
                    }
                    fields.values().for_each(|field| references(field, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }

    #[test]
    fn every_operation_has_a_summary_a_tag_and_a_json_refusal() {
        let document = document();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let place = format!("{method} {path}");
                assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{place}");
                assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{place}");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    if status.starts_with(['4', '5']) {
                        let shape = &response["content"]["application/json"]["schema"]["$ref"];
                        assert_eq!(shape, "#/components/schemas/ErrorBody", "{place} {status}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_patched_into_the_document_is_there_to_be_patched() {
        let document = document();
        assert_eq!(document["info"]["version"], "1.2.3");
        for schema in ["NewMessage", "NackBody"] {
            assert!(document["components"]["schemas"][schema]["properties"].is_object(), "{schema}");
        }
    }
}
