//! AMQP 0-9-1 as RabbitMQ speaks it: bytes in, borrowed frames out, and back.
//!
//! [`greeting::greet`] reads the eight octets a client begins with, [`frame::Decoder`] everything after them;
//! [`mod@write`] is the way out. The protocol itself is declared in [`methods`] and [`properties`], once for both
//! directions. Nothing here allocates but the output buffer: strings, tables and bodies point into the input. Who may
//! say what, on which channel and when, is for the front to know.

mod classes;
pub mod fault;
pub mod frame;
pub mod greeting;
pub mod methods;
mod octets;
pub mod properties;
pub mod reply;
pub mod table;
pub mod text;
pub mod write;
