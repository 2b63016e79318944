//! The class confirm.

use forebay_wire::amqp::methods::confirm;

use crate::connection::session::Session;
use crate::exception::{Exception, Result};

impl Session {
    pub(super) fn confirm_select(&mut self, number: u16, select: confirm::Select) -> Result<()> {
        let channel = self.channel(number)?;
        if channel.transaction.is_some() {
            return Err(Exception::precondition("cannot switch from tx to confirm mode"));
        }
        channel.publisher.confirm();
        if !select.nowait {
            self.send(number, &confirm::SelectOk {});
        }
        Ok(())
    }
}
