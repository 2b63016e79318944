//! The class connection, once it is open.

use forebay_wire::amqp::methods::{Method, connection};
use forebay_wire::amqp::reply::ReplyCode;

use crate::connection::session::Session;
use crate::exception::{Exception, Result};

impl Session {
    pub(super) fn connection_method(&mut self, method: &connection::Method<'_>) -> Result<()> {
        match method {
            connection::Method::Close(_) => {
                self.close_ok();
                Ok(())
            }
            // The secret is looked at when a connection begins, and never again.
            connection::Method::UpdateSecret(_) => {
                self.send(0, &connection::UpdateSecretOk {});
                Ok(())
            }
            other => {
                let id = Method::Connection(*other).id();
                Err(unexpected_while_running().of(id))
            }
        }
    }
}

/// A method on channel 0 that has no business there once the connection is open.
pub(super) fn unexpected_while_running() -> Exception {
    Exception::new(ReplyCode::ChannelError, "unexpected method in connection state running")
}
