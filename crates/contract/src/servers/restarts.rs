//! What can be done to a server, whatever it is.

/// A server that can be made to stand still.
pub trait Pauses {
    /// Lets it stand still: its connections stay open and nothing is answered.
    fn pause(&self);
    /// Lets it go on.
    fn resume(&self);
}

/// A server that comes back with what it keeps.
pub trait Restarts: Pauses {
    /// Ends it in good order.
    fn stop(&self);
    /// Ends it with SIGKILL.
    fn kill(&self);
    /// Starts it where it was, with the files that it left, and waits until it answers.
    fn start_again(&self);
}
