"""What takes many messages: confirms in flight, an order kept, a client that does not read.

Usage: many.py HOST:PORT
"""

import socket
import subprocess
import sys
import time

import pika

HOST, PORT = sys.argv[1].rsplit(":", 1)
COUNT = 5_000
# Consumes, and never looks at what comes.
IDLE = """
import pika, sys, time
connection = pika.BlockingConnection(pika.ConnectionParameters(sys.argv[1], int(sys.argv[2])))
connection.channel().basic_consume("large", lambda *_: None)
print("idle", flush=True)
time.sleep(60)
"""


class Publisher:
    """Publishes without waiting for confirms one by one."""

    def __init__(self):
        parameters = pika.ConnectionParameters(HOST, int(PORT), credentials=pika.PlainCredentials("guest", "guest"))
        self.confirmed, self.words, self.refused = 0, 0, 0
        self.connection = pika.SelectConnection(parameters, on_open_callback=self.opened)
        self.connection.ioloop.start()

    def opened(self, connection):
        connection.channel(on_open_callback=self.ready)

    def ready(self, channel):
        self.channel = channel
        channel.queue_declare("many", durable=True, callback=self.declared)

    def declared(self, _):
        self.channel.confirm_delivery(self.confirms)
        for number in range(COUNT):
            self.channel.basic_publish("", "many", str(number).encode())

    def confirms(self, frame):
        self.words += 1
        if isinstance(frame.method, pika.spec.Basic.Nack):
            self.refused += 1
        assert frame.method.delivery_tag > self.confirmed
        if not frame.method.multiple:
            assert frame.method.delivery_tag == self.confirmed + 1
        self.confirmed = frame.method.delivery_tag
        if self.confirmed == COUNT:
            self.connection.close()
            self.connection.ioloop.stop()


def connect():
    return pika.BlockingConnection(pika.ConnectionParameters(HOST, int(PORT)))


publisher = Publisher()
assert publisher.refused == 0
assert publisher.words < COUNT / 5, f"{publisher.words} words for {COUNT} messages: multiple is not used"

connection = connect()
channel = connection.channel()
channel.basic_qos(prefetch_count=100)
numbers = []
for method, _, body in channel.consume("many", inactivity_timeout=5):
    assert method is not None, f"only {len(numbers)} came"
    numbers.append(int(body))
    channel.basic_ack(method.delivery_tag)
    if len(numbers) == COUNT:
        break
channel.cancel()
assert numbers == list(range(COUNT))

# A consumer that never reads is given no more than its socket takes, and what it was given comes back in order.
channel.queue_declare("large", durable=True)
for number in range(200):
    channel.basic_publish("", "large", b"%d:" % number + b"x" * 200_000)
idle = subprocess.Popen([sys.executable, "-c", IDLE, HOST, PORT], stdout=subprocess.PIPE)
idle.stdout.readline()
time.sleep(1)
ready = channel.queue_declare("large", passive=True).method.message_count
assert ready > 50, f"only {ready} of 200 are left to others"
idle.kill()
idle.wait(30)
# Whoever consumes before the daemon has seen that its client is gone gets what is there then.
deadline = time.monotonic() + 30
while channel.queue_declare("large", passive=True).method.message_count < 200:
    assert time.monotonic() < deadline, "what a client that is gone had does not come back"
    time.sleep(0.02)
order = []
for method, _, body in channel.consume("large", inactivity_timeout=5):
    assert method is not None, f"only {len(order)} came"
    order.append(int(body.split(b":")[0]))
    channel.basic_ack(method.delivery_tag)
    if len(order) == 200:
        break
assert order == list(range(200)), order

# What does not speak the protocol is told which one it is.
with socket.create_connection((HOST, int(PORT)), timeout=20) as stranger:
    stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert stranger.recv(8) == b"AMQP\x00\x00\x09\x01"
    assert stranger.recv(1) == b""

print("all well", flush=True)
