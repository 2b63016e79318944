//! `tidy`: the house rules that a compiler does not know.

mod arrows;
mod map;
mod rooms;

use std::path::Path;

use crate::Result;

/// Checks every rule, prints every breach, and fails if there is one.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut breaches = arrows::check(root)?;
    breaches.extend(rooms::check(root)?);
    breaches.extend(map::check(root)?);
    for breach in &breaches {
        eprintln!("{breach}");
    }
    match breaches.len() {
        0 => Ok(()),
        count => {
            Err(format!("tidy found {count} breaches of the house rules (ARCHITECTURE.md, CONTRIBUTING.md)"))
        }
    }
}
