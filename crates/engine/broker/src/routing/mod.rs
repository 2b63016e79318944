//! Exchanges, bindings and where they send a message: AMQP's routing as pure code, without I/O, clocks or locks.
//!
//! One [`Topology`](topology::Topology) is one virtual host. Requests are decided by looking at it (`decide`): the answer
//! is a [`Refusal`](refusal::Refusal) or the [`Change`](change::Change)s to be made, those of which that must survive a
//! restart can be written as bytes. Changes are then applied, now or by recovery, and cannot fail.
//! - `exchange`, `binding`: what there is to route by
//! - `decide`: declare, delete, bind, unbind, and what a queue takes with it; `fall`: the exchanges that go with something
//! - `topology`: the exchanges and bindings, and how changes change them
//! - `table`: how each kind of exchange finds the destinations of a message
//! - `route`: the way through exchanges, alternates and cycles to the queues
//! - `change`, `codec`: changes as bytes
//! - `refusal`, `term`: what a client is told, in RabbitMQ's words

pub mod binding;
pub mod change;
mod codec;
pub mod decide;
pub mod exchange;
mod fall;
pub mod refusal;
pub mod route;
mod table;
mod term;
pub mod topology;
#[cfg(test)]
mod world;
