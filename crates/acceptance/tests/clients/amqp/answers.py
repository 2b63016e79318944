"""What the scripts share that are run against two servers: one line a step, and the lines must be the same."""

import pika
import pika.exceptions


class Client:
    """A connection with a channel; both are opened anew where a step closes them."""

    def __init__(self, address, **changes):
        self.address, self.changes = address, changes
        self.connection = self.connect()
        self.channel = self.connection.channel()

    def connect(self, user="guest", password="guest", **changes):
        host, port = self.address.rsplit(":", 1)
        credentials = pika.PlainCredentials(self.changes.get("user", user), self.changes.get("password", password))
        return pika.BlockingConnection(pika.ConnectionParameters(host, int(port), credentials=credentials, **changes))

    def step(self, name, act):
        """Says what came of it."""
        try:
            print(f"{name}: {act()}", flush=True)
        except pika.exceptions.ChannelClosedByBroker as closed:
            print(f"{name}: channel closed {closed.reply_code} {closed.reply_text}", flush=True)
            self.channel = self.connection.channel()
        except pika.exceptions.ConnectionClosedByBroker as closed:
            print(f"{name}: connection closed {closed.reply_code} {closed.reply_text}", flush=True)
            self.connection = self.connect()
            self.channel = self.connection.channel()

    def declare(self, name, **flags):
        answer = self.channel.queue_declare(name, **flags).method
        return answer.queue, answer.message_count, answer.consumer_count

    def get(self, queue):
        method, properties, body = self.channel.basic_get(queue, auto_ack=True)
        if method is None:
            return "empty"
        return method.exchange, method.routing_key, properties.headers, body
