//! Destinations, with how many bindings lead to each: bindings that differ in what does not count here lead to the same.

use std::collections::HashMap;

use crate::routing::binding::Destination;

#[derive(Debug, Default)]
pub(crate) struct Destinations(HashMap<Destination, usize>);

impl Destinations {
    pub(crate) fn add(&mut self, destination: &Destination) {
        *self.0.entry(destination.clone()).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, destination: &Destination) {
        if let Some(count) = self.0.get_mut(destination) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(destination);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Destination> {
        self.0.keys()
    }
}
