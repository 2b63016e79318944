//! The saboteur of the `Files` port: keeps only what a completed sync covered, and forgets, tears and reorders the rest.
//!
//! It holds two pictures of one directory: what the process sees, and what is on the medium. A write, a creation, a
//! renaming or a removal changes the first at once and the second only through a sync. [`Saboteur::crash`] loses
//! power: of everything not synced any part may have reached the medium, in any order, cut at sectors or at bytes.
//! [`Saboteur::restart`] kills only the process: everything it wrote is still there, and still not synced.

mod medium;
mod saboteur;

pub use saboteur::{Operation, Saboteur};
