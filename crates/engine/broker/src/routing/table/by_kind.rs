//! The bindings of one exchange, laid out for its kind.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use forebay_core::message::{Headers, Value};

use super::destinations::Destinations;
use super::headers::{Pattern, sorted};
use super::topic::Topics;
use crate::routing::binding::{Binding, Destination};
use crate::routing::exchange::ExchangeKind;

/// What is known of a message when its way is sought.
pub(crate) struct Sought<'a> {
    keys: Vec<&'a str>,
    headers: &'a Headers,
    sorted: OnceCell<Vec<(&'a str, &'a Value)>>,
}

impl<'a> Sought<'a> {
    pub(crate) fn new(keys: Vec<&'a str>, headers: &'a Headers) -> Self {
        Self { keys, headers, sorted: OnceCell::new() }
    }

    fn headers(&self) -> &[(&'a str, &'a Value)] {
        self.sorted.get_or_init(|| sorted(self.headers))
    }
}

#[derive(Debug)]
pub(crate) enum Table {
    Direct(HashMap<Arc<str>, Destinations>),
    Fanout(Destinations),
    Topic(Topics),
    Headers(HeaderPatterns),
}

/// Patterns by where they lead and by their arguments as bytes, with how many bindings differ only in their keys.
type HeaderPatterns = BTreeMap<(Destination, Box<[u8]>), (usize, Pattern)>;

impl Table {
    pub(crate) fn new(kind: ExchangeKind) -> Self {
        match kind {
            ExchangeKind::Direct => Self::Direct(HashMap::new()),
            ExchangeKind::Fanout => Self::Fanout(Destinations::default()),
            ExchangeKind::Topic => Self::Topic(Topics::default()),
            ExchangeKind::Headers => Self::Headers(BTreeMap::new()),
        }
    }

    /// Takes in a binding that is not there yet.
    pub(crate) fn add(&mut self, binding: &Binding) {
        let destination = binding.destination();
        match self {
            Self::Direct(keys) => keys.entry(binding.shared_key()).or_default().add(destination),
            Self::Fanout(destinations) => destinations.add(destination),
            Self::Topic(topics) => topics.add(binding.key(), destination),
            Self::Headers(patterns) => {
                patterns.entry(place(binding)).or_insert_with(|| (0, Pattern::new(binding.arguments()))).0 +=
                    1;
            }
        }
    }

    /// Takes out a binding that is there.
    pub(crate) fn remove(&mut self, binding: &Binding) {
        let destination = binding.destination();
        match self {
            Self::Direct(keys) => {
                if let Some(destinations) = keys.get_mut(binding.key()) {
                    destinations.remove(destination);
                    if destinations.is_empty() {
                        keys.remove(binding.key());
                    }
                }
            }
            Self::Fanout(destinations) => destinations.remove(destination),
            Self::Topic(topics) => topics.remove(binding.key(), destination),
            Self::Headers(patterns) => {
                let place = place(binding);
                if let Some((count, _)) = patterns.get_mut(&place) {
                    *count -= 1;
                    if *count == 0 {
                        patterns.remove(&place);
                    }
                }
            }
        }
    }

    /// Where the message goes from here; one destination may come more than once.
    pub(crate) fn find<'a>(&'a self, sought: &Sought<'_>, found: &mut Vec<&'a Destination>) {
        match self {
            Self::Direct(keys) => {
                let fitting = sought.keys.iter().filter_map(|key| keys.get(*key));
                found.extend(fitting.flat_map(Destinations::iter));
            }
            Self::Fanout(destinations) => found.extend(destinations.iter()),
            Self::Topic(topics) => sought.keys.iter().for_each(|key| topics.find(key, found)),
            Self::Headers(patterns) => {
                let fitting = patterns.iter().filter(|(_, (_, pattern))| pattern.fits(sought.headers()));
                found.extend(fitting.map(|((destination, _), _)| destination));
            }
        }
    }
}

fn place(binding: &Binding) -> (Destination, Box<[u8]>) {
    (binding.destination().clone(), binding.identity().into())
}
