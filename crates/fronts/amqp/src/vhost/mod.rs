//! A virtual host as AMQP declares it: exchanges and bindings, queues, and how they were asked for.

pub(crate) mod arguments;
mod declaration;
pub(crate) mod declare;
mod expire;
pub(crate) mod queue;
pub(crate) mod registry;
pub(crate) mod turns;
