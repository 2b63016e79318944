"""kombu: a producer, a consumer mixin, a simple queue, a mailbox, and its retries.

Usage: kombu_session.py HOST:PORT
"""

import sys
import threading

import kombu
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.mixins import ConsumerMixin
from kombu.pidbox import Mailbox
from kombu.pools import producers

URL = f"amqp://guest:guest@{sys.argv[1]}//"
WAIT = 20


def simple_queue():
    with Connection(URL) as connection, connection.SimpleQueue("kombu-simple") as queue:
        queue.put({"deep": [1, 2, {"three": "3"}]}, compression="zlib")
        message = queue.get(timeout=WAIT)
        assert message.payload == {"deep": [1, 2, {"three": "3"}]}
        message.requeue()
        message = queue.get(timeout=WAIT)
        assert message.delivery_info["redelivered"]
        message.ack()
        assert queue.qsize() == 0
    with Connection(URL) as connection:
        Queue("kombu-simple")(connection.default_channel).delete()


def producer_and_consumer():
    topics = Exchange("kombu-topics", "topic", durable=True)
    mine = Queue("kombu-mine", topics, "a.*", durable=True, message_ttl=600, max_length=1000, max_priority=3)
    with Connection(URL, transport_options={"confirm_publish": True}) as connection:
        came = []

        def take(body, message):
            came.append(body)
            message.ack()

        with Consumer(connection, [mine], callbacks=[take], prefetch_count=10):
            with producers[connection].acquire(block=True) as producer:
                for number in range(100):
                    producer.publish(number, exchange=topics, routing_key="a.b", declare=[mine], retry=True, priority=0)
            while len(came) < 100:
                connection.drain_events(timeout=WAIT)
        assert came == list(range(100)), came
        mine(connection.default_channel).delete()
        topics(connection.default_channel).delete()


def mixin():
    queue = Queue("kombu-mixin", durable=False)

    class Taker(ConsumerMixin):
        def __init__(self, connection):
            self.connection, self.came = connection, []

        def get_consumers(self, Consumer, channel):
            return [Consumer([queue], callbacks=[self.take])]

        def on_consume_ready(self, connection, channel, consumers, **_):
            ready.set()

        def take(self, body, message):
            self.came.append(body)
            message.ack()
            self.should_stop = len(self.came) == 50

    ready = threading.Event()
    with Connection(URL) as connection, Connection(URL) as other:
        taker = Taker(connection)
        thread = threading.Thread(target=taker.run, daemon=True)
        thread.start()
        assert ready.wait(WAIT)
        producer = Producer(other)
        for number in range(50):
            producer.publish({"number": number}, routing_key="kombu-mixin", serializer="json")
        thread.join(WAIT)
        assert taker.came == [{"number": number} for number in range(50)]
        queue(other.default_channel).delete()


def mailbox():
    """What Celery's remote control is made of: a fanout exchange, queues that expire, answers by a direct exchange."""
    with Connection(URL) as connection, Connection(URL) as other:
        box = Mailbox("kombu-box", type="fanout", accept=["json"])
        node = box(connection).Node("here", channel=connection.default_channel)
        node.handlers["double"] = lambda _state, number: 2 * number

        def handle(body, message):
            node.handle_message(body, message)

        with node.listen(callback=handle):
            answers = []
            asking = threading.Thread(target=lambda: answers.extend(box(other).multi_call("double", {"number": 21}, timeout=5, limit=1)))
            asking.start()
            connection.drain_events(timeout=WAIT)
            asking.join(WAIT)
            assert answers == [{"here": 42}], answers


assert kombu.VERSION >= (5, 6)
for part in (simple_queue, producer_and_consumer, mixin, mailbox):
    part()
print("all well", flush=True)
