//! What the daemon can be told: `settings` is the one list, `value` how each kind is written, `load` where they come
//! from (flag over environment over file over default), `users` who may speak AMQP, which only the file tells.

pub(crate) mod load;
pub(crate) mod settings;
pub(crate) mod users;
pub(crate) mod value;
