//! The queues' log: writing it, giving its space back, reading it again.

pub(crate) mod journal;
pub(crate) mod recover;
pub(crate) mod retain;
pub(crate) mod space;

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;
