//! lapin, a client in Rust.

use std::fmt::Debug;
use std::panic::Location;
use std::time::Duration;

use forebay_acceptance::amqp::load::connect;
use forebay_acceptance::daemon::Daemon;
use futures_util::TryStreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions,
    BasicQosOptions, ConfirmSelectOptions, ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ExchangeKind};
use tokio::time::timeout;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What comes of it, in time; or fails with the place that waited for it.
#[track_caller]
fn in_time<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let asked = Location::caller();
    async move {
        let answer = timeout(ANSWER_MAX, future).await;
        answer.unwrap_or_else(|_| panic!("no answer within {ANSWER_MAX:?} to what was asked at {asked}"))
    }
}

/// The same where it may not be refused.
#[track_caller]
fn answer<T, E: Debug>(future: impl Future<Output = Result<T, E>>) -> impl Future<Output = T> {
    let (asked, answer) = (Location::caller(), in_time(future));
    async move { answer.await.unwrap_or_else(|error| panic!("refused what was asked at {asked}: {error:?}")) }
}

/// Runs a client that has a connection to a daemon of its own.
fn session<F: Future<Output = ()>>(client: impl FnOnce(Connection) -> F) {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { client(answer(connect(daemon.amqp)).await).await });
    assert!(daemon.stop(), "the daemon stops cleanly");
}

async fn publish(channel: &Channel, (exchange, key): (&str, &str), body: &[u8]) -> Confirmation {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let confirm = answer(channel.basic_publish(exchange.into(), key.into(), options, body, properties)).await;
    answer(confirm).await
}

#[test]
fn lapin_is_confirmed_refused_and_given_back_what_goes_nowhere() {
    session(async |connection| {
        let channel = answer(connection.create_channel()).await;
        answer(channel.confirm_select(ConfirmSelectOptions::default())).await;
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        answer(channel.queue_declare("full".into(), QueueDeclareOptions::durable(), arguments)).await;
        assert!(publish(&channel, ("", "full"), b"1").await.is_ack());
        assert!(publish(&channel, ("", "full"), b"2").await.is_nack());
        let returned = publish(&channel, ("", "absent"), b"back").await.take_message();
        assert_eq!(returned.expect("it is returned").reply_code, 312);
        assert_eq!(answer(channel.queue_delete("full".into(), QueueDeleteOptions::default())).await, 1);
        answer(connection.close(200, "done".into())).await;
    });
}

#[test]
fn lapin_consumes_in_order_through_two_exchanges_and_gives_back() {
    session(async |connection| {
        let channel = answer(connection.create_channel()).await;
        answer(channel.confirm_select(ConfirmSelectOptions::default())).await;
        let (table, durable) = (FieldTable::default, ExchangeDeclareOptions::default());
        answer(channel.exchange_declare("from".into(), ExchangeKind::Topic, durable, table())).await;
        answer(channel.exchange_declare("to".into(), ExchangeKind::Fanout, durable, table())).await;
        let bind = ExchangeBindOptions::default();
        answer(channel.exchange_bind("to".into(), "from".into(), "*.b.#".into(), bind, table())).await;
        answer(channel.queue_declare("end".into(), QueueDeclareOptions::durable(), table())).await;
        let bind = QueueBindOptions::default();
        answer(channel.queue_bind("end".into(), "to".into(), "".into(), bind, table())).await;
        for number in 0..100 {
            assert!(publish(&channel, ("from", "a.b.c.d"), number.to_string().as_bytes()).await.is_ack());
        }
        answer(channel.basic_qos(10, BasicQosOptions::default())).await;
        let consume = BasicConsumeOptions::default();
        let mut deliveries =
            answer(channel.basic_consume("end".into(), "mine".into(), consume, table())).await;
        for number in 0..100 {
            let delivery = answer(deliveries.try_next()).await.unwrap();
            assert_eq!(delivery.data, number.to_string().as_bytes());
            if number == 99 {
                answer(delivery.nack(BasicNackOptions { requeue: true, multiple: false })).await;
            } else {
                answer(delivery.ack(BasicAckOptions::default())).await;
            }
        }
        let again = answer(deliveries.try_next()).await.unwrap();
        assert!(again.redelivered && again.data == b"99");
        answer(again.ack(BasicAckOptions::default())).await;
        assert!(answer(channel.basic_get("end".into(), BasicGetOptions::default())).await.is_none());
        answer(connection.close(200, "done".into())).await;
    });
}

#[test]
fn lapin_is_told_why_its_channel_was_closed_and_goes_on_with_another() {
    session(async |connection| {
        let channel = answer(connection.create_channel()).await;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let refused = in_time(channel.queue_declare("absent".into(), passive, FieldTable::default())).await;
        assert!(refused.unwrap_err().to_string().contains("NOT_FOUND - no queue 'absent' in vhost '/'"));
        let channel = answer(connection.create_channel()).await;
        let declare = QueueDeclareOptions::default();
        answer(channel.queue_declare("there".into(), declare, FieldTable::default())).await;
        answer(connection.close(200, "done".into())).await;
    });
}
