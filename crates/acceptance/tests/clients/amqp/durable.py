"""What is durable, in steps between which the server may be killed, one line a step: run against two servers, the lines
must be the same. Over kills and without they must be so too, but that a killed server may say `again` of a message that
is `new`, and that the lines of `passing` are of what a kill takes with it.

Steps of different subjects have nothing to do with each other, so that one kill comes between two steps of each.

Usage: durable.py HOST:PORT quiet|killed, the latter says "kill", after a round of all subjects "kill round", and waits
for a line once the server is back.
"""

import itertools
import subprocess
import sys
import time

import pika
import pika.exceptions

from answers import Client

ADDRESS, MODE = sys.argv[1:]
WAIT = 20
client = Client(ADDRESS)
DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "grave"}
EVERYTHING = pika.BasicProperties(
    content_type="text/plain", content_encoding="utf-8", delivery_mode=2, priority=3, correlation_id="c",
    reply_to="r", expiration="86400000", message_id="m", timestamp=1_700_000_000, type="t", user_id="guest",
    app_id="a", cluster_id="k",
    headers={"text": "x", "int": 1, "long": 1 << 40, "none": None, "list": [1, "two", {"three": 3}],
             "table": {"inner": {"deep": True}}, "bytes": b"\x00\xff"},
)


def put(queue, *bodies, exchange="", mandatory=True, **properties):
    """Publishes what is to survive, each confirmed: what is refused or goes nowhere is said."""
    channel = client.connection.channel()
    channel.confirm_delivery()
    answers = []
    for body in bodies:
        try:
            channel.basic_publish(exchange, queue, body, pika.BasicProperties(delivery_mode=2, **properties), mandatory)
            answers.append("ack")
        except pika.exceptions.NackError:
            answers.append("nack")
        except pika.exceptions.UnroutableError as refused:
            answers.append(f"returned {refused.messages[0].method.reply_code}")
    channel.close()
    return answers


def declare(name, **arguments):
    return client.declare(name, durable=True, arguments={key.replace("_", "-"): value for key, value in arguments.items()})


def there(name):
    return client.declare(name, passive=True)


def got(queue, **flags):
    method, properties, body = client.channel.basic_get(queue, **flags)
    return method and (method.delivery_tag, "again" if method.redelivered else "new", method.exchange, method.routing_key, body)


def bodies(queue):
    """All that is ready, in order, acknowledged. Acknowledgements are confirmed by nothing: what is published after them
    to the same queue is, and with it they are."""
    said = []
    while (came := got(queue)) is not None:
        client.channel.basic_ack(came[0])
        said.append(came[-1])
    put(queue, b"end")
    return said


def until(what, holds):
    """What takes its time, such as a dead letter: its server tells nobody when it is there."""
    end = time.monotonic() + WAIT
    while not (said := holds()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        client.connection.sleep(0.05)
    return said


def settled(queue, act):
    """Does something to messages, and returns once that is sure to survive."""
    said = act()
    return said, put(queue, b"settled")


def done(answer):
    return type(answer.method).__name__


def delete(name):
    return client.channel.queue_delete(name).method.message_count


def deleted(exchange):
    return done(client.channel.exchange_delete(exchange))


def bind(queue, exchange, key="", **arguments):
    return done(client.channel.queue_bind(queue, exchange, key, {name.replace("_", "-"): value for name, value in arguments.items()}))


def exchange(name, kind, **flags):
    return done(client.channel.exchange_declare(name, kind, durable=True, **flags))


def properties(queue):
    _, came, body = client.channel.basic_get(queue)
    return body, sorted((name, value) for name, value in vars(came).items() if value is not None)


def hold(queue, count):
    """Takes so many and leaves them unsettled."""
    return [got(queue) for _ in range(count)]


def settle_some(queue):
    tags = [got(queue)[0] for _ in range(5)]
    client.channel.basic_ack(tags[1], multiple=True)
    client.channel.basic_nack(tags[2], requeue=False)
    client.channel.basic_reject(tags[3], requeue=True)


def deaths(queue):
    """What the next dead letter tells, without times and without what RabbitMQ tells since 3.13."""
    method, came, body = until("a dead letter", lambda: (answer := client.channel.basic_get(queue))[0] and answer)
    told = {name: value for name, value in sorted((came.headers or {}).items()) if not name.startswith("x-last-death-")}
    told["x-death"] = [{key: entry[key] for key in sorted(entry) if key != "time"} for entry in told.get("x-death", [])]
    client.channel.basic_nack(method.delivery_tag, requeue=True)
    return method.exchange, method.routing_key, told, body


def bury(queue, grave):
    """Rejects the next message, and returns once it is where it goes."""
    before = there(grave)[1]
    client.channel.basic_reject(until("a message", lambda: got(queue))[0], requeue=False)
    until("it is buried", lambda: there(grave)[1] > before)
    # What was buried before them has come to stay, as have what went away.
    return put(grave, b"buried"), put(queue, b"rejected")


def committed(queue, commit):
    channel = client.connection.channel()
    channel.tx_select()
    for body in [b"1", b"2"]:
        channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2))
    return done(channel.tx_commit()) if commit else "left open"


def tool(name, *arguments, text=""):
    """One of the tools of librabbitmq."""
    command = [name, "-u", f"amqp://guest:guest@{ADDRESS}", *arguments]
    ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=WAIT)
    return ended.returncode, ended.stdout.strip()


def published_with_the_tool():
    said = tool("amqp-publish", "-r", "tooled", "-p", text="by the tool")
    until("it is there", lambda: there("tooled")[1])
    return said, put("tooled", b"confirmed")


def come(queue):
    """The next message of a queue that, in RabbitMQ, may still be without a leader: then the connection is closed."""
    global client
    try:
        answer = client.channel.basic_get(queue)
        return answer[0] and answer
    except pika.exceptions.ConnectionClosedByBroker as closed:
        assert closed.reply_code == 541, closed
        client = Client(ADDRESS)


def returned(queue, times):
    """Gives the next message back, so many times, and tells how often it was said to have come."""
    counts = []
    for _ in range(times):
        method, came, _ = until("it comes", lambda: come(queue))
        counts.append((came.headers or {}).get("x-delivery-count"))
        client.channel.basic_nack(method.delivery_tag, requeue=True)
    return counts, put(queue, b"after")


def passing():
    client.channel.exchange_declare("passing", "fanout")
    client.channel.queue_declare("passing")
    client.channel.queue_declare("stays", durable=True)
    client.channel.queue_bind("stays", "passing", "")
    put("passing", b"goes")
    client.channel.basic_publish("", "stays", b"is not persistent")
    until("it is there", lambda: there("stays")[1])
    return [there(name) for name in ["passing", "stays"]]


LENGTH = {"x_max_length": 5, "x_message_ttl": 86_400_000}
SUBJECTS = {
    "a queue": [
        ("declared", lambda: declare("kept", **LENGTH)),
        ("declared again", lambda: declare("kept", **LENGTH)),
        ("declared with another length", lambda: declare("kept", x_max_length=6, x_message_ttl=86_400_000)),
        ("declared as passing", lambda: client.channel.queue_declare("kept", arguments={"x-max-length": 5, "x-message-ttl": 86_400_000})),
        ("deleted", lambda: delete("kept")),
        ("is gone", lambda: there("kept")),
    ],
    "an exchange": [
        ("declared", lambda: (exchange("topics", "topic"), exchange("inner", "direct", internal=True))),
        ("declared as another", lambda: exchange("topics", "direct")),
        ("declared again", lambda: exchange("topics", "topic")),
        ("published to from outside", lambda: (client.channel.basic_publish("inner", "", b""), there("absent"))),
        ("deleted", lambda: (deleted("topics"), deleted("inner"))),
        ("is gone", lambda: done(client.channel.exchange_declare("topics", passive=True))),
    ],
    "messages": [
        ("published", lambda: (declare("steps"), put("steps", b"1", b"2", b""), put("steps", b"x" * 400_000))),
        ("counted", lambda: (there("steps"), put("steps", b"last"))),
        ("taken in order", lambda: [(body[:5], len(body)) for body in bodies("steps")]),
        ("taken are gone", lambda: (there("steps"), got("steps"))),
        ("purged", lambda: (put("steps", b"1", b"2"), client.channel.queue_purge("steps").method.message_count, put("steps", b"after"))),
        ("purged are gone", lambda: (bodies("steps"), delete("steps"))),
    ],
    "properties": [
        ("published", lambda: (declare("properties"), client.channel.confirm_delivery(), client.channel.basic_publish("", "properties", b"body", EVERYTHING))),
        ("are there", lambda: properties("properties")),
        ("are there again", lambda: properties("properties")),
        ("deleted", lambda: delete("properties")),
    ],
    "held": [
        ("published", lambda: (declare("held"), put("held", b"1", b"2", b"3"))),
        ("taken and not settled", lambda: hold("held", 2)),
        ("taken again", lambda: hold("held", 4)),
        ("settled", lambda: settled("held", lambda: settle_some("held")) if put("held", b"4", b"5") else None),
        ("left", lambda: hold("held", 4)),
        ("deleted", lambda: delete("held")),
    ],
    "bindings": [
        ("bound", lambda: (exchange("by topic", "topic"), exchange("by header", "headers"), exchange("to all", "fanout"), declare("b1"), declare("b2"),
                           bind("b1", "by topic", "a.*.c"), bind("b2", "by topic", "a.#"), bind("b2", "by header", x_match="all", n=1, s="t"),
                           done(client.channel.exchange_bind("by topic", "to all", "")))),
        ("routed", lambda: [put(key, key.encode(), exchange="by topic") for key in ["a.b.c", "a.b", "b"]] + [put("a.far.c", b"far", exchange="to all"),
                            put("", b"header", exchange="by header", headers={"n": 1, "s": "t"}), put("", b"none", exchange="by header", headers={"n": 1})]),
        ("where they came", lambda: (bodies("b1"), bodies("b2"))),
        ("unbound", lambda: (done(client.channel.queue_unbind("b2", "by topic", "a.#")), done(client.channel.exchange_unbind("by topic", "to all", "")))),
        ("routed no more", lambda: (put("a.b", b"", exchange="by topic"), put("a.x.c", b"", exchange="to all"), put("a.x.c", b"still", exchange="by topic"))),
        ("deleted", lambda: (hold("b1", 3), deleted("by topic"), deleted("by header"), deleted("to all"), delete("b1"), delete("b2"))),
    ],
    "another way": [
        ("declared", lambda: (exchange("otherwise", "fanout"), exchange("choosy", "direct", arguments={"alternate-exchange": "otherwise"}),
                              declare("c1"), declare("c2"), bind("c1", "choosy", "k"), bind("c2", "otherwise"))),
        ("published", lambda: (put("k", b"fits", exchange="choosy"), put("l", b"does not", exchange="choosy"))),
        ("copied", lambda: put("c1", b"copy", headers={"CC": ["c2"], "BCC": ["c2"], "o": 1})),
        ("came", lambda: [settled(name, lambda: [client.get(name) for _ in range(2)]) for name in ["c1", "c2"]]),
        ("deleted", lambda: (deleted("choosy"), deleted("otherwise"), delete("c1"), delete("c2"))),
    ],
    "lengths": [
        ("declared", lambda: (declare("dropped"), declare("two", x_max_length=2, x_dead_letter_exchange="", x_dead_letter_routing_key="dropped"), declare("one", x_max_length=1, x_overflow="reject-publish"), declare("ten", x_max_length_bytes=10))),
        ("filled", lambda: (put("two", b"1", b"2"), put("one", b"1"), put("ten", b"12345", b"6789"))),
        ("overfilled", lambda: (put("two", b"3"), put("one", b"2"), put("ten", b"abc"), until("it is dropped", lambda: there("dropped")[1]), put("dropped", b"after"))),
        ("left", lambda: [hold(name, 3) for name in ["dropped", "two", "one", "ten"]]),
        ("deleted", lambda: [delete(name) for name in ["dropped", "two", "one", "ten"]]),
    ],
    "priorities": [
        ("declared", lambda: declare("ranks", x_max_priority=5)),
        ("published", lambda: [put("ranks", str(rank).encode(), priority=rank) for rank in [1, 5, 3, None]]),
        ("more published", lambda: [put("ranks", f"{rank} more".encode(), priority=rank) for rank in [4, 9]]),
        ("in order", lambda: [body for *_, body in hold("ranks", 6)]),
        ("deleted", lambda: delete("ranks")),
    ],
    "dead letters": [
        ("published", lambda: (declare("grave", x_dead_letter_exchange="", x_dead_letter_routing_key="deeper"), declare("deeper"), declare("work", **DEAD),
                               put("work", b"bad", headers={"mine": 1}))),
        ("rejected", lambda: bury("work", "grave")),
        ("tells", lambda: deaths("grave")),
        ("rejected again", lambda: bury("grave", "deeper")),
        ("tells of both", lambda: deaths("deeper")),
        ("deleted", lambda: [delete(name) for name in ["work", "grave", "deeper"]]),
    ],
    "times": [
        ("published", lambda: (declare("tomb"), declare("short", x_message_ttl=1000, x_dead_letter_exchange="", x_dead_letter_routing_key="tomb"),
                               declare("unused", x_expires=1000), declare("used", x_expires=86_400_000), put("short", b"expires"))),
        ("expired", lambda: until("it has expired", lambda: not there("short")[1]) and until("it is in its tomb", lambda: there("tomb")[1])),
        ("tells", lambda: (deaths("tomb"), there("used"))),
        ("unused", lambda: (client.connection.sleep(2), there("unused"))),
        ("deleted", lambda: [delete(name) for name in ["short", "tomb", "used"]]),
    ],
    "transactions": [
        ("committed", lambda: (declare("tx"), committed("tx", True))),
        ("not committed", lambda: (there("tx"), committed("tx", False))),
        ("in order", lambda: [body for *_, body in hold("tx", 2)] + [got("tx")]),
        ("deleted", lambda: delete("tx")),
    ],
    "a quorum queue": [
        # RabbitMQ writes half a second later where such a queue has its log, and does not find it when killed before.
        ("published", lambda: (declare("quorum", x_queue_type="quorum", x_delivery_limit=6), put("quorum", b"1", b"2"), client.connection.sleep(1))),
        ("given back", lambda: returned("quorum", 1)),
        ("counted", lambda: returned("quorum", 2)),
        ("declared again", lambda: declare("quorum", x_queue_type="quorum", x_delivery_limit=6)[0]),
        ("deleted", lambda: (until("it comes", lambda: come("quorum")), delete("quorum"))[1]),
    ],
    "the tools": [
        ("declared", lambda: tool("amqp-declare-queue", "-q", "tooled", "-d")),
        ("published", published_with_the_tool),
        ("got", lambda: settled("tooled", lambda: tool("amqp-get", "-q", "tooled"))),
        ("consumed", lambda: settled("tooled", lambda: tool("amqp-consume", "-q", "tooled", "-c", "1", "cat"))),
        ("deleted", lambda: tool("amqp-delete-queue", "-q", "tooled")[0]),
    ],
    "passing": [
        ("declared", passing),
        ("the queue", lambda: there("passing")),
        ("the exchange", lambda: done(client.channel.exchange_declare("passing", passive=True))),
        # RabbitMQ loses what is not persistent.
        ("the messages", lambda: set(bodies("stays")) <= {b"is not persistent"}),
        ("declared anew", passing),
        ("deleted", lambda: (delete("stays") in [1, 2], delete("passing") if MODE == "quiet" else None, deleted("passing") if MODE == "quiet" else None)),
    ],
}


def pause(word):
    """Ends the connection, with the server or without."""
    global client
    if MODE == "quiet":
        client.connection.close()
    else:
        print(word, flush=True)
        assert sys.stdin.readline() == "back\n"
    client = Client(ADDRESS)


named = [[(f"{subject}: {name}", act) for name, act in steps] for subject, steps in SUBJECTS.items()]
word = None
for steps in itertools.zip_longest(*named):
    for step in filter(None, steps):
        if word:
            pause(word)
        client.step(*step)
        word = "kill"
    word = "kill round"
print("all said", flush=True)
