//! The port [`BrokerAdmin`] on RabbitMQ, as far as AMQP alone can.
