//! Topic patterns as a tree of words, and all that fit a key found in one walk.
//!
//! The walk goes through the key word by word and holds every place of the tree that the words so far can lead to. A
//! place behind `#` stays once it is reached, so it is taken in once; any other has one parent and is reached from there
//! alone. So no word costs more than the tree has places, whatever the patterns: there is nothing to try and take back.

use std::collections::{HashMap, HashSet};

use super::destinations::Destinations;
use crate::routing::binding::Destination;

/// The tree, and each place in it.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    /// Where patterns that end here lead.
    here: Destinations,
    words: HashMap<Box<str>, Box<Topics>>,
    /// Behind `*`: any one word.
    any: Option<Box<Topics>>,
    /// Behind `#`: any number of words.
    rest: Option<Box<Topics>>,
}

/// As RabbitMQ has it, an empty key has no words; any other has empty ones before, between and behind its dots.
fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').filter(move |_| !key.is_empty())
}

impl Topics {
    pub(crate) fn add(&mut self, pattern: &str, destination: &Destination) {
        let mut place = self;
        for word in words(pattern) {
            place = match word {
                "*" => place.any.get_or_insert_default(),
                "#" => place.rest.get_or_insert_default(),
                _ => place.words.entry(word.into()).or_default(),
            };
        }
        place.here.add(destination);
    }

    pub(crate) fn remove(&mut self, pattern: &str, destination: &Destination) {
        self.cut(&mut words(pattern), destination);
    }

    /// Takes the destination away behind the words, and the places that nothing is left in. The depth is that of a
    /// binding's key.
    fn cut<'w>(&mut self, words: &mut impl Iterator<Item = &'w str>, destination: &Destination) {
        match words.next() {
            None => self.here.remove(destination),
            Some("*") => cut_below(&mut self.any, words, destination),
            Some("#") => cut_below(&mut self.rest, words, destination),
            Some(word) => {
                if let Some(below) = self.words.get_mut(word) {
                    below.cut(words, destination);
                    if below.is_empty() {
                        self.words.remove(word);
                    }
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.here.is_empty() && self.words.is_empty() && self.any.is_none() && self.rest.is_none()
    }

    /// The destinations of every pattern that fits; one may come more than once.
    pub(crate) fn find<'a>(&'a self, key: &str, found: &mut Vec<&'a Destination>) {
        let mut walk = Walk::default();
        let mut places = Vec::new();
        walk.enter(self, &mut places);
        for word in words(key) {
            let mut next = Vec::new();
            let before = walk.staying.len();
            for place in places {
                walk.step(place, word, &mut next);
            }
            for index in 0..before {
                if let Some(place) = walk.staying.get(index).copied() {
                    walk.step(place, word, &mut next);
                }
            }
            places = next;
        }
        let reached = places.into_iter().chain(walk.staying);
        found.extend(reached.flat_map(|place| place.here.iter()));
    }
}

fn cut_below<'w>(
    place: &mut Option<Box<Topics>>,
    words: &mut impl Iterator<Item = &'w str>,
    destination: &Destination,
) {
    if let Some(below) = place {
        below.cut(words, destination);
        if below.is_empty() {
            *place = None;
        }
    }
}

#[derive(Default)]
struct Walk<'a> {
    /// The places behind `#` that were reached: they take every further word.
    staying: Vec<&'a Topics>,
    known: HashSet<*const Topics>,
}

impl<'a> Walk<'a> {
    fn step(&mut self, from: &'a Topics, word: &str, next: &mut Vec<&'a Topics>) {
        for place in [from.words.get(word).map(Box::as_ref), from.any.as_deref()].into_iter().flatten() {
            self.enter(place, next);
        }
    }

    /// A place, and those behind `#` that need no further word.
    fn enter(&mut self, place: &'a Topics, next: &mut Vec<&'a Topics>) {
        next.push(place);
        let mut rest = place.rest.as_deref();
        while let Some(place) = rest.filter(|place| self.known.insert(std::ptr::from_ref(*place))) {
            self.staying.push(place);
            rest = place.rest.as_deref();
        }
    }
}

/// The definition, tried out: what the tree is held against.
#[cfg(test)]
fn fits(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        ([], []) => true,
        (["#", rest @ ..], _) => fits(rest, key) || (!key.is_empty() && fits(pattern, &key[1..])),
        (["*", rest @ ..], [_, key @ ..]) => fits(rest, key),
        ([word, rest @ ..], [first, key @ ..]) => word == first && fits(rest, key),
        _ => false,
    }
}

/// Whether a pattern fits a key, found slowly and plainly.
#[cfg(test)]
pub(crate) fn naive(pattern: &str, key: &str) -> bool {
    fits(&words(pattern).collect::<Vec<_>>(), &words(key).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use forebay_core::queue::QueueName;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn queue(name: &str) -> Destination {
        Destination::Queue(QueueName::new(name).unwrap())
    }

    fn found(topics: &Topics, key: &str) -> Vec<Destination> {
        let mut found = Vec::new();
        topics.find(key, &mut found);
        let mut found: Vec<_> = found.into_iter().cloned().collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn patterns_fit_as_rabbitmq_3_10_answers() {
        let patterns = [
            "", "#", "*", "a", "a.#", "#.a", "*.*", "#.#", ".", "a.", ".a", "a..b", "*.#", "#.*", "a.*.b",
            "#.a.#", "*.a", "#.*.#",
        ];
        let table: [(&str, &[&str]); 13] = [
            ("", &["", "#", "#.#"]),
            ("a", &["#", "*", "a", "a.#", "#.a", "#.#", "*.#", "#.*", "#.a.#", "#.*.#"]),
            (".", &["#", "*.*", "#.#", ".", "*.#", "#.*", "#.*.#"]),
            ("a.", &["#", "a.#", "*.*", "#.#", "a.", "*.#", "#.*", "#.a.#", "#.*.#"]),
            (".a", &["#", "#.a", "*.*", "#.#", ".a", "*.#", "#.*", "#.a.#", "*.a", "#.*.#"]),
            ("a..b", &["#", "a.#", "#.#", "a..b", "*.#", "#.*", "a.*.b", "#.a.#", "#.*.#"]),
            ("a.b", &["#", "a.#", "*.*", "#.#", "*.#", "#.*", "#.a.#", "#.*.#"]),
            ("a.a", &["#", "a.#", "#.a", "*.*", "#.#", "*.#", "#.*", "#.a.#", "*.a", "#.*.#"]),
            ("..", &["#", "#.#", "*.#", "#.*", "#.*.#"]),
            ("b.a.c", &["#", "#.#", "*.#", "#.*", "#.a.#", "#.*.#"]),
            ("#", &["#", "*", "#.#", "*.#", "#.*", "#.*.#"]),
            ("*", &["#", "*", "#.#", "*.#", "#.*", "#.*.#"]),
            ("a.#.b", &["#", "a.#", "#.#", "*.#", "#.*", "a.*.b", "#.a.#", "#.*.#"]),
        ];
        let mut topics = Topics::default();
        let name = |pattern: &str| queue(&format!("q {pattern}"));
        patterns.iter().for_each(|pattern| topics.add(pattern, &name(pattern)));
        for (key, expected) in table {
            let mut expected: Vec<_> = expected.iter().map(|pattern| name(pattern)).collect();
            expected.sort();
            assert_eq!(found(&topics, key), expected, "{key:?}");
            for pattern in patterns {
                assert_eq!(naive(pattern, key), expected.contains(&name(pattern)), "{pattern:?} {key:?}");
            }
        }
    }

    #[test]
    fn no_pattern_makes_a_walk_long() {
        let mut topics = Topics::default();
        for length in 1..=63 {
            topics.add(&vec!["#.a"; length].join("."), &queue("q"));
        }
        topics.add(&["#"; 128].join("."), &queue("q"));
        topics.add(&format!("{}.b", ["#.*"; 60].join(".")), &queue("never"));
        assert_eq!(found(&topics, &["a"; 128].join(".")), [queue("q")]);
    }

    fn dotted(words: &'static str) -> impl Strategy<Value = String> {
        vec(words, 0..6).prop_map(|words| words.join("."))
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_the_naive_matcher_finds(
            patterns in vec((dotted("[ab*#]|#|"), 0..5_u8), 0..60), removed in vec(any::<bool>(), 60),
            keys in vec(dotted("[abc]|"), 1..20),
        ) {
            let mut topics = Topics::default();
            let name = |number: &u8| queue(&number.to_string());
            patterns.iter().for_each(|(pattern, number)| topics.add(pattern, &name(number)));
            let (gone, left): (Vec<_>, Vec<_>) = patterns.iter().zip(removed).partition(|(_, removed)| *removed);
            gone.iter().for_each(|((pattern, number), _)| topics.remove(pattern, &name(number)));
            for key in keys {
                let fitting = left.iter().filter(|((pattern, _), _)| naive(pattern, &key));
                let mut expected: Vec<_> = fitting.map(|((_, number), _)| name(number)).collect();
                expected.sort();
                expected.dedup();
                prop_assert_eq!(found(&topics, &key), expected);
            }
            left.iter().for_each(|((pattern, number), _)| topics.remove(pattern, &name(number)));
            prop_assert!(topics.is_empty());
        }
    }
}
