//! A line cut at its spaces: all words at once for short commands, one after another for long ones.

/// The words of a stretch of a line, one after another, without a bound. Only the space separates.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The bytes not yet handed out. With [`from_remaining`](Self::from_remaining) it marks a place to go on from.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The same words from the place where `remaining` bytes were left; from the start if there never were as many.
    #[must_use]
    pub fn from_remaining(self, remaining: usize) -> Self {
        let from = self.rest.len().saturating_sub(remaining);
        Self { rest: self.rest.get(from..).unwrap_or(self.rest) }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|byte| *byte != b' ')?;
        let text = self.rest.get(start..)?;
        let (word, rest) = match memchr::memchr(b' ', text) {
            Some(end) => text.split_at(end),
            None => (text, &[][..]),
        };
        self.rest = rest;
        Some(word)
    }
}

/// Words that are looked at together. memcached looks at no more of a line at once, and neither do we: what follows
/// is only known to be there.
pub(super) const WORDS_MAX: usize = 23;

/// The first words of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    words: [&'a [u8]; WORDS_MAX],
    count: usize,
    more: bool,
}

impl<'a> Line<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let mut words: [&[u8]; WORDS_MAX] = [&[]; WORDS_MAX];
        let mut all = Words::new(text);
        let mut count = 0;
        for (place, word) in words.iter_mut().zip(&mut all) {
            *place = word;
            count += 1;
        }
        Self { words, count, more: count == WORDS_MAX && all.remaining() > 0 }
    }

    /// How many words there are; one more than is kept if the line goes on.
    pub(super) fn count(&self) -> usize {
        self.count + usize::from(self.more)
    }

    /// The word at `index`, empty where there is none. Words themselves are never empty.
    pub(super) fn word(&self, index: usize) -> &'a [u8] {
        self.words.get(index).copied().unwrap_or_default()
    }

    /// The last word that is kept.
    pub(super) fn last(&self) -> &'a [u8] {
        self.word(self.count.saturating_sub(1))
    }

    /// The words that are kept, from `index` on.
    pub(super) fn from(&self, index: usize) -> &[&'a [u8]] {
        self.words.get(index..self.count).unwrap_or_default()
    }

    /// True if the line asks for silence. Also where a number was expected: memcached looks at the last word alone.
    pub(super) fn quiet(&self) -> bool {
        self.last() == b"noreply"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_spaces_separate_words() {
        let words: Vec<&[u8]> = Words::new(b"  get a\tb   c ").collect();
        assert_eq!(words, [&b"get"[..], b"a\tb", b"c"]);
        assert_eq!(Words::new(b"   ").count(), 0);
    }

    #[test]
    fn words_go_on_from_where_they_were_left() {
        let all = Words::new(b"a bb ccc");
        let mut some = all;
        some.next();
        assert_eq!(all.from_remaining(some.remaining()).next(), Some(&b"bb"[..]));
        assert_eq!(all.from_remaining(usize::MAX).next(), Some(&b"a"[..]));
    }

    #[test]
    fn a_long_line_is_known_to_go_on() {
        let text = vec!["w"; WORDS_MAX].join(" ");
        assert_eq!(Line::new(text.as_bytes()).count(), WORDS_MAX);
        assert_eq!(Line::new(format!("{text} x").as_bytes()).count(), WORDS_MAX + 1);
        assert_eq!(Line::new(b"").count(), 0);
        assert_eq!(Line::new(b"").last(), b"");
    }
}
