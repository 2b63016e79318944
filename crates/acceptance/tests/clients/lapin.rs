//! lapin, a client in Rust.

use forebay_acceptance::amqp::load::connect;
use forebay_acceptance::daemon::Daemon;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions,
    BasicQosOptions, ConfirmSelectOptions, ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ExchangeKind};

/// Runs a client that has a connection to a daemon of its own.
fn session<F: Future<Output = ()>>(client: impl FnOnce(Connection) -> F) {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { client(connect(daemon.amqp).await.unwrap()).await });
    assert!(daemon.stop(), "the daemon stops cleanly");
}

async fn publish(channel: &Channel, (exchange, key): (&str, &str), body: &[u8]) -> Confirmation {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let confirm = channel.basic_publish(exchange.into(), key.into(), options, body, properties).await;
    confirm.unwrap().await.unwrap()
}

#[test]
fn lapin_is_confirmed_refused_and_given_back_what_goes_nowhere() {
    session(async |connection| {
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        channel.queue_declare("full".into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
        assert!(publish(&channel, ("", "full"), b"1").await.is_ack());
        assert!(publish(&channel, ("", "full"), b"2").await.is_nack());
        let returned = publish(&channel, ("", "absent"), b"back").await.take_message();
        assert_eq!(returned.expect("it is returned").reply_code, 312);
        assert_eq!(channel.queue_delete("full".into(), QueueDeleteOptions::default()).await.unwrap(), 1);
        connection.close(200, "done".into()).await.unwrap();
    });
}

#[test]
fn lapin_consumes_in_order_through_two_exchanges_and_gives_back() {
    session(async |connection| {
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let (table, durable) = (FieldTable::default, ExchangeDeclareOptions::default());
        channel.exchange_declare("from".into(), ExchangeKind::Topic, durable, table()).await.unwrap();
        channel.exchange_declare("to".into(), ExchangeKind::Fanout, durable, table()).await.unwrap();
        let bind = ExchangeBindOptions::default();
        channel.exchange_bind("to".into(), "from".into(), "*.b.#".into(), bind, table()).await.unwrap();
        channel.queue_declare("end".into(), QueueDeclareOptions::durable(), table()).await.unwrap();
        channel
            .queue_bind("end".into(), "to".into(), "".into(), QueueBindOptions::default(), table())
            .await
            .unwrap();
        for number in 0..100 {
            assert!(publish(&channel, ("from", "a.b.c.d"), number.to_string().as_bytes()).await.is_ack());
        }
        channel.basic_qos(10, BasicQosOptions::default()).await.unwrap();
        let mut deliveries = channel
            .basic_consume("end".into(), "mine".into(), BasicConsumeOptions::default(), table())
            .await
            .unwrap();
        for number in 0..100 {
            let delivery = deliveries.next().await.unwrap().unwrap();
            assert_eq!(delivery.data, number.to_string().as_bytes());
            if number == 99 {
                delivery.nack(BasicNackOptions { requeue: true, multiple: false }).await.unwrap();
            } else {
                delivery.ack(BasicAckOptions::default()).await.unwrap();
            }
        }
        let again = deliveries.next().await.unwrap().unwrap();
        assert!(again.redelivered && again.data == b"99");
        again.ack(BasicAckOptions::default()).await.unwrap();
        assert!(channel.basic_get("end".into(), BasicGetOptions::default()).await.unwrap().is_none());
        connection.close(200, "done".into()).await.unwrap();
    });
}

#[test]
fn lapin_is_told_why_its_channel_was_closed_and_goes_on_with_another() {
    session(async |connection| {
        let channel = connection.create_channel().await.unwrap();
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let refused = channel.queue_declare("absent".into(), passive, FieldTable::default()).await;
        assert!(refused.unwrap_err().to_string().contains("NOT_FOUND - no queue 'absent' in vhost '/'"));
        let channel = connection.create_channel().await.unwrap();
        channel
            .queue_declare("there".into(), QueueDeclareOptions::default(), FieldTable::default())
            .await
            .unwrap();
        connection.close(200, "done".into()).await.unwrap();
    });
}
