//! The demo and the load it is made of.
