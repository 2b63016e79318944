//! Results over crashes, and at the ends of what they have.
//!
//! - `scene`: results on a disk that can be sabotaged, and short ways to ask
//! - `crashes`: random histories against a model of what was told
//! - `ends`: of room, of disk, of a prefix; damage

mod crashes;
mod ends;
mod scene;
