"""What an AMQP server answers to frames that no client library would send, one line a case.

Usage: frames.py HOST:PORT
"""

import socket
import struct
import sys

HOST, PORT = sys.argv[1].rsplit(":", 1)


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(channel, class_id, method_id, arguments=b""):
    return frame(1, channel, struct.pack(">HH", class_id, method_id) + arguments)


def header(class_id, body_bytes):
    return frame(2, 1, struct.pack(">HHQH", class_id, 0, body_bytes, 0))


def short(text):
    return bytes([len(text)]) + text


def long(text):
    return struct.pack(">I", len(text)) + text


OPEN = method(1, 20, 10, b"\0")
DECLARE = method(1, 50, 10, b"\0\0" + short(b"frames") + b"\0" + long(b""))
PUBLISH = method(1, 60, 40, b"\0\0" + short(b"") + short(b"frames") + b"\0")
GUEST = b"\0guest\0guest"
TELLS = short(b"capabilities") + b"F" + long(short(b"authentication_failure_close") + b"t\1")
LOGIN = short(b"LOGIN") + b"S" + long(b"guest") + short(b"PASSWORD") + b"S" + long(b"guest")


class Client:
    def __init__(self, mechanism=b"PLAIN", response=GUEST, heartbeat=0, properties=b""):
        self.socket = socket.create_connection((HOST, int(PORT)))
        self.socket.settimeout(20)
        self.came = b""
        self.socket.sendall(b"AMQP\0\0\x09\x01")
        self.read()
        start = long(properties) + short(mechanism) + long(response) + short(b"en_US")
        self.socket.sendall(method(0, 10, 11, start))
        self.tuned = self.read()
        if self.tuned == (0, "method", 10, 30):
            tune = struct.pack(">HIH", 2047, 131072, heartbeat)
            self.socket.sendall(method(0, 10, 31, tune) + method(0, 10, 40, short(b"/") + short(b"") + b"\0"))
            self.read()

    def read(self):
        while True:
            if len(self.came) >= 7:
                kind, channel, length = struct.unpack(">BHI", self.came[:7])
                if len(self.came) >= length + 8:
                    payload, self.came = self.came[7 : 7 + length], self.came[length + 8 :]
                    return shown(kind, channel, payload)
            came = self.socket.recv(65536)
            if not came:
                return "the end"
            self.came += came


def shown(kind, channel, payload):
    if kind != 1:
        return channel, {2: "header", 3: "body", 8: "heartbeat"}[kind]
    numbers = struct.unpack(">HH", payload[:4])
    if numbers not in ((10, 50), (20, 40)):
        return channel, "method", *numbers
    end = 7 + payload[6]
    code, about = struct.unpack(">H", payload[4:6])[0], struct.unpack(">HH", payload[end : end + 4])
    return channel, "close", code, payload[7:end].decode(), about


def opened():
    client = Client()
    # RabbitMQ's channels run beside its connection: an error sent on at once could overtake this answer.
    client.socket.sendall(OPEN)
    assert client.read() == (1, "method", 20, 11)
    return client


def talk(*frames, on=opened):
    client = on()
    client.socket.sendall(b"".join(frames))
    return client.read()


def beats():
    client = Client(heartbeat=2)
    return client.read(), client.read()


def silence():
    client = Client(heartbeat=1)
    while (answer := client.read()) == (0, "heartbeat"):
        pass
    return answer


def closed_and_opened_again():
    client = opened()
    client.socket.sendall(method(1, 60, 80, struct.pack(">QB", 9, 0)) + DECLARE + DECLARE)
    closed = client.read()
    client.socket.sendall(method(1, 20, 41) + OPEN)
    return closed, client.read()


CASES = {
    "AMQPLAIN": lambda: Client(b"AMQPLAIN", LOGIN).tuned,
    "a wrong password, told": lambda: Client(response=b"\0guest\0no", properties=TELLS).tuned,
    "no channel": lambda: talk(DECLARE, on=Client),
    "a channel opened twice": lambda: talk(OPEN),
    "a closed channel hears nothing": closed_and_opened_again,
    "a body before its header": lambda: talk(PUBLISH, frame(3, 1, b"x")),
    "a method in a content": lambda: talk(PUBLISH, DECLARE),
    "a header alone": lambda: talk(header(60, 1)),
    "a header of another class": lambda: talk(PUBLISH, header(10, 1)),
    "flow": lambda: talk(method(1, 20, 20, b"\1")),
    "no flow": lambda: talk(method(1, 20, 20, b"\0")),
    "a server's method": lambda: talk(method(1, 20, 11, long(b""))),
    "a frame too large": lambda: talk(b"\1\0\1\x7f\xff\xff\xff"),
    "a ticket": lambda: talk(method(1, 30, 10, short(b"/data") + b"\0")),
    "heartbeats": beats,
    "a client that is silent": silence,
}
for name, case in CASES.items():
    try:
        print(f"{name}: {case()}", flush=True)
    except ConnectionResetError:
        # How hard the line is cut is no part of the protocol.
        print(f"{name}: the end", flush=True)
print("all said", flush=True)
