//! Numbers with a unit, as settings are written: `256MiB`, `10s`.

mod number;

pub use number::{SIZES, SPANS, measure, show};
