"""Before and after the daemon is killed: what was confirmed is there.

Usage: crash.py publish|hold|drain HOST:PORT
"""

import sys
import time

import pika

COUNT = 200


def connect():
    host, port = sys.argv[2].rsplit(":", 1)
    credentials = pika.PlainCredentials("guest", "guest")
    return pika.BlockingConnection(pika.ConnectionParameters(host, int(port), credentials=credentials))


def publish():
    """Publishes with confirms, and says how many were confirmed."""
    channel = connect().channel()
    channel.queue_declare("crash", durable=True)
    channel.queue_declare("fleeting", exclusive=True)
    channel.confirm_delivery()
    for number in range(COUNT):
        channel.basic_publish("", "crash", str(number).encode(), pika.BasicProperties(delivery_mode=2))


def hold():
    """Takes the first half, acknowledges ten of it, and waits to see the connection end."""
    channel = connect().channel()
    channel.basic_qos(prefetch_count=COUNT // 2)
    held = []
    channel.basic_consume("crash", lambda _c, method, _p, body: held.append((method.delivery_tag, body)))
    while len(held) < COUNT // 2:
        channel.connection.process_data_events(1)
    channel.basic_ack(10, multiple=True)
    # Whatever is answered after it says that it has been carried out.
    channel.queue_declare("crash", passive=True)
    print("held", flush=True)
    time.sleep(60)


def drain():
    """Takes all there is, in order, and checks what counts as delivered before."""
    channel = connect().channel()
    try:
        channel.queue_declare("fleeting", passive=True)
        sys.exit("the queue of the connection that is gone is still there")
    except pika.exceptions.ChannelClosedByBroker:
        channel = connect().channel()
    got = []
    for method, _, body in channel.consume("crash", inactivity_timeout=2):
        if method is None:
            break
        got.append((int(body), method.redelivered))
        channel.basic_ack(method.delivery_tag)
    # An acknowledgement is not confirmed by anything: those ten may come again, nothing else may be missing.
    numbers = [number for number, _ in got]
    assert numbers == list(range(numbers[0], COUNT)) and numbers[0] <= 10, numbers
    # What a killed server had handed out last it had no time to write down: all it had may have been delivered.
    assert all(redelivered for _, redelivered in got), got
    assert channel.queue_declare("crash", passive=True).method.message_count == 0


{"publish": publish, "hold": hold, "drain": drain}[sys.argv[1]]()
print("all well", flush=True)
