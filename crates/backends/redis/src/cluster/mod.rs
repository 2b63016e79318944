//! A cluster of servers, each of which has some of the slots that keys fall into.
//!
//! The client library has a client for clusters, but one server that stands still holds up the calls to all others there, and
//! calls are sent again of which it is not known whether they were carried out. So each server has its own link here.

pub(crate) mod places;
pub(crate) mod slots;
