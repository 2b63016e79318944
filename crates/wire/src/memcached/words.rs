//! A line cut at its spaces: all words at once for short commands, one after another for long ones.

/// The words of a stretch of a line, one after another, without a bound. Only the space separates.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    rest: &'a [u8],
    /// Where the last word ends, from the start of the line.
    end: usize,
}

/// A place between the words of a line, to go on from without a second look at what is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    next: usize,
    end: usize,
}

impl<'a> Words<'a> {
    pub(super) const fn new(line: &'a [u8]) -> Self {
        Self { rest: line, end: line.len() }
    }

    /// Where the words not yet handed out are.
    pub const fn place(&self) -> Place {
        Place { next: self.end.saturating_sub(self.rest.len()), end: self.end }
    }

    /// The words from a `place` in the line that `input` begins with; none if the line is not there any more.
    pub fn resume(input: &'a [u8], place: Place) -> Self {
        Self { rest: input.get(place.next..place.end).unwrap_or_default(), end: place.end }
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
        Self { words, count, more: count == WORDS_MAX && !all.rest.is_empty() }
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
        let mut words = Words::new(b"a bb ccc");
        words.next();
        let mut resumed = Words::resume(b"a bb ccc\r\nnext", words.place());
        assert_eq!(resumed.place(), words.place());
        assert_eq!(resumed.next(), Some(&b"bb"[..]));
        let mut again = Words::resume(b"a bb ccc\r\nnext", resumed.place());
        assert_eq!(again.next(), Some(&b"ccc"[..]));
        assert_eq!(again.next(), None);
        assert_eq!(Words::resume(b"a", words.place()).next(), None);
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
