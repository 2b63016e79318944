//! The settings of queues, as they lie on the server.

use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_core::error::{Kind, Result};
use forebay_core::ports::broker::Receive;
use forebay_core::queue::{QueueName, QueueSettings};
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeleteOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use super::{Real, SERVER, quorum};

impl Real {
    /// Forgets what it knows of its queues.
    fn start_anew(&mut self) {
        self.close();
        self.reopen();
    }

    fn ensures(&self, settings: &QueueSettings) -> Result<()> {
        self.ground.run(self.broker().ensure(settings))
    }

    /// On the server without the backend.
    fn beside<T>(&self, act: impl AsyncFnOnce(&Channel) -> T) -> T {
        self.ground.run(async {
            let server = SERVER.get_or_init(RabbitMq::start);
            let connection =
                Connection::connect(&server.url(), ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            let done = act(&channel).await;
            connection.close(200, "".into()).await.unwrap();
            done
        })
    }
}

#[test]
fn of_two_records_the_first_counts_for_all_and_the_other_goes() {
    let mut one = quorum();
    let settings = QueueSettings::new(QueueName::new("orders").unwrap());
    let mut other = QueueSettings::new(QueueName::new("others").unwrap());
    other.retry.attempt_max = 3;
    one.ensures(&settings).unwrap();
    one.ensures(&other).unwrap();
    let record = |of: &QueueSettings| format!("{}{}.forebay.settings", one.settings.prefix, of.name);
    let (first, second) = (record(&settings), record(&other));
    // As if it had been written by who has lost the lock without having noticed.
    one.beside(async |channel| {
        let got = channel.basic_get(second.as_str().into(), BasicGetOptions::default()).await.unwrap();
        let body = got.unwrap().delivery.data;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let publishing = channel.basic_publish("".into(), first.as_str().into(), options, &body, properties);
        publishing.await.unwrap().await.unwrap();
    });
    let other = QueueSettings { name: settings.name.clone(), ..other };
    for _ in 0..2 {
        one.start_anew();
        assert_eq!(one.ensures(&other).unwrap_err().kind(), Kind::Conflict);
        one.ensures(&settings).unwrap();
    }
    let behind = one.beside(async |channel| {
        let got = channel.basic_get(first.as_str().into(), BasicGetOptions::default()).await.unwrap();
        got.unwrap().message_count
    });
    assert_eq!(behind, 0);
}

#[test]
fn a_queue_of_which_nothing_can_be_had_is_away_and_not_empty() {
    let mut one = quorum();
    let queue = QueueName::new("halved").unwrap();
    let settings = QueueSettings::new(queue.clone());
    one.ensures(&settings).unwrap();
    let lane = format!("{}{queue}", one.settings.prefix);
    // As if whoever deleted it had died before the settings were.
    one.beside(async |channel| {
        channel.queue_delete(lane.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    });
    one.start_anew();
    let receive = || {
        let asked = Receive { count_max: 1, hold: None, wait_until: one.now() + Duration::from_secs(2) };
        one.ground.run(one.broker().receive(&queue, asked))
    };
    assert_eq!(receive().unwrap_err().kind(), Kind::Unavailable);
    one.ensures(&settings).unwrap();
    assert!(receive().or_else(|_| receive()).or_else(|_| receive()).unwrap().is_empty(), "it is whole again");
}
