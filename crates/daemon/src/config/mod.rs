//! What the daemon can be told: `settings` is the one list, `value` how each kind is written, `load` where they come
//! from (flag over environment over file over default).

pub(crate) mod load;
pub(crate) mod settings;
pub(crate) mod value;
