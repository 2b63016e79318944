//! What may be wrong with a broker, one thing at a time.

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,

    // Declaring.
    /// Settings that differ are taken for equal.
    NoConflict,
    /// It does not say which setting differs.
    ConflictWithoutName,
    /// Settings out of range are taken.
    TakesAnySettings,
    /// A setting is taken that it says it cannot keep.
    TakesWhatItDoesNotKeep,
    /// A setting is refused that it says it can keep.
    RefusesWhatItKeeps,
    /// A queue may be declared once.
    DeclaresOnce,
    /// After a restart, settings that differ are taken for equal.
    ForgetsSettings,

    // Publishing.
    /// A publish is confirmed before it is kept.
    ConfirmsBeforeKeeping,
    /// The last of a batch is lost.
    LosesTheLast,
    /// Everything is published twice.
    PublishesTwice,
    /// A batch is taken in the wrong order.
    SwapsABatch,
    /// Ids are answered in the wrong order.
    SwapsIds,
    /// Of a batch that is refused, a part is taken.
    TakesAPart,
    /// A queue that is not there is declared.
    DeclaresByItself,
    /// Headers are lost.
    NoHeaders,
    /// Large payloads are cut.
    CutsPayloads,
    /// A full queue is not to be asked again.
    FullIsFinal,
    /// The length of a queue is not kept.
    NoLength,
    /// What is held counts for the length.
    HeldCounts,
    /// What is finished counts for the length.
    FinishedCounts,
    /// A batch of nothing is refused.
    EmptyIsInvalid,
    /// What was due before is refused.
    PastIsInvalid,
    /// Refuses where the oldest is to be dropped.
    RejectsAtLength,

    // Handing out.
    /// A held message is handed out to another.
    HandsOutWhatIsHeld,
    /// When it was published is not told.
    TellsNoTime,
    /// Messages of one receive come in the wrong order.
    SwapsDeliveries,
    /// One more is handed out than was asked for.
    HandsOutMore,
    /// The queue's hold goes before the receiver's.
    IgnoresTheReceiversHold,
    /// A queue that is not there is empty.
    EmptyForNotFound,
    /// It does not know what is held.
    HeldIsUnknown,
    /// What has ended is held.
    HeldForEver,
    /// Extending says yes and changes nothing.
    ExtendsNothing,
    /// What comes back untouched comes back behind all others.
    LosesPlaces,
    /// What is tried again comes back behind all others.
    LosesRetriedPlaces,

    // Settling.
    /// An end is confirmed before it is kept.
    ConfirmsBeforeSettling,
    /// What is done comes back later.
    DoneComesBack,
    /// Settling again says that it was done.
    SettlesTwice,
    /// The id of a hold names the message.
    SettlesByPosition,
    /// A delivery is settled by its id, whatever the queue.
    SettlesInAnyQueue,
    /// Attempts are not counted.
    ForgetsAttempts,
    /// An attempt counts that nobody has made.
    CountsReturns,
    /// An attempt does not count that somebody has made.
    CountsNothingSeen,
    /// A retry does not wait for its time.
    RetriesAtOnce,
    /// A retry does not come at its time.
    RetriesLate,

    // Holds that run out.
    /// They are not offered.
    OffersNothing,
    /// They are offered again before their time.
    OffersTwice,
    /// They are offered once, and never again.
    OffersOnce,
    /// What was settled is offered.
    OffersWhatWasDone,
    /// The message is handed out before anybody has decided.
    GivesBackWhatRanOut,

    // Times.
    /// A delay is not kept.
    NoDelay,
    /// A delay lasts too long.
    DelaysTwice,
    /// Nothing is handed out while anything is delayed.
    DelayedHoldUpOthers,
    /// A message's time to live is not kept.
    NoTtl,
    /// A queue's is not.
    NoQueueTtl,

    // Dead letters.
    /// They are lost.
    DropsDeadLetters,
    /// They are in both queues.
    DeadLettersStay,
    /// Their queue must be there.
    NoDeadLetterQueue,
    /// They come without history.
    NoHistory,
    /// They come with another reason.
    NoReason,
    /// They come without what was noted.
    NoNote,
    /// A second departure counts as the first.
    CountsNoDepartures,
    /// Their attempts are counted on.
    CountsOnAsDeadLetter,
    /// An exchange for dead letters is taken and not used.
    NoExchange,

    // Sequence.
    /// Several of a key are held at a time.
    NoOrder,
    /// One is held at a time, whatever its key.
    OneAtATime,
    /// Priorities are taken and not kept.
    NoPriorities,
    /// Priorities are kept where none were asked for.
    AlwaysPriorities,
    /// What was published twice is taken twice.
    NoWindow,
    /// It is never taken again.
    LongWindow,
    /// Messages are one that are not.
    OneDedup,
    /// All queues have one window.
    OneWindow,
    /// Messages without a key have one together.
    NoKeyIsAKey,
    /// After a restart it is taken again.
    ForgetsDedupOnRestart,
    /// Of a key, older ones stay.
    KeepsAllOfAKey,

    // Waiting.
    /// A receive does not wait.
    NeverWaits,
    /// A receive does not give up.
    WaitsTooLong,
    /// Only one receiver is served at a time.
    OneReceiver,
    /// A receive that is dropped takes a message with it.
    TakesWhenItIsDropped,
    /// A receive that is dropped loses what it has taken.
    LosesWhatIsDropped,
    /// A close leaves waiting who waits.
    CloseLeavesWaiting,
    /// What is closed seems to be away.
    ClosedIsAway,
    /// A deletion leaves waiting who waits.
    DeletionLeavesWaiting,

    // Restarts.
    /// Attempts are forgotten.
    ForgetsAttemptsOnRestart,
    /// Holds end.
    LosesHolds,
    /// What was delayed is ready.
    LosesDelays,
    /// What was to be tried again later is ready.
    LosesRetries,
    /// What was done comes back.
    RedeliversWhatWasDone,
    /// What is ready comes in another order.
    LosesOrder,
    /// What is ready has no priorities.
    LosesPriorities,
    /// Dead letters are lost.
    LosesDeadLetters,
    /// What was replaced comes back.
    BringsBackWhatWasReplaced,
    /// What was purged comes back.
    PurgesForNow,
    /// What was redriven is in both queues.
    RedrivesIntoBoth,
    /// Queues that were paused are not.
    ForgetsPauses,
    /// What was retained is not there.
    ForgetsRetained,

    // Administration.
    /// A look takes what it sees.
    LooksTake,
    /// A purge says how many, and leaves them.
    PurgesNothing,
    /// A purge leaves what is delayed.
    PurgesReady,
    /// A purge takes what is held.
    PurgesHeld,
    /// A deletion leaves the queue.
    DeletesMessages,
    /// A redrive takes them all.
    RedrivesAll,
    /// A redrive loses what has nowhere to go.
    RedrivesIntoNothing,
    /// What is held is not counted.
    CountsNoHeld,
    /// A queue that is not there is empty.
    NowhereIsEmpty,
    /// A pause is taken and not kept.
    PausesNothing,
    /// Nothing can be settled in a paused queue.
    PausesSettling,
    /// Finding takes what it finds.
    FindTakes,
    /// Only what is ready is found.
    FindsReady,
    /// Among several the newest is found.
    FindsNewest,
    /// What is finished is found.
    FindsFinished,
    /// What is finished is not retained.
    RetainsNothing,
    /// It is retained for too long.
    RetainsLong,
    /// A replay begins at the beginning.
    ReplaysAll,
    /// A replay takes what it reads.
    ReplayTakes,
    /// What was purged is retained too.
    ReplaysWhatWasNotDone,
    /// A queue that retains nothing is empty to who would read it again.
    RefusesNothing,
}
