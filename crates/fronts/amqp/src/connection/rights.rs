//! What the user of a connection may do.

use std::net::SocketAddr;

use forebay_wire::amqp::reply::ReplyCode;

use super::session::Session;
use crate::access::login::Login;
use crate::access::permissions::Right;
use crate::exception::{Exception, Result};

/// The default exchange by the name that permissions have for it.
const DEFAULT_EXCHANGE: &str = "amq.default";

impl Session {
    /// Lets the user in whose proof this is.
    pub(super) async fn log_in(&mut self, mechanism: &str, response: &[u8], peer: SocketAddr) -> Result<()> {
        match self.shared.door.judge(mechanism, response, peer).await {
            Login::Granted(user) => {
                self.user = user;
                Ok(())
            }
            Login::UnknownMechanism => {
                let text = format!("unknown authentication mechanism '{mechanism}'");
                Err(Exception::command_invalid(text))
            }
            Login::Refused => {
                let text = format!(
                    "Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
                );
                Err(Exception::new(ReplyCode::AccessRefused, text))
            }
        }
    }

    /// Enters the virtual host of this name.
    pub(super) fn enter(&mut self, vhost: &str) -> Result<()> {
        let not_allowed = |text: String| Exception::new(ReplyCode::NotAllowed, text);
        let Some(found) = self.shared.vhosts.get(vhost) else {
            return Err(not_allowed(format!("vhost {vhost} not found")));
        };
        let Some(permissions) = self.shared.door.directory.permissions(&self.user, vhost) else {
            let text = format!("access to vhost '{vhost}' refused for user '{}'", self.user);
            return Err(not_allowed(text));
        };
        self.vhost = found.clone();
        self.permissions = Some(permissions);
        Ok(())
    }

    /// Refuses where the user has no such right to the queue.
    pub(crate) fn may_use(&self, right: Right, queue: &str) -> Result<()> {
        self.may(right, "queue", queue)
    }

    /// The same of an exchange.
    pub(crate) fn may_use_exchange(&self, right: Right, exchange: &str) -> Result<()> {
        self.may(right, "exchange", if exchange.is_empty() { DEFAULT_EXCHANGE } else { exchange })
    }

    fn may(&self, right: Right, kind: &str, name: &str) -> Result<()> {
        if self.permissions.as_ref().is_some_and(|permissions| permissions.allow(right, name)) {
            return Ok(());
        }
        let (vhost, user) = (&self.vhost.name, &self.user);
        let text = format!("access to {kind} '{name}' in vhost '{vhost}' refused for user '{user}'");
        Err(Exception::new(ReplyCode::AccessRefused, text))
    }
}
