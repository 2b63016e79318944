"""What of an AMQP server's exchanges, bindings, queues and messages is there after it was killed, one line a step.

Usage: restart.py before|between|after HOST:PORT
"""

import sys

import pika

from answers import Client

phase, address = sys.argv[1:]
client = Client(address)
channel = client.channel
channel.confirm_delivery()
KEPT = pika.BasicProperties(delivery_mode=2)


def publish(exchange, key, body, **properties):
    channel.basic_publish(exchange, key, body, pika.BasicProperties(delivery_mode=2, **properties))


def before():
    channel.exchange_declare("kept", "topic", durable=True)
    channel.exchange_declare("kept too", "headers", durable=True, arguments={"alternate-exchange": "kept"})
    channel.exchange_declare("passing", "fanout")
    channel.queue_declare("kept", durable=True, arguments={"x-max-length": 5, "x-message-ttl": 600_000})
    channel.queue_declare("ranks", durable=True, arguments={"x-max-priority": 3})
    channel.queue_declare("passing")
    channel.queue_bind("kept", "kept", "a.#")
    channel.queue_bind("passing", "kept", "#")
    channel.queue_bind("kept", "passing", "")
    channel.queue_bind("ranks", "kept too", "", arguments={"x-match": "all", "n": 1})
    channel.exchange_bind("kept", "amq.fanout", "")
    for number in range(7):
        publish("kept", "a.b", str(number).encode(), headers={"n": number})
    for priority in [1, 3, 2]:
        publish("kept too", "", str(priority).encode(), priority=priority, headers={"n": 1})
    return client.declare("kept", passive=True), client.declare("ranks", passive=True)


def routed():
    publish("amq.fanout", "a.far", b"far")
    publish("kept too", "a.otherwise", b"otherwise", headers={"n": 2})
    return [client.get("kept") for _ in range(6)]


if phase == "before":
    client.step("before", before)
elif phase == "between":
    client.step("exchange", lambda: type(channel.exchange_declare("kept", passive=True).method).__name__)
    client.step("queue again", lambda: client.declare("kept", durable=True, arguments={"x-max-length": 5, "x-message-ttl": 600_000}))
    client.step("messages", lambda: [client.get("kept") for _ in range(3)])
    client.step("routed", routed)
    client.step("ranks", lambda: [client.get("ranks") for _ in range(4)])
    client.step("unbound", lambda: type(channel.queue_unbind("kept", "kept", "a.#").method).__name__)
    client.step("deleted", lambda: type(channel.queue_delete("ranks").method).__name__)
    client.step("exchange again", lambda: type(channel.exchange_declare("kept", "topic", durable=True).method).__name__)
    # Each closes its channel.
    client.step("another length", lambda: channel.queue_declare("kept", durable=True, arguments={"x-max-length": 6, "x-message-ttl": 600_000}))
else:
    # RabbitMQ may have lost what was acknowledged shortly before it was killed.
    channel.queue_purge("kept")
    client.step("unrouted", lambda: (publish("kept", "a.b", b""), client.get("kept")))
    client.step("exchange passed", lambda: channel.exchange_declare("passing", passive=True))
    channel = client.channel
    client.step("queue passed", lambda: client.declare("passing", passive=True))
    channel = client.channel
    client.step("queue deleted", lambda: client.declare("ranks", passive=True))
    channel = client.channel
    client.step("another kind", lambda: channel.exchange_declare("kept", "direct", durable=True))
print("all said", flush=True)
