//! The bounds of the SQS backend. Those that SQS sets itself are as its documentation has them in 2026.

use std::time::Duration;

/// The prefix of the names of a server's queues.
pub const PREFIX_BYTES_MAX: usize = 40;
/// A queue's name on SQS without what we add to it: SQS takes 80 characters with `.fifo`.
pub const NAME_BYTES_MAX: usize = 69;
/// Messages, receipts or changes in one request, as SQS has it.
pub const BATCH_MAX: usize = 10;
/// Bytes of one message and of one request, where SQS does not say what a queue takes.
pub const MESSAGE_BYTES_DEFAULT: usize = 256 * 1024;
/// What a message takes in a request beside its body and envelope.
pub const ENTRY_BYTES: usize = 64;
/// What is left free in a message that is published, for its attempts and for the line of history that says why it is dead.
pub const GROWTH_BYTES: usize = 2 * 1024;
/// Characters of one tag's value, as SQS has it.
pub const TAG_CHARS_MAX: usize = 256;
/// Tags of a queue that its settings are written in; SQS has 50.
pub const TAGS_MAX: usize = 40;
/// How long SQS keeps a message that nobody takes: its longest.
pub const RETENTION: Duration = Duration::from_secs(14 * 24 * 3600);
/// How long what was received stays hidden from others without another word from us, unless the URL says otherwise.
pub const VISIBILITY_DEFAULT: Duration = Duration::from_secs(30);
/// The shortest that it may say: a third of it is between two words.
pub const VISIBILITY_MIN: Duration = Duration::from_secs(2);
/// The longest that it may say.
pub const VISIBILITY_MAX: Duration = Duration::from_secs(3600);
/// The longest hold that a queue may have: SQS takes a message back 12 hours after it was received, whatever is said.
pub const HOLD_MAX: Duration = Duration::from_secs(11 * 3600 + 45 * 60);
/// For how long a message is hidden at a time that waits for its time or, in an ordered queue, in its place for its next attempt.
pub const HIDDEN_MAX: Duration = Duration::from_secs(11 * 3600);
/// How long after its reception a message may still be hidden: the 12 hours of SQS, less what a word takes on its way.
pub const IN_FLIGHT_MAX: Duration = Duration::from_secs(12 * 3600 - 60);
/// How old a message may be, as SQS counts, before it is sent anew because it has long to wait still.
pub const ANEW_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);
/// The longest delay that SQS knows.
pub const DELAY_MAX: Duration = Duration::from_secs(900);
/// How long one request for messages waits at most, as SQS has it; also unless the URL says otherwise.
pub const POLL_MAX: Duration = Duration::from_secs(20);
/// The pause after a request for messages that did not wait and found none.
pub const POLL_PAUSE: Duration = Duration::from_millis(100);
/// Requests for messages of one queue at a time, unless the URL says otherwise.
pub const POLLERS_DEFAULT: usize = 4;
/// The most that it may say.
pub const POLLERS_MAX: usize = 64;
/// A request that waits at SQS and has not been answered for so long has found nothing.
pub const EMPTY_MIN: Duration = Duration::from_millis(500);
/// Messages lie in this process unasked for no longer than this.
pub const IDLE: Duration = Duration::from_secs(1);
/// How often it is looked for such messages.
pub const LOOK: Duration = Duration::from_millis(100);
/// How long after the last receive this process still sees to what becomes due in a queue.
pub const LATER_IDLE: Duration = Duration::from_secs(10);
/// How long a call waits while SQS is away, and for its answer, unless the URL says otherwise.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// How long one request may take, beside what it waits for messages, unless the URL says otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// The longest of either.
pub const WAIT_MAX: Duration = Duration::from_secs(600);
/// The pause before SQS is asked again; doubled for every failure, up to [`PAUSE_MAX`].
pub const PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a close waits for requests that are on their way, and again to give back what was received.
pub const GOODBYE_MAX: Duration = Duration::from_secs(2);
/// Requests of one kind for one queue at a time.
pub const REQUESTS_MAX: usize = 8;
/// How often a message may come again without having been settled before each further time counts as an attempt.
pub const UNSETTLED_FREE: u32 = 10;
/// Messages of an ordered queue of which this process remembers how often it gave them back untouched.
pub const GIVEN_BACK_MAX: usize = 10_000;
/// How long a message is left alone at most whose claim cannot be redeemed; the first time for 2 s, then twice as long each time.
pub const CLAIM_PAUSE: Duration = Duration::from_secs(60);
/// A message that has come so often and whose payload was not there is a dead letter.
pub const UNREDEEMED_MAX: u32 = 5;
/// Requests that find nothing before a queue counts as purged.
pub const PURGE_EMPTY: u32 = 3;
/// How long a purge goes on although it has deleted as much as SQS has counted before: its counts are up to a minute old.
pub const PURGE_COUNTED: Duration = Duration::from_secs(60);
/// Queues that one request for their names is answered with.
pub const LIST_MAX: usize = 1_000;
