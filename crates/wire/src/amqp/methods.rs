//! The methods of AMQP 0-9-1 with RabbitMQ's extensions: every class, its methods, their arguments in order.
//!
//! Read `Declare<'a> = 10, "queue.declare", Client { … }` as: method 10 of its class, sent by clients. `bool` is a
//! bit, `ShortStr` a short string, `&[u8]` or `Secret` a long one; integers are octet, short, long and longlong. `ticket` and what
//! is called `reserved` elsewhere has no meaning any more and is sent as zero.

use super::classes::classes;
use super::fault::{Fault, Reason};
use super::octets::{Argument, Reader, Writer};
use super::table::Table;
use super::text::{Secret, ShortStr};

classes! {
    /// The connection as a whole, on channel 0: greeting, authentication, limits, end.
    class connection, Connection<'a> = 10 {
        /// The server's first word: who it is and how a client may prove who it is.
        Start<'a> = 10, "connection.start", Server {
            version_major: u8,
            version_minor: u8,
            server_properties: Table<'a>,
            mechanisms: &'a [u8],
            locales: &'a [u8],
        }
        /// Who the client is, and the proof by the mechanism it chose.
        StartOk<'a> = 11, "connection.start_ok", Client {
            client_properties: Table<'a>,
            mechanism: ShortStr<'a>,
            response: Secret<'a>,
            locale: ShortStr<'a>,
        }
        /// The mechanism needs one more exchange.
        Secure<'a> = 20, "connection.secure", Server { challenge: &'a [u8] }
        /// The client's part of that exchange.
        SecureOk<'a> = 21, "connection.secure_ok", Client { response: Secret<'a> }
        /// The limits the server proposes; 0 is none. `heartbeat` is in seconds.
        Tune = 30, "connection.tune", Server { channel_max: u16, frame_max: u32, heartbeat: u16 }
        /// The limits that hold.
        TuneOk = 31, "connection.tune_ok", Client { channel_max: u16, frame_max: u32, heartbeat: u16 }
        /// The virtual host this connection is for.
        Open<'a> = 40, "connection.open", Client {
            virtual_host: ShortStr<'a>,
            capabilities: ShortStr<'a>,
            insist: bool,
        }
        /// The virtual host is open.
        OpenOk<'a> = 41, "connection.open_ok", Server { known_hosts: ShortStr<'a> }
        /// The end, and why; with the method that was at fault, or zeros.
        Close<'a> = 50, "connection.close", Either {
            reply_code: u16,
            reply_text: ShortStr<'a>,
            class_id: u16,
            method_id: u16,
        }
        /// Nothing comes after this.
        CloseOk = 51, "connection.close_ok", Either {}
        /// The server takes no more messages until further notice.
        Blocked<'a> = 60, "connection.blocked", Server { reason: ShortStr<'a> }
        /// It takes them again.
        Unblocked = 61, "connection.unblocked", Server {}
        /// A new secret before the old one expires.
        UpdateSecret<'a> = 70, "connection.update_secret", Client {
            new_secret: Secret<'a>,
            reason: ShortStr<'a>,
        }
        /// The new secret was accepted.
        UpdateSecretOk = 71, "connection.update_secret_ok", Server {}
    }

    /// One channel of a connection.
    class channel, Channel<'a> = 20 {
        /// Opens the channel the frame is on.
        Open<'a> = 10, "channel.open", Client { out_of_band: ShortStr<'a> }
        /// The channel is open.
        OpenOk<'a> = 11, "channel.open_ok", Server { channel_id: &'a [u8] }
        /// Asks the other side to send no content, or to send it again.
        Flow = 20, "channel.flow", Either { active: bool }
        /// It will.
        FlowOk = 21, "channel.flow_ok", Either { active: bool }
        /// The end of the channel, and why; with the method that was at fault, or zeros.
        Close<'a> = 40, "channel.close", Either {
            reply_code: u16,
            reply_text: ShortStr<'a>,
            class_id: u16,
            method_id: u16,
        }
        /// Nothing comes after this on the channel.
        CloseOk = 41, "channel.close_ok", Either {}
    }

    /// Access tickets of AMQP 0-8. Clients still ask; the answer means nothing.
    class access, Access<'a> = 30 {
        /// Asks for a ticket.
        Request<'a> = 10, "access.request", Client {
            realm: ShortStr<'a>,
            exclusive: bool,
            passive: bool,
            active: bool,
            write: bool,
            read: bool,
        }
        /// A ticket.
        RequestOk = 11, "access.request_ok", Server { ticket: u16 }
    }

    /// Exchanges and the bindings between them.
    class exchange, Exchange<'a> = 40 {
        /// Creates an exchange, or checks that it is as said; `passive` only asks whether it is there.
        Declare<'a> = 10, "exchange.declare", Client {
            ticket: u16,
            exchange: ShortStr<'a>,
            r#type: ShortStr<'a>,
            passive: bool,
            durable: bool,
            auto_delete: bool,
            internal: bool,
            nowait: bool,
            arguments: Table<'a>,
        }
        /// It is there.
        DeclareOk = 11, "exchange.declare_ok", Server {}
        /// Deletes an exchange.
        Delete<'a> = 20, "exchange.delete", Client {
            ticket: u16,
            exchange: ShortStr<'a>,
            if_unused: bool,
            nowait: bool,
        }
        /// It is gone.
        DeleteOk = 21, "exchange.delete_ok", Server {}
        /// Binds one exchange to another.
        Bind<'a> = 30, "exchange.bind", Client {
            ticket: u16,
            destination: ShortStr<'a>,
            source: ShortStr<'a>,
            routing_key: ShortStr<'a>,
            nowait: bool,
            arguments: Table<'a>,
        }
        /// They are bound.
        BindOk = 31, "exchange.bind_ok", Server {}
        /// Ends a binding between exchanges.
        Unbind<'a> = 40, "exchange.unbind", Client {
            ticket: u16,
            destination: ShortStr<'a>,
            source: ShortStr<'a>,
            routing_key: ShortStr<'a>,
            nowait: bool,
            arguments: Table<'a>,
        }
        /// The binding is gone. The number is no mistake of ours: RabbitMQ's extension says 51, not 41.
        UnbindOk = 51, "exchange.unbind_ok", Server {}
    }

    /// Queues and their bindings.
    class queue, Queue<'a> = 50 {
        /// Creates a queue, or checks that it is as said; `passive` only asks whether it is there.
        Declare<'a> = 10, "queue.declare", Client {
            ticket: u16,
            queue: ShortStr<'a>,
            passive: bool,
            durable: bool,
            exclusive: bool,
            auto_delete: bool,
            nowait: bool,
            arguments: Table<'a>,
        }
        /// It is there, with so many messages ready and so many consumers.
        DeclareOk<'a> = 11, "queue.declare_ok", Server {
            queue: ShortStr<'a>,
            message_count: u32,
            consumer_count: u32,
        }
        /// Binds a queue to an exchange.
        Bind<'a> = 20, "queue.bind", Client {
            ticket: u16,
            queue: ShortStr<'a>,
            exchange: ShortStr<'a>,
            routing_key: ShortStr<'a>,
            nowait: bool,
            arguments: Table<'a>,
        }
        /// It is bound.
        BindOk = 21, "queue.bind_ok", Server {}
        /// Removes all messages that are ready.
        Purge<'a> = 30, "queue.purge", Client { ticket: u16, queue: ShortStr<'a>, nowait: bool }
        /// So many are gone.
        PurgeOk = 31, "queue.purge_ok", Server { message_count: u32 }
        /// Deletes a queue.
        Delete<'a> = 40, "queue.delete", Client {
            ticket: u16,
            queue: ShortStr<'a>,
            if_unused: bool,
            if_empty: bool,
            nowait: bool,
        }
        /// It is gone, with so many messages.
        DeleteOk = 41, "queue.delete_ok", Server { message_count: u32 }
        /// Ends a binding. The only such method that cannot go unanswered.
        Unbind<'a> = 50, "queue.unbind", Client {
            ticket: u16,
            queue: ShortStr<'a>,
            exchange: ShortStr<'a>,
            routing_key: ShortStr<'a>,
            arguments: Table<'a>,
        }
        /// The binding is gone.
        UnbindOk = 51, "queue.unbind_ok", Server {}
    }

    /// Messages: publish, consume, settle. Publish, return, deliver and get-ok are followed by a content.
    class basic, Basic<'a> = 60 {
        /// How much may be delivered and not settled.
        Qos = 10, "basic.qos", Client { prefetch_size: u32, prefetch_count: u16, global: bool }
        /// The limit holds.
        QosOk = 11, "basic.qos_ok", Server {}
        /// Starts a consumer.
        Consume<'a> = 20, "basic.consume", Client {
            ticket: u16,
            queue: ShortStr<'a>,
            consumer_tag: ShortStr<'a>,
            no_local: bool,
            no_ack: bool,
            exclusive: bool,
            nowait: bool,
            arguments: Table<'a>,
        }
        /// It is started, by this name.
        ConsumeOk<'a> = 21, "basic.consume_ok", Server { consumer_tag: ShortStr<'a> }
        /// Ends a consumer; from the server, says that it has ended.
        Cancel<'a> = 30, "basic.cancel", Either { consumer_tag: ShortStr<'a>, nowait: bool }
        /// It has ended.
        CancelOk<'a> = 31, "basic.cancel_ok", Either { consumer_tag: ShortStr<'a> }
        /// A message for an exchange. A content follows.
        Publish<'a> = 40, "basic.publish", Client {
            ticket: u16,
            exchange: ShortStr<'a>,
            routing_key: ShortStr<'a>,
            mandatory: bool,
            immediate: bool,
        }
        /// A message that could not be routed. A content follows.
        Return<'a> = 50, "basic.return", Server {
            reply_code: u16,
            reply_text: ShortStr<'a>,
            exchange: ShortStr<'a>,
            routing_key: ShortStr<'a>,
        }
        /// A message for a consumer. A content follows.
        Deliver<'a> = 60, "basic.deliver", Server {
            consumer_tag: ShortStr<'a>,
            delivery_tag: u64,
            redelivered: bool,
            exchange: ShortStr<'a>,
            routing_key: ShortStr<'a>,
        }
        /// Asks for one message.
        Get<'a> = 70, "basic.get", Client { ticket: u16, queue: ShortStr<'a>, no_ack: bool }
        /// The message, with how many are still ready. A content follows.
        GetOk<'a> = 71, "basic.get_ok", Server {
            delivery_tag: u64,
            redelivered: bool,
            exchange: ShortStr<'a>,
            routing_key: ShortStr<'a>,
            message_count: u32,
        }
        /// There is none.
        GetEmpty<'a> = 72, "basic.get_empty", Server { cluster_id: ShortStr<'a> }
        /// Done with a message; `multiple`: and all before it. From the server: confirmed.
        Ack = 80, "basic.ack", Either { delivery_tag: u64, multiple: bool }
        /// A message is given back or refused.
        Reject = 90, "basic.reject", Client { delivery_tag: u64, requeue: bool }
        /// As [`Recover`], without an answer.
        RecoverAsync = 100, "basic.recover_async", Client { requeue: bool }
        /// Asks for all messages again that were delivered and not settled.
        Recover = 110, "basic.recover", Client { requeue: bool }
        /// They will come.
        RecoverOk = 111, "basic.recover_ok", Server {}
        /// RabbitMQ's reject with `multiple`. From the server: not confirmed.
        Nack = 120, "basic.nack", Either { delivery_tag: u64, multiple: bool, requeue: bool }
    }

    /// RabbitMQ's publisher confirms.
    class confirm, Confirm = 85 {
        /// Asks that every message published on the channel be confirmed.
        Select = 10, "confirm.select", Client { nowait: bool }
        /// They will be.
        SelectOk = 11, "confirm.select_ok", Server {}
    }

    /// Transactions of one channel.
    class tx, Tx = 90 {
        /// Publishes and acknowledgements wait for a commit from now on.
        Select = 10, "tx.select", Client {}
        /// They do.
        SelectOk = 11, "tx.select_ok", Server {}
        /// Carries them out.
        Commit = 20, "tx.commit", Client {}
        /// They are carried out.
        CommitOk = 21, "tx.commit_ok", Server {}
        /// Forgets them.
        Rollback = 30, "tx.rollback", Client {}
        /// They are forgotten.
        RollbackOk = 31, "tx.rollback_ok", Server {}
    }
}

/// The numbers of a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MethodId {
    /// Of its class.
    pub class: u16,
    /// Within the class.
    pub method: u16,
}

impl MethodId {
    /// No method: what a close carries that is not about one.
    pub const NONE: Self = Self { class: 0, method: 0 };
}

/// Who sends a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The client alone.
    Client,
    /// The server alone.
    Server,
    /// Both.
    Either,
}

/// A method's arguments and their place in a frame.
pub trait Arguments<'a>: Sized {
    /// Which method it is.
    const ID: MethodId;

    /// Reads all arguments from `arguments`, to its end.
    ///
    /// # Errors
    /// They are not as declared.
    fn decode(arguments: &'a [u8]) -> Result<Self, Fault>;

    /// Writes all arguments.
    fn encode(&self, out: &mut Vec<u8>);
}

/// RabbitMQ names no method for text that is not UTF-8.
const fn fault(reason: Reason, method: MethodId) -> Fault {
    match reason {
        Reason::NotUtf8 => Fault::of_frame(reason),
        _ => Fault::of_method(reason, method),
    }
}

/// A line of the declaration.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) name: &'static str,
    pub(super) id: MethodId,
    pub(super) sender: Sender,
    pub(super) arguments: Vec<(&'static str, &'static str)>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::*;
    use crate::amqp::octets::put_long;
    use crate::amqp::table::{ArrayBuf, TableBuf, Value};
    use crate::amqp::text::ShortBytes;

    /// The methods of RabbitMQ's published definition, written out from it and not from the declaration above.
    const DEFINITION: &str = "
        connection.start 10.10 version_major:octet version_minor:octet server_properties:table mechanisms:longstr locales:longstr
        connection.start_ok 10.11 client_properties:table mechanism:shortstr response:longstr locale:shortstr
        connection.secure 10.20 challenge:longstr
        connection.secure_ok 10.21 response:longstr
        connection.tune 10.30 channel_max:short frame_max:long heartbeat:short
        connection.tune_ok 10.31 channel_max:short frame_max:long heartbeat:short
        connection.open 10.40 virtual_host:shortstr capabilities:shortstr insist:bit
        connection.open_ok 10.41 known_hosts:shortstr
        connection.close 10.50 reply_code:short reply_text:shortstr class_id:short method_id:short
        connection.close_ok 10.51
        connection.blocked 10.60 reason:shortstr
        connection.unblocked 10.61
        connection.update_secret 10.70 new_secret:longstr reason:shortstr
        connection.update_secret_ok 10.71
        channel.open 20.10 out_of_band:shortstr
        channel.open_ok 20.11 channel_id:longstr
        channel.flow 20.20 active:bit
        channel.flow_ok 20.21 active:bit
        channel.close 20.40 reply_code:short reply_text:shortstr class_id:short method_id:short
        channel.close_ok 20.41
        access.request 30.10 realm:shortstr exclusive:bit passive:bit active:bit write:bit read:bit
        access.request_ok 30.11 ticket:short
        exchange.declare 40.10 ticket:short exchange:shortstr type:shortstr passive:bit durable:bit auto_delete:bit internal:bit nowait:bit arguments:table
        exchange.declare_ok 40.11
        exchange.delete 40.20 ticket:short exchange:shortstr if_unused:bit nowait:bit
        exchange.delete_ok 40.21
        exchange.bind 40.30 ticket:short destination:shortstr source:shortstr routing_key:shortstr nowait:bit arguments:table
        exchange.bind_ok 40.31
        exchange.unbind 40.40 ticket:short destination:shortstr source:shortstr routing_key:shortstr nowait:bit arguments:table
        exchange.unbind_ok 40.51
        queue.declare 50.10 ticket:short queue:shortstr passive:bit durable:bit exclusive:bit auto_delete:bit nowait:bit arguments:table
        queue.declare_ok 50.11 queue:shortstr message_count:long consumer_count:long
        queue.bind 50.20 ticket:short queue:shortstr exchange:shortstr routing_key:shortstr nowait:bit arguments:table
        queue.bind_ok 50.21
        queue.purge 50.30 ticket:short queue:shortstr nowait:bit
        queue.purge_ok 50.31 message_count:long
        queue.delete 50.40 ticket:short queue:shortstr if_unused:bit if_empty:bit nowait:bit
        queue.delete_ok 50.41 message_count:long
        queue.unbind 50.50 ticket:short queue:shortstr exchange:shortstr routing_key:shortstr arguments:table
        queue.unbind_ok 50.51
        basic.qos 60.10 prefetch_size:long prefetch_count:short global:bit
        basic.qos_ok 60.11
        basic.consume 60.20 ticket:short queue:shortstr consumer_tag:shortstr no_local:bit no_ack:bit exclusive:bit nowait:bit arguments:table
        basic.consume_ok 60.21 consumer_tag:shortstr
        basic.cancel 60.30 consumer_tag:shortstr nowait:bit
        basic.cancel_ok 60.31 consumer_tag:shortstr
        basic.publish 60.40 ticket:short exchange:shortstr routing_key:shortstr mandatory:bit immediate:bit
        basic.return 60.50 reply_code:short reply_text:shortstr exchange:shortstr routing_key:shortstr
        basic.deliver 60.60 consumer_tag:shortstr delivery_tag:longlong redelivered:bit exchange:shortstr routing_key:shortstr
        basic.get 60.70 ticket:short queue:shortstr no_ack:bit
        basic.get_ok 60.71 delivery_tag:longlong redelivered:bit exchange:shortstr routing_key:shortstr message_count:long
        basic.get_empty 60.72 cluster_id:shortstr
        basic.ack 60.80 delivery_tag:longlong multiple:bit
        basic.reject 60.90 delivery_tag:longlong requeue:bit
        basic.recover_async 60.100 requeue:bit
        basic.recover 60.110 requeue:bit
        basic.recover_ok 60.111
        basic.nack 60.120 delivery_tag:longlong multiple:bit requeue:bit
        confirm.select 85.10 nowait:bit
        confirm.select_ok 85.11
        tx.select 90.10
        tx.select_ok 90.11
        tx.commit 90.20
        tx.commit_ok 90.21
        tx.rollback 90.30
        tx.rollback_ok 90.31
    ";

    #[test]
    fn every_method_is_as_in_the_published_definition() {
        let mut lines = DEFINITION.lines().map(str::trim).filter(|line| !line.is_empty());
        for Declared { name, id, arguments, .. } in declared() {
            let mut line = format!("{name} {}.{}", id.class, id.method);
            for (argument, kind) in arguments {
                line += &format!(" {}:{kind}", argument.trim_start_matches("r#"));
            }
            assert_eq!(Some(line.as_str()), lines.next());
            assert_eq!(id.name(), Some(name));
        }
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn answers_come_from_the_other_side_than_what_they_answer() {
        for Declared { name, sender, .. } in declared() {
            let Some(asked) = name.strip_suffix("_ok") else { continue };
            let asker = declared().into_iter().find(|method| method.name == asked).unwrap().sender;
            match asker {
                Sender::Client => assert_eq!(sender, Sender::Server, "{name}"),
                Sender::Server => assert_eq!(sender, Sender::Client, "{name}"),
                Sender::Either => assert_eq!(sender, Sender::Either, "{name}"),
            }
        }
    }

    #[test]
    fn a_method_that_is_not_declared_is_refused_and_has_no_name() {
        for (class, method) in
            [(0, 0), (10, 0), (10, 12), (40, 41), (60, 121), (99, 10), (u16::MAX, u16::MAX)]
        {
            let id = MethodId { class, method };
            assert_eq!(Method::decode(id, &[]), Err(Fault::of_method(Reason::UnknownMethod, id)));
            assert_eq!(id.name(), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_read_of_any_method_is_written_as_it_came(seed in any::<u64>()) {
            for declared in declared() {
                let arguments = sample(&declared, seed);
                let method = Method::decode(declared.id, &arguments).unwrap();
                assert_eq!((method.id(), method.sender()), (declared.id, declared.sender));
                let mut written = Vec::new();
                method.encode(&mut written);
                assert_eq!(written, arguments, "{method:?}");
            }
        }

        #[test]
        fn arguments_that_end_too_early_or_too_late_are_refused(seed in any::<u64>()) {
            for declared in declared() {
                let mut arguments = sample(&declared, seed);
                arguments.push(0);
                let whole = arguments.len() - 1;
                for length in (0..whole).chain([whole + 1]) {
                    assert_eq!(
                        Method::decode(declared.id, &arguments[..length]),
                        Err(Fault::of_method(Reason::Arguments, declared.id)),
                        "{length} of {whole}",
                    );
                }
            }
        }
    }

    /// Octets that are arguments of the method, different for every seed.
    fn sample(declared: &Declared, seed: u64) -> Vec<u8> {
        let mut random = seed ^ u64::from(declared.id.method) << 16 ^ u64::from(declared.id.class);
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random ^ random >> 32
        };
        let (mut out, mut bits) = (Vec::new(), 0);
        for (_, kind) in &declared.arguments {
            let number = next();
            let octets = number.to_be_bytes();
            if *kind == "bit" {
                if bits == 0 {
                    out.push(0);
                }
                *out.last_mut().unwrap() |= ((number & 1) as u8) << bits;
                bits += 1;
                continue;
            }
            bits = 0;
            match *kind {
                "octet" => out.extend_from_slice(&octets[..1]),
                "short" => out.extend_from_slice(&octets[..2]),
                "long" => out.extend_from_slice(&octets[..4]),
                "longlong" => out.extend_from_slice(&octets),
                "shortstr" => {
                    let length = number as usize % 256;
                    out.push(length as u8);
                    out.extend((0..length).map(|_| (next() % 128) as u8));
                }
                "longstr" => put_long(&mut out, &octets[..number as usize % 9]),
                "table" => put_long(&mut out, table(number).as_table().as_bytes()),
                other => unreachable!("{other}"),
            }
        }
        out
    }

    fn table(number: u64) -> TableBuf {
        let name = ShortBytes::new(b"a name").unwrap();
        let mut table = TableBuf::new();
        if number % 2 == 1 {
            table.push(name, Value::I64(number as i64)).push(name, Value::Text(b"text"));
        }
        if number % 4 == 3 {
            let mut array = ArrayBuf::new();
            array.push(Value::Table(table.clone().as_table())).push(Value::Void);
            table.push(name, Value::Array(array.as_array()));
        }
        table
    }
}
