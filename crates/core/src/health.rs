//! What is broken in this process, told by whoever notices and read by the health page.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits;

/// The name under which a shared store is away.
pub const STORE: &str = "store";
/// The name under which a broker is away.
pub const BROKER: &str = "broker";

/// What this process cannot keep just now. Empty while all is well.
#[derive(Debug, Default)]
pub struct Health {
    failures: Mutex<Vec<String>>,
    away: Mutex<BTreeMap<&'static str, Away>>,
}

#[derive(Debug)]
struct Away {
    why: String,
    is_partly: bool,
}

impl Health {
    /// Adds a failure that only a restart repairs. Beyond the first few nothing new is learnt, so later ones are not kept.
    pub fn fail(&self, what: impl Into<String>) {
        let mut failures = locked(&self.failures);
        if failures.len() < limits::http::HEALTH_FAILURES_MAX {
            failures.push(what.into());
        }
    }

    /// What failed, in order.
    pub fn failures(&self) -> Vec<String> {
        locked(&self.failures).clone()
    }

    /// Says that another system that this process uses is away, and why; `None`: it is there. The parts are few, and named
    /// by the code.
    pub fn set_away(&self, part: &'static str, why: Option<String>) {
        let mut away = locked(&self.away);
        match why {
            Some(why) => drop(away.insert(part, Away { why, is_partly: false })),
            None => drop(away.remove(part)),
        }
    }

    /// Says that some servers of another system are away, and why, while others of it do their work.
    pub fn set_partly_away(&self, part: &'static str, why: String) {
        locked(&self.away).insert(part, Away { why, is_partly: true });
    }

    /// Whether that part is away altogether.
    pub fn is_away(&self, part: &str) -> bool {
        locked(&self.away).get(part).is_some_and(|away| !away.is_partly)
    }

    /// Whether some of that part is away.
    pub fn is_partly_away(&self, part: &str) -> bool {
        locked(&self.away).get(part).is_some_and(|away| away.is_partly)
    }

    /// What is away altogether, each with the reason.
    pub fn away(&self) -> Vec<String> {
        self.told(false, "is away")
    }

    /// What is away in part, each with the reason.
    pub fn partly_away(&self) -> Vec<String> {
        self.told(true, "is partly away")
    }

    fn told(&self, is_partly: bool, how: &str) -> Vec<String> {
        let away = locked(&self.away);
        let of_kind = away.iter().filter(|(_, away)| away.is_partly == is_partly);
        of_kind.map(|(part, away)| format!("the {part} {how}: {}", away.why)).collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failures_are_kept_and_no_more() {
        let health = Health::default();
        assert!(health.failures().is_empty());
        for number in 0..limits::http::HEALTH_FAILURES_MAX + 5 {
            health.fail(format!("failure {number}"));
        }
        assert_eq!(health.failures().len(), limits::http::HEALTH_FAILURES_MAX);
        assert_eq!(health.failures().first().map(String::as_str), Some("failure 0"));
    }

    #[test]
    fn what_is_away_comes_back() {
        let health = Health::default();
        health.set_away(STORE, Some("connection refused".into()));
        assert!(health.is_away(STORE) && !health.is_away(BROKER));
        assert_eq!(health.away(), ["the store is away: connection refused"]);
        health.set_away(STORE, None);
        assert!(health.away().is_empty() && health.failures().is_empty());
    }
}
