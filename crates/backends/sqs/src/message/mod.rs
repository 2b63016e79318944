//! A message as it travels: its payload is the body, or lies beside SQS; everything else is in one attribute.

pub(crate) mod claims;
pub(crate) mod envelope;
