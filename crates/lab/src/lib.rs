//! The demo and the load it is made of.

pub mod demo;
