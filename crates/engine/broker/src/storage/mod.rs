//! The queues' log: writing it, giving its space back, reading it again.

pub(crate) mod claims;
pub(crate) mod journal;
mod live;
pub(crate) mod recover;
pub(crate) mod retain;
pub(crate) mod space;

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;
