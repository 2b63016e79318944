//! The ready messages of a queue, in the order in which they are to be delivered.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::entry::Entry;
use super::lines::Lines;
use super::list::List;

/// Ready messages: a list for each priority that is told apart and there, and, where the queue keeps order by key, the
/// lines of those that wait for another of their key.
///
/// The lists are cleared of messages that have to wait as they come to the front ([`pass_over`](Self::pass_over)), each
/// once for every message that its key is held by: whoever takes the front never looks behind it. Of a key that nobody
/// holds the first message is in a list, never in a line.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// The greatest priority last. None is empty, unless it is the only one.
    classes: Vec<Class>,
    priority_max: u8,
    /// Only where the queue keeps order by key.
    lines: Option<Lines>,
    len: usize,
    /// How many have no body in memory.
    cold: usize,
    /// Only where their bytes count.
    payloads: Option<Box<Payloads>>,
}

/// How long payloads are.
#[derive(Debug, Default)]
struct Payloads {
    /// By position, of all the queue's messages.
    lengths: HashMap<u64, u64>,
    /// Their sum over the ready ones.
    ready_bytes: u64,
}

impl Payloads {
    fn length(&self, position: u64) -> u64 {
        self.lengths.get(&position).copied().unwrap_or(0)
    }
}

#[derive(Debug, Default)]
struct Class {
    priority: u8,
    list: List,
}

impl Ready {
    pub(crate) fn new(priority_max: u8) -> Self {
        Self { priority_max, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// True if a body kept for the next fresh message will be needed as soon as those that are kept now. Memory is for
    /// the front of the list: behind a message that must be read from the log, nothing is kept.
    pub(crate) fn is_hot(&self) -> bool {
        self.cold == 0
    }

    /// From now on no message passes another of its key that is [`hold`](Self::hold)ing it.
    pub(crate) fn keep_keys_in_order(&mut self) {
        self.lines.get_or_insert_default();
    }

    /// Tells priorities apart up to this one, the present messages' too.
    pub(crate) fn tell_apart(&mut self, priority_max: u8) {
        if self.priority_max != priority_max {
            let mut entries: Vec<_> = self.clear().collect();
            entries.sort_unstable_by_key(|entry| entry.position);
            self.priority_max = priority_max;
            entries.into_iter().for_each(|entry| self.insert(entry));
        }
    }

    /// Adds at the end of its class or line, or in its place there if later ones are there.
    pub(crate) fn insert(&mut self, entry: Entry) {
        self.len += 1;
        self.cold += usize::from(entry.body.is_none());
        if let Some(payloads) = &mut self.payloads {
            payloads.ready_bytes += payloads.length(entry.position);
        }
        match &mut self.lines {
            Some(lines) if lines.is_held(entry.key) => lines.wait(entry),
            _ => self.enlist(entry),
        }
    }

    fn enlist(&mut self, entry: Entry) {
        let priority = entry.priority.min(self.priority_max);
        let index = match self.classes.binary_search_by_key(&priority, |class| class.priority) {
            Ok(index) => index,
            // The memory of an only list that has become empty serves the next.
            Err(_) if self.classes.len() == 1 && self.head().is_none() => 0,
            Err(index) => {
                self.classes.insert(index, Class::default());
                index
            }
        };
        if let Some(class) = self.classes.get_mut(index) {
            class.priority = priority;
            class.list.insert(entry);
        }
    }

    /// The one to be delivered next, once all that must wait were [passed over](Self::pass_over).
    pub(crate) fn head(&self) -> Option<&Entry> {
        self.classes.last()?.list.head()
    }

    /// Puts those at the front that must wait for another of their key into their lines, at most `count_max` of them;
    /// false if that was not enough.
    pub(crate) fn pass_over(&mut self, count_max: usize) -> bool {
        let Some(lines) = &mut self.lines else { return true };
        for _ in 0..count_max {
            let Some(class) = self.classes.last_mut() else { return true };
            if !class.list.head().is_some_and(|head| lines.is_held(head.key)) {
                return true;
            }
            class.list.pop().into_iter().for_each(|entry| lines.wait(entry));
        }
        false
    }

    /// Takes the front, to be held.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let last = self.classes.len().checked_sub(1)?;
        let entry = self.classes.get_mut(last)?.list.pop()?;
        self.took(last, &entry);
        Some(entry)
    }

    /// Takes out the one at `position`. Looks into every class and line.
    pub(crate) fn remove(&mut self, position: u64) -> Option<Entry> {
        let lists = self.classes.iter_mut().enumerate().rev();
        let taken = lists.into_iter().find_map(|(index, class)| Some((index, class.list.remove(position)?)));
        if let Some((index, entry)) = taken {
            self.took(index, &entry);
            // It goes without having been held: it may have been the one in the list for which others wait in line.
            let next = self.lines.as_mut().and_then(|lines| lines.next(entry.key));
            next.into_iter().for_each(|next| self.enlist(next));
            return Some(entry);
        }
        let entry = self.lines.as_mut()?.remove(position)?;
        self.uncount(&entry);
        Some(entry)
    }

    fn took(&mut self, index: usize, entry: &Entry) {
        self.uncount(entry);
        if self.classes.len() > 1 && self.classes.get(index).is_some_and(|class| class.list.is_empty()) {
            self.classes.remove(index);
        }
    }

    fn uncount(&mut self, entry: &Entry) {
        self.len -= 1;
        self.cold -= usize::from(entry.body.is_none());
        if let Some(payloads) = &mut self.payloads {
            payloads.ready_bytes -= payloads.length(entry.position);
        }
    }

    /// Bytes of payload of the ready messages, as far as they were noted.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payloads.as_ref().map_or(0, |payloads| payloads.ready_bytes)
    }

    /// The same of one message; 0 if it is not among them.
    pub(crate) fn payload_bytes_of(&mut self, position: u64) -> u64 {
        match self.get_mut(position) {
            Some(_) => self.payloads.as_ref().map_or(0, |payloads| payloads.length(position)),
            None => 0,
        }
    }

    /// Of how many messages the length is noted.
    #[cfg(test)]
    pub(crate) fn noted_payloads(&self) -> usize {
        self.payloads.as_ref().map_or(0, |payloads| payloads.lengths.len())
    }

    /// Notes the length of a payload whose message is not among the ready ones yet.
    pub(crate) fn note_payload(&mut self, position: u64, bytes: usize) {
        self.payloads.get_or_insert_default().lengths.insert(position, bytes as u64);
    }

    /// The message is not among the ready ones any more, nor comes again.
    pub(crate) fn forget_payload(&mut self, position: u64) {
        if let Some(payloads) = &mut self.payloads {
            payloads.lengths.remove(&position);
        }
    }

    /// Forgets all lengths but those of these, which are not among the ready ones.
    pub(crate) fn forget_other_payloads(&mut self, positions: impl Iterator<Item = u64>) {
        let Some(payloads) = self.payloads.take() else { return };
        for position in positions {
            let length = payloads.lengths.get(&position);
            length.into_iter().for_each(|length| self.note_payload(position, *length as usize));
        }
    }

    /// Lets others of its key wait for this message, which is not among the ready ones.
    pub(crate) fn hold(&mut self, entry: &mut Entry) {
        if let Some(lines) =
            self.lines.as_mut().filter(|_| entry.key != super::entry::NO_KEY && !entry.holds_key())
        {
            entry.set_holds_key(true);
            lines.hold(entry.key);
        }
    }

    /// Lets the next of its key come, if it has held it.
    pub(crate) fn release(&mut self, entry: &mut Entry) {
        if !entry.set_holds_key(false) {
            return;
        }
        let next = self.lines.as_mut().and_then(|lines| lines.release(entry.key));
        next.into_iter().for_each(|next| self.enlist(next));
    }

    fn lists(&self) -> impl Iterator<Item = &List> {
        let lines = self.lines.iter().flat_map(Lines::lists);
        self.classes.iter().rev().map(|class| &class.list).chain(lines)
    }

    /// The entry whose body is kept and will be needed last, as far as that is easily told. The caller must take it:
    /// from here on the entry counts as one without.
    pub(crate) fn cool_last(&mut self) -> Option<&mut Entry> {
        let lines = self.lines.iter_mut().flat_map(Lines::lists_mut);
        let entry =
            self.classes.iter_mut().map(|class| &mut class.list).chain(lines).find_map(List::last_kept)?;
        self.cold += 1;
        Some(entry)
    }

    /// Lets `take` have the bodies that [`cool_last`](Self::cool_last) does not find: of messages that have waited in a line
    /// and came out of it behind others without. Looks at every entry, if there is any such.
    pub(crate) fn cool_rest(&mut self, mut take: impl FnMut(&mut Entry)) {
        if self.cold == self.len {
            return;
        }
        let lines = self.lines.iter_mut().flat_map(Lines::lists_mut);
        let lists = self.classes.iter_mut().map(|class| &mut class.list).chain(lines);
        lists.flat_map(List::kept).for_each(&mut take);
        self.cold = self.len;
    }

    /// What the lists take, bodies apart.
    pub(crate) fn bytes(&self) -> usize {
        let lengths = self.payloads.as_ref().map_or(0, |payloads| payloads.lengths.capacity());
        lengths * (size_of::<(u64, u64)>() + 1)
            + self.lists().map(List::bytes).sum::<usize>()
            + self.lines.as_ref().map_or(0, Lines::bytes)
    }

    /// The entry at `position`, whose body must stay as it is.
    pub(crate) fn get_mut(&mut self, position: u64) -> Option<&mut Entry> {
        let lines = self.lines.as_mut();
        let enlisted = self.classes.iter_mut().rev().find_map(|class| class.list.get_mut(position));
        enlisted.or_else(|| lines.and_then(|lines| lines.get_mut(position)))
    }

    /// The one that came first.
    pub(crate) fn oldest(&self) -> Option<&Entry> {
        let heads = self.classes.iter().filter_map(|class| class.list.head());
        heads.chain(self.lines.as_ref().and_then(Lines::oldest)).min_by_key(|entry| entry.position)
    }

    /// The first of those with the least priority.
    pub(crate) fn least(&self) -> Option<&Entry> {
        let head = self.classes.first().and_then(|class| class.list.head());
        let waiting = self.lines.as_ref().and_then(Lines::oldest);
        head.into_iter().chain(waiting).min_by_key(|entry| entry.position)
    }

    /// The first that came behind `position`; 0 is before all.
    pub(crate) fn next_after(&self, position: u64) -> Option<&Entry> {
        self.lists().filter_map(|list| list.after(position).next()).min_by_key(|entry| entry.position)
    }

    /// All behind `position`, in the order of their arrival; 0 is before the first.
    pub(crate) fn after(&self, position: u64) -> impl Iterator<Item = &Entry> {
        std::iter::successors(self.next_after(position), |entry| self.next_after(entry.position))
    }

    /// All, as they would be delivered if each were settled before the next.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = &Entry> + '_> {
        if self.lines.is_none() {
            return Box::new(self.lists().flat_map(|list| list.after(0)));
        }
        let mut lists: Vec<_> = self.lists().map(|list| list.after(0).peekable()).collect();
        let mut next = BinaryHeap::new();
        for (index, list) in lists.iter_mut().enumerate() {
            next.extend(list.peek().map(|entry| Reverse((entry.position, index))));
        }
        Box::new(std::iter::from_fn(move || {
            let Reverse((_, index)) = next.pop()?;
            let list = lists.get_mut(index)?;
            let entry = list.next();
            next.extend(list.peek().map(|entry| Reverse((entry.position, index))));
            entry
        }))
    }

    /// Takes all out, in no particular order. No key is held any more.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Entry> + use<> {
        let lines = self.lines.as_ref().map(|_| Lines::default());
        let mut payloads = self.payloads.take();
        payloads.iter_mut().for_each(|payloads| payloads.ready_bytes = 0);
        let cleared = Self { priority_max: self.priority_max, lines, payloads, ..Self::default() };
        let all = std::mem::replace(self, cleared);
        let waiting = all.lines.into_iter().flat_map(Lines::into_entries);
        all.classes.into_iter().flat_map(|class| class.list.into_entries()).chain(waiting)
    }

    /// Makes one list of each class: after recovery, when what was carried forward has come in behind what was not.
    pub(crate) fn settle_order(&mut self) {
        self.classes.iter_mut().for_each(|class| class.list.settle_order());
    }

    /// How many messages hold a key or wait for one, told by the number of lines; and whether the accounts agree.
    #[cfg(test)]
    pub(crate) fn audit(&self) -> (usize, bool) {
        let cold = self.iter().filter(|entry| entry.body.is_none()).count();
        let (lines, firsts, waiting) = self.lines.as_ref().map_or((0, 0, 0), Lines::audit);
        let counted = (self.iter().count(), cold, firsts) == (self.len, self.cold, waiting);
        let classes = self.classes.len() < 2 || self.classes.iter().all(|class| !class.list.is_empty());
        (lines, counted && classes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use forebay_core::message::{Message, MessageId};
    use forebay_core::payload::Payload;

    use super::super::entry::{Rank, at};
    use super::*;

    fn take(ready: &mut Ready) -> Option<u64> {
        assert!(ready.pass_over(usize::MAX));
        let mut entry = ready.pop()?;
        ready.hold(&mut entry);
        ready.release(&mut entry);
        assert!(ready.audit().1);
        Some(entry.position)
    }

    fn order(ready: &mut Ready) -> Vec<u64> {
        let looked_at: Vec<_> = ready.iter().map(|entry| entry.position).collect();
        let taken: Vec<_> = std::iter::from_fn(|| take(ready)).collect();
        assert_eq!(looked_at, taken);
        taken
    }

    fn with_priorities(priority_max: u8, priorities: &[u8]) -> Ready {
        let mut ready = Ready::new(priority_max);
        for (position, priority) in (1..).zip(priorities) {
            ready.insert(at(position, Rank::of(*priority, None)));
        }
        ready
    }

    fn keyed(keys: &[&str]) -> Ready {
        let mut ready = Ready::default();
        ready.keep_keys_in_order();
        for (position, key) in (1..).zip(keys) {
            ready.insert(at(position, Rank::of(0, Some(*key).filter(|key| !key.is_empty()))));
        }
        ready
    }

    #[test]
    fn bodies_are_kept_only_while_all_others_are() {
        let mut ready = Ready::default();
        let mut hot = at(1, Rank::default());
        hot.body = Some(Arc::new(Message::new(MessageId::given("m").unwrap(), Payload::empty())));
        ready.insert(hot);
        assert!(ready.is_hot());
        ready.insert(at(2, Rank::default()));
        assert!(!ready.is_hot());
        ready.pop();
        assert!(!ready.is_hot());
        ready.remove(2);
        assert!(ready.is_hot());
    }

    #[test]
    fn greater_priorities_go_first_and_equal_ones_as_they_came() {
        assert_eq!(order(&mut with_priorities(9, &[0, 5, 9, 5, 0, 9])), [3, 6, 2, 4, 1, 5]);
        assert_eq!(order(&mut with_priorities(0, &[0, 5, 9])), [1, 2, 3], "priorities are not asked for");
        assert_eq!(
            order(&mut with_priorities(5, &[4, 5, 9, 255])),
            [2, 3, 4, 1],
            "above the greatest is greatest"
        );
    }

    #[test]
    fn a_returned_message_goes_back_to_its_place_in_its_class() {
        let mut ready = with_priorities(9, &[1, 7, 7, 7]);
        let (first, second) = (ready.pop().unwrap(), ready.pop().unwrap());
        ready.insert(second);
        ready.insert(first);
        assert_eq!(ready.remove(3).unwrap().position, 3);
        assert_eq!(order(&mut ready), [2, 4, 1]);
    }

    #[test]
    fn what_is_told_apart_may_be_learned_late() {
        let mut ready = with_priorities(0, &[0, 5, 9]);
        ready.tell_apart(9);
        assert_eq!((ready.oldest().unwrap().position, ready.least().unwrap().position), (1, 1));
        assert_eq!(ready.next_after(1).unwrap().position, 2);
        assert_eq!(order(&mut ready), [3, 2, 1]);
    }

    #[test]
    fn messages_wait_for_another_of_their_key_and_others_pass() {
        let mut ready = keyed(&["a", "a", "b", "", "a", ""]);
        let mut a = ready.pop().unwrap();
        ready.hold(&mut a);
        assert_eq!([take(&mut ready), take(&mut ready), take(&mut ready)], [Some(3), Some(4), Some(6)]);
        assert!(take(&mut ready).is_none() && ready.len() == 2);
        ready.insert(at(7, Rank::of(0, Some("a"))));
        assert_eq!(ready.head().map(|head| head.position), None, "it waits in line from the start");
        assert_eq!(ready.oldest().unwrap().position, 2);
        assert_eq!(ready.iter().map(|entry| entry.position).collect::<Vec<_>>(), [2, 5, 7]);
        assert_eq!(ready.get_mut(5).unwrap().position, 5);
        ready.release(&mut a);
        ready.insert(a);
        assert_eq!(order(&mut ready), [1, 2, 5, 7]);
        assert_eq!(ready.audit(), (0, true), "no line is left");
    }

    #[test]
    fn a_message_waits_until_the_last_that_holds_its_key_lets_it_go() {
        let mut ready = keyed(&["a", "a", "a"]);
        let (mut first, mut second) = (ready.pop().unwrap(), ready.pop().unwrap());
        ready.hold(&mut first);
        ready.hold(&mut second);
        ready.release(&mut first);
        assert_eq!(take(&mut ready), None);
        ready.release(&mut second);
        ready.release(&mut second);
        assert_eq!(take(&mut ready), Some(3));
    }

    #[test]
    fn when_the_first_of_a_line_goes_without_being_held_the_next_comes() {
        let mut ready = keyed(&["a", "a", "a", "a"]);
        let mut first = ready.pop().unwrap();
        ready.hold(&mut first);
        assert_eq!(take(&mut ready), None);
        ready.release(&mut first);
        ready.insert(at(9, Rank::of(0, Some("a"))));
        assert_eq!(ready.remove(2).unwrap().position, 2, "it expires, or is dropped");
        assert_eq!(order(&mut ready), [3, 4, 9]);
    }

    #[test]
    fn a_hot_key_is_passed_over_once_and_in_parts() {
        let mut ready = keyed(&["hot"; 100]);
        let mut hot = ready.pop().unwrap();
        ready.hold(&mut hot);
        ready.insert(at(200, Rank::of(0, Some("cold"))));
        assert!(!ready.pass_over(60) && !ready.pass_over(39) && ready.pass_over(1));
        assert_eq!(ready.head().unwrap().position, 200);
        ready.release(&mut hot);
        assert_eq!(ready.head().unwrap().position, 2, "only the first comes back");
        assert_eq!(ready.remove(3).unwrap().position, 3);
        assert_eq!(ready.clear().count(), 99);
        assert_eq!(ready.audit(), (0, true));
    }
}
