//! The class confirm.

use forebay_wire::amqp::methods::confirm;

use crate::connection::session::Session;
use crate::exception::Result;

impl Session {
    pub(super) fn confirm_select(&mut self, number: u16, select: confirm::Select) -> Result<()> {
        self.channel(number)?.publisher.confirm();
        if !select.nowait {
            self.send(number, &confirm::SelectOk {});
        }
        Ok(())
    }
}
