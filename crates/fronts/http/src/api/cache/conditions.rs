//! Entity tags and the conditions that are made of them.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use forebay_core::entry::Version;

use crate::errors::{Answer, Refused};

/// The entity tag of a version.
pub(super) fn tag(version: Version) -> HeaderValue {
    HeaderValue::try_from(format!("\"{}\"", version.0)).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether the client has this version already. It may list several tags and mark them as weak.
pub(super) fn has_tag(headers: &HeaderMap, version: Version) -> bool {
    let expected = tag(version);
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|list| {
        list.split(',')
            .map(str::trim)
            .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == expected.as_bytes())
    })
}

/// The version that must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Any,
    Version(Version),
}

/// The one value of a header, trimmed.
fn single(headers: &HeaderMap, name: HeaderName) -> Answer<Option<&str>> {
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value.trim())),
        _ => Err(Refused::bad_request(format!("read header {name}: expected one entity tag or *"))),
    }
}

/// What must be there, by `If-Match`.
pub(super) fn if_match(headers: &HeaderMap) -> Answer<Option<Match>> {
    match single(headers, header::IF_MATCH)? {
        None => Ok(None),
        Some("*") => Ok(Some(Match::Any)),
        Some(quoted) => {
            let digits = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            match digits.and_then(|digits| digits.parse().ok()) {
                Some(version) => Ok(Some(Match::Version(Version(version)))),
                None => Err(Refused::bad_request("read header if-match: expected one entity tag or *")),
            }
        }
    }
}

/// What must be there or not for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    /// Anything or nothing.
    None,
    /// No value.
    Absent,
    /// A value, of any version or of this one.
    Present(Match),
}

/// The condition of a write. One that is not understood is refused.
pub(super) fn precondition(headers: &HeaderMap) -> Answer<Precondition> {
    match (if_match(headers)?, single(headers, header::IF_NONE_MATCH)?) {
        (None, None) => Ok(Precondition::None),
        (Some(present), None) => Ok(Precondition::Present(present)),
        (None, Some("*")) => Ok(Precondition::Absent),
        (None, Some(_)) => Err(Refused::bad_request("read header if-none-match: expected *")),
        (Some(_), Some(_)) => {
            Err(Refused::bad_request("read headers: if-match and if-none-match exclude each other"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_copy_is_good_under_any_of_its_tags() {
        for good in ["\"7\"", "W/\"7\"", "*", "\"1\", W/\"7\" ,\"x\""] {
            assert!(has_tag(&headers(&[(header::IF_NONE_MATCH, good)]), Version(7)), "{good}");
        }
        for bad in ["\"77\"", "7", "", "\"1\",\"2\""] {
            assert!(!has_tag(&headers(&[(header::IF_NONE_MATCH, bad)]), Version(7)), "{bad}");
        }
        assert!(has_tag(
            &headers(&[(header::IF_NONE_MATCH, "\"1\""), (header::IF_NONE_MATCH, "\"7\"")]),
            Version(7)
        ));
    }

    #[test]
    fn a_condition_that_is_not_understood_is_refused_and_never_ignored() {
        for bad in [
            &[(header::IF_MATCH, "7")][..],
            &[(header::IF_MATCH, "\"a\"")],
            &[(header::IF_MATCH, "W/\"7\"")],
            &[(header::IF_MATCH, "\"1\", \"2\"")],
            &[(header::IF_MATCH, "\"1\""), (header::IF_MATCH, "\"2\"")],
            &[(header::IF_MATCH, "\"99999999999999999999\"")],
            &[(header::IF_MATCH, "\"\"")],
            &[(header::IF_MATCH, "")],
            &[(header::IF_NONE_MATCH, "")],
            &[(header::IF_NONE_MATCH, "\"7\"")],
            &[(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, "*")],
        ] {
            assert!(precondition(&headers(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn conditions_are_told_apart() {
        let of = |pairs: &[(HeaderName, &'static str)]| precondition(&headers(pairs)).unwrap();
        assert_eq!(of(&[]), Precondition::None);
        assert_eq!(of(&[(header::IF_NONE_MATCH, "*")]), Precondition::Absent);
        assert_eq!(of(&[(header::IF_MATCH, "*")]), Precondition::Present(Match::Any));
        assert_eq!(of(&[(header::IF_MATCH, "\"7\"")]), Precondition::Present(Match::Version(Version(7))));
    }
}
