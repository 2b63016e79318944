"""What cannot be compared with RabbitMQ, because it looks once a minute or must be short of disk for it.

Usage: own.py overdue|blocked HOST:PORT
"""

import sys
import threading

import pika
import pika.exceptions

from answers import Client

client = Client(sys.argv[2])
channel = client.channel


def overdue():
    channel.queue_declare("timed", arguments={"x-consumer-timeout": 1000})
    channel.basic_publish("", "timed", b"late")
    channel.basic_consume("timed", lambda *_: None)
    try:
        client.connection.call_later(30, channel.stop_consuming)
        channel.start_consuming()
        raise AssertionError("the channel is still open")
    except pika.exceptions.ChannelClosedByBroker as closed:
        assert closed.reply_code == 406 and "timed out. Timeout value used: 1000 ms" in closed.reply_text, closed
    client.channel = client.connection.channel()
    assert client.channel.basic_get("timed", auto_ack=True)[0].redelivered


def blocked():
    told, published = [], []
    client.connection.add_on_connection_blocked_callback(lambda _c, method: told.append(method.method.reason))
    client.connection.add_on_connection_unblocked_callback(lambda _c, _m: told.append("unblocked"))
    channel.queue_declare("deep", durable=True)
    body = b"x" * 100_000

    def publish():
        # It may be in the middle of a message when it is told, and hears of that when the message has gone out.
        while not told:
            assert len(published) < 1000, "the disk was never full"
            channel.basic_publish("", "deep", body, pika.BasicProperties(delivery_mode=2))
            published.append(body)
            client.connection.process_data_events(0)

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    before = None
    while publisher.is_alive() and before != len(published):
        before = len(published)
        publisher.join(2)
    assert 0 < len(published) < 1000, "the disk was never full"
    reader = Client(sys.argv[2])
    read = 0
    for method, _, came in reader.channel.consume("deep", inactivity_timeout=10):
        if method is None:
            break
        assert came == body
        reader.channel.basic_ack(method.delivery_tag)
        read += 1
        if read == len(published):
            publisher.join(1)
            if not publisher.is_alive() and read == len(published):
                break
    assert not publisher.is_alive() and read == len(published), f"{read} of {len(published)} came"
    client.connection.sleep(2)
    # What waited goes out as there is room for it, and may have to wait again.
    assert told and told == ["low on disk", "unblocked"] * (len(told) // 2), told


{"overdue": overdue, "blocked": blocked}[sys.argv[1]]()
print("all well", flush=True)
