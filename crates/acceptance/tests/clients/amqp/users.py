"""What users may do, one line a step. Besides guest there is the user u, whose password is secret: in the virtual host /
it configures ^c-, writes ^w- and reads ^r-; the virtual host shop it may not enter.

Usage: users.py HOST:PORT
"""

import sys

import pika.exceptions

from answers import Client

guest = Client(sys.argv[1])


def refused(**changes):
    try:
        guest.connect(**changes).close()
        return "connected"
    except pika.exceptions.AMQPConnectionError as error:
        return f"{type(error).__name__} {error}"


for name, changes in {
    "nobody": {"user": "nobody", "password": "secret"},
    "a wrong password": {"user": "u", "password": "wrong"},
    "no permission to enter": {"user": "u", "password": "secret", "virtual_host": "shop"},
    "no virtual host": {"user": "u", "password": "secret", "virtual_host": "absent"},
}.items():
    guest.step(name, lambda: refused(**changes))
for name in ["r-q", "w-q", "other"]:
    guest.channel.queue_declare(name)
for name in ["r-e", "w-e"]:
    guest.channel.exchange_declare(name, "fanout")

u = Client(sys.argv[1], user="u", password="secret")


def done(act):
    """That it was done: its answer tells no more."""
    return lambda: type(act().method).__name__


def publish(exchange):
    u.channel.basic_publish(exchange, "k", b"")
    return u.declare("other", passive=True)


u.step("declare", lambda: u.declare("c-q"))
u.step("declare another's", lambda: u.declare("x"))
u.step("declare what is there", lambda: u.declare("r-q"))
u.step("passive", lambda: u.declare("other", passive=True))
u.step("passive absent", lambda: u.declare("absent", passive=True))
u.step("delete", lambda: u.channel.queue_delete("r-q"))
u.step("delete absent", lambda: u.channel.queue_delete("absent"))
u.step("delete one's own", done(lambda: u.channel.queue_delete("c-q")))
u.step("purge", lambda: u.channel.queue_purge("w-q"))
u.step("purge one's own", done(lambda: u.channel.queue_purge("r-q")))
u.step("get", lambda: u.get("w-q"))
u.step("get one's own", lambda: u.get("r-q"))
u.step("consume", lambda: u.channel.basic_consume("w-q", lambda *_: None))
u.step("publish", lambda: publish("r-e"))
u.step("publish where it may", lambda: publish("w-e"))
u.step("publish to nowhere", lambda: publish("absent"))
u.step("publish by default", lambda: publish(""))
u.step("bind", lambda: u.channel.queue_bind("r-q", "r-e", "k"))
u.step("bind from elsewhere", lambda: u.channel.queue_bind("w-q", "w-e", "k"))
u.step("bind where it may", done(lambda: u.channel.queue_bind("w-q", "r-e", "k")))
u.step("unbind", lambda: u.channel.queue_unbind("r-q", "r-e", "k"))
u.step("unbind where it may", done(lambda: u.channel.queue_unbind("w-q", "r-e", "k")))
u.step("exchange", lambda: u.channel.exchange_declare("x", "fanout"))
u.step("exchange passive", done(lambda: u.channel.exchange_declare("r-e", passive=True)))
u.step("exchange deleted", lambda: u.channel.exchange_delete("r-e"))
alternate = {"alternate-exchange": "w-e"}
u.step("exchange with an alternate", lambda: u.channel.exchange_declare("c-x", "fanout", arguments=alternate))
u.step("exchange bound", lambda: u.channel.exchange_bind("r-e", "r-e"))
u.step("exchange bound from elsewhere", lambda: u.channel.exchange_bind("w-e", "w-e"))
u.step("exchange bound where it may", done(lambda: u.channel.exchange_bind("w-e", "r-e")))
u.step("dead letters", lambda: u.declare("c-d", arguments={"x-dead-letter-exchange": "w-e"}))
print("all said", flush=True)
