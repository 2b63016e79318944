//! What is broken in this process, told by whoever notices and read by the health page.

use std::sync::{Mutex, PoisonError};

use crate::limits;

/// Failures that only a restart repairs. Empty while all is well.
#[derive(Debug, Default)]
pub struct Health {
    failures: Mutex<Vec<String>>,
}

impl Health {
    /// Adds a failure. Beyond the first few nothing new is learnt, so later ones are not kept.
    pub fn fail(&self, what: impl Into<String>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < limits::HEALTH_FAILURES_MAX {
            failures.push(what.into());
        }
    }

    /// What failed, in order.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failures_are_kept_and_no_more() {
        let health = Health::default();
        assert!(health.failures().is_empty());
        for number in 0..limits::HEALTH_FAILURES_MAX + 5 {
            health.fail(format!("failure {number}"));
        }
        assert_eq!(health.failures().len(), limits::HEALTH_FAILURES_MAX);
        assert_eq!(health.failures().first().map(String::as_str), Some("failure 0"));
    }
}
