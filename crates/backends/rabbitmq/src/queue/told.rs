//! What is settled: the server is told of all that waits at a time, of many with one word where nothing before them is open.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::letter::Letter;
use super::shelf::Shelf;
use super::tags::Tags;

/// What became of what waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server was told.
    Told,
    /// It was not: the channel is gone.
    Lost,
    /// Nobody knows.
    Unsure,
}

/// A letter that is settled once the server was told.
struct Waiting {
    letter: Arc<Letter>,
    told: oneshot::Sender<Fate>,
}

/// What of the present channel is open, and what waits.
#[derive(Default)]
pub(super) struct Telling {
    tags: Tags,
    waiting: Vec<Waiting>,
    /// Somebody sees to it.
    under_way: bool,
}

impl Telling {
    /// A delivery has come.
    pub(super) fn arrive(&mut self, letter: &Letter) {
        self.tags.arrive(letter.tag);
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Letter> {
        self.waiting.iter().map(|waiting| &*waiting.letter)
    }
}

/// An acknowledgement.
pub(crate) struct Word {
    pub(crate) letter: Arc<Letter>,
    /// It speaks of all up to this letter.
    pub(crate) multiple: bool,
}

/// What the server is told together.
pub(crate) struct Batch {
    pub(crate) words: Vec<Word>,
    waiting: Vec<Waiting>,
}

impl Shelf {
    /// What was gripped is settled once the server was told, of which the receiver hears. True: somebody has to see to that.
    /// `None`: its channel is gone.
    pub(crate) fn settle(
        &mut self,
        letter: Arc<Letter>,
        epoch: u64,
    ) -> Option<(oneshot::Receiver<Fate>, bool)> {
        if epoch != self.epoch() {
            self.holds.let_go(letter.number);
            return None;
        }
        let (told, fate) = oneshot::channel();
        self.telling.waiting.push(Waiting { letter, told });
        let is_first = !std::mem::replace(&mut self.telling.under_way, true);
        Some((fate, is_first))
    }

    /// All that waits. `None`: whoever sees to it is not needed any more.
    pub(crate) fn batch(&mut self, epoch: u64) -> Option<Batch> {
        if epoch != self.epoch() {
            return None;
        }
        let Telling { tags, waiting, under_way } = &mut self.telling;
        if waiting.is_empty() {
            *under_way = false;
            return None;
        }
        let waiting = std::mem::take(waiting);
        waiting.iter().for_each(|waiting| tags.settle(waiting.letter.tag));
        let settled_up_to = tags.settled_up_to();
        let mut words = Vec::new();
        let mut last: Option<Word> = None;
        for Waiting { letter, .. } in &waiting {
            let word = Word { letter: letter.clone(), multiple: false };
            match &mut last {
                _ if letter.tag > settled_up_to => words.push(word),
                Some(last) => {
                    last.multiple = true;
                    if letter.tag > last.letter.tag {
                        last.letter = word.letter;
                    }
                }
                None => last = Some(word),
            }
        }
        words.extend(last);
        Some(Batch { words, waiting })
    }

    /// A batch came to `fate`.
    pub(crate) fn told(&mut self, batch: Batch, fate: Fate) {
        for Waiting { letter, told } in batch.waiting {
            self.holds.let_go(letter.number);
            // Who has gone away does not hear it.
            let _ = told.send(fate);
        }
    }

    /// What waits is seen to by nobody any more.
    pub(crate) fn tell_nobody(&mut self) {
        for Waiting { letter, .. } in std::mem::take(&mut self.telling.waiting) {
            self.holds.let_go(letter.number);
        }
    }

    /// What nobody holds was given an end on the server, which was told so before.
    pub(crate) fn ended(&mut self, letter: &Letter, epoch: u64) {
        if epoch == self.epoch() {
            self.telling.tags.settle(letter.tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::message::{Message, MessageId};
    use forebay_core::time::Instant;
    use forebay_envelope::envelope::Envelope;
    use lapin::message::Delivery;
    use tokio::sync::oneshot::Receiver;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::super::names::Lane;
    use super::super::shelf::Consuming;
    use super::*;

    const NOW: Instant = Instant::from_ms(1_000_000);

    /// A shelf to which so many came over one channel, all of which are held and then gripped.
    fn gripped(count: u64) -> (Shelf, Vec<Arc<Letter>>) {
        let mut shelf = Shelf::new(false);
        for tag in 1..=count {
            let message = Message::new(MessageId::given("m").unwrap(), "".into());
            let acker = Delivery::mock(tag, "".into(), "".into(), false, Vec::new()).acker;
            let (envelope, lane, number) = (Envelope::new(message, NOW), Lane::Class(0), 100 + tag);
            shelf.arrive(Arc::new(Letter { envelope, lane, number, tag, acker, arrived_at: NOW }), NOW);
        }
        let taken = shelf.take(1_000, NOW, 7, NOW).taken;
        let letters = taken.into_iter().map(|position| shelf.holds.grip(position, 7).unwrap().letter.clone());
        let letters = letters.collect();
        (shelf, letters)
    }

    fn settle(shelf: &mut Shelf, letter: &Arc<Letter>) -> Receiver<Fate> {
        shelf.settle(letter.clone(), shelf.epoch()).unwrap().0
    }

    fn batch(shelf: &mut Shelf) -> Batch {
        shelf.batch(shelf.epoch()).unwrap()
    }

    fn words(batch: &Batch) -> Vec<(u64, bool)> {
        batch.words.iter().map(|word| (word.letter.tag, word.multiple)).collect()
    }

    #[test]
    fn one_word_is_of_several_where_nothing_before_them_is_open() {
        let (mut shelf, letters) = gripped(6);
        let settle_all = |shelf: &mut Shelf, places: &[usize]| {
            places.iter().map(|place| settle(shelf, &letters[*place])).collect::<Vec<_>>()
        };
        let _fates = settle_all(&mut shelf, &[1, 0, 4]);
        assert_eq!(words(&batch(&mut shelf)), [(5, false), (2, true)]);
        let _fates = settle_all(&mut shelf, &[3, 5]);
        assert_eq!(words(&batch(&mut shelf)), [(4, false), (6, false)], "the third is open");
        let _fates = settle_all(&mut shelf, &[2]);
        assert_eq!(words(&batch(&mut shelf)), [(3, false)], "those behind it were told of before");
    }

    #[test]
    fn what_was_given_back_is_spoken_of_no_more() {
        let (mut shelf, letters) = gripped(3);
        let epoch = shelf.epoch();
        shelf.ended(&letters[0], epoch);
        let _fates = [settle(&mut shelf, &letters[1]), settle(&mut shelf, &letters[2])];
        assert_eq!(words(&batch(&mut shelf)), [(3, true)]);
    }

    #[test]
    fn one_sees_to_all_that_waits_until_nothing_does() {
        let (mut shelf, letters) = gripped(2);
        let epoch = shelf.epoch();
        let (mut first, begins) = shelf.settle(letters[0].clone(), epoch).unwrap();
        assert!(begins);
        let under_way = batch(&mut shelf);
        let (mut second, begins) = shelf.settle(letters[1].clone(), epoch).unwrap();
        assert!(!begins && first.try_recv().is_err());
        shelf.told(under_way, Fate::Told);
        assert_eq!(first.try_recv(), Ok(Fate::Told));
        assert!(!shelf.holds.is_empty() && second.try_recv().is_err());
        let next = batch(&mut shelf);
        shelf.told(next, Fate::Told);
        assert_eq!(second.try_recv(), Ok(Fate::Told));
        assert!(shelf.holds.is_empty() && shelf.batch(epoch).is_none());
        assert!(shelf.settle(letters[0].clone(), epoch).unwrap().1, "whoever saw to it has ended");
    }

    #[test]
    fn what_waits_when_its_channel_goes_is_let_go_and_told_to_nobody() {
        let (mut shelf, letters) = gripped(2);
        let epoch = shelf.epoch();
        let mut under_way = settle(&mut shelf, &letters[0]);
        let batch = batch(&mut shelf);
        let mut waiting = settle(&mut shelf, &letters[1]);
        drop(shelf.clear(Consuming::No { not_before: NOW }));
        assert_eq!(waiting.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(under_way.try_recv(), Err(TryRecvError::Empty));
        assert!(!shelf.holds.is_empty(), "of the first it is not known yet");
        shelf.told(batch, Fate::Unsure);
        assert_eq!(under_way.try_recv(), Ok(Fate::Unsure));
        assert!(shelf.holds.is_empty() && shelf.batch(epoch).is_none());
        assert!(shelf.settle(letters[0].clone(), epoch).is_none(), "it came over another channel");
    }
}
