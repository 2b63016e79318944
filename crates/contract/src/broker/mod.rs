//! The suite of the `Broker` port.
