"""What becomes of messages that a queue gives up, one line a step.

Usage: dead_letters.py HOST:PORT
"""

import sys

import pika
import pika.exceptions

from answers import Client

client = Client(sys.argv[1])
channel = client.channel
DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


def publish(queue, body, exchange="", **properties):
    client.channel.basic_publish(exchange, queue, body, pika.BasicProperties(**properties))


def shown(headers):
    """The headers in the order of their names, without the time, which is another every time, and without the last death,
    of which RabbitMQ tells since 3.13."""
    if headers is None:
        return None
    told = {name: value for name, value in sorted(headers.items()) if not name.startswith("x-last-death-")}
    for name, value in told.items():
        if name == "x-death":
            told[name] = [{key: entry[key] for key in sorted(entry) if key != "time"} for entry in value]
    return told


def dead(queue="dead", tries=30):
    """The next dead letter, which may take its time."""
    for _ in range(tries):
        method, properties, body = client.channel.basic_get(queue, auto_ack=True)
        if method is not None:
            return method.exchange, method.routing_key, properties.expiration, shown(properties.headers), body
        client.connection.sleep(0.1)
    return "nothing"


def reject(queue, count=1):
    for _ in range(count):
        for _ in range(30):
            method, _, _ = client.channel.basic_get(queue)
            if method is not None:
                client.channel.basic_reject(method.delivery_tag, requeue=False)
                break
            client.connection.sleep(0.1)


def fresh(name, **arguments):
    channel.queue_delete(name)
    return channel.queue_declare(name, arguments={argument.replace("_", "-"): value for argument, value in arguments.items()})


channel.queue_declare("dead")


def rejected():
    fresh("work", **DEAD)
    publish("work", b"1", headers={"mine": 1})
    reject("work")
    return dead()


client.step("rejected", rejected)


def dropped():
    fresh("plain")
    publish("plain", b"1")
    reject("plain")
    return dead(tries=3)


client.step("dropped", dropped)


def expired():
    fresh("short", x_message_ttl=100, **DEAD)
    publish("short", b"by its queue")
    first = dead()
    fresh("work", **DEAD)
    publish("work", b"by itself", expiration="150")
    return first, dead()


client.step("expired", expired)


def too_many():
    fresh("two", x_max_length=2, **DEAD)
    for number in range(4):
        publish("two", str(number).encode())
    return dead(), dead(), dead(tries=3), client.get("two")


client.step("too many", too_many)


def too_large():
    fresh("bytes", x_max_length_bytes=10, **DEAD)
    for body in [b"12345", b"6789", b"abc"]:
        publish("bytes", body)
    return dead(), dead(tries=3), client.get("bytes"), client.get("bytes")


client.step("too large", too_large)


def none_fits():
    fresh("none", x_max_length=0, **DEAD)
    publish("none", b"1")
    return dead(), client.get("none")


client.step("none fits", none_fits)


def refused():
    fresh("one", x_max_length=1, x_overflow="reject-publish-dlx", **DEAD)
    other = client.connection.channel()
    other.confirm_delivery()
    other.basic_publish("", "one", b"1")
    try:
        other.basic_publish("", "one", b"2")
        answer = "ack"
    except pika.exceptions.NackError:
        answer = "nack"
    return answer, dead(), client.get("one")


client.step("refused", refused)


def own_key():
    channel.exchange_declare("letters", "topic")
    channel.queue_bind("dead", "letters", "work.#")
    fresh("work.hard", x_dead_letter_exchange="letters")
    publish("work.hard", b"1", headers={"CC": ["elsewhere"]})
    reject("work.hard")
    return dead()


client.step("by its own key", own_key)


def copies():
    fresh("work", **DEAD)
    publish("work", b"1", headers={"CC": ["elsewhere"], "BCC": ["nobody"]})
    reject("work")
    return dead()


client.step("copies", copies)


def again():
    """Work that fails waits and comes back."""
    fresh("wait", x_message_ttl=100, x_dead_letter_exchange="", x_dead_letter_routing_key="retry")
    fresh("retry", x_dead_letter_exchange="", x_dead_letter_routing_key="wait")
    publish("retry", b"1")
    reject("retry", 3)
    client.connection.sleep(0.5)
    return dead("retry")


client.step("again and again", again)


def circle():
    """What goes round by itself is dropped."""
    fresh("round", x_message_ttl=50, x_dead_letter_exchange="", x_dead_letter_routing_key="round")
    publish("round", b"1")
    client.connection.sleep(0.5)
    return client.get("round")


client.step("a circle", circle)


def limited():
    channel.queue_delete("limited")
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1, **DEAD}
    channel.queue_declare("limited", durable=True, arguments=arguments)
    publish("limited", b"1")
    for _ in range(2):
        for _ in range(30):
            method, _, _ = client.channel.basic_get("limited")
            if method is not None:
                client.channel.basic_nack(method.delivery_tag, requeue=True)
                break
            client.connection.sleep(0.1)
    return dead()


client.step("a delivery limit", limited)


def twice():
    fresh("first", x_dead_letter_exchange="", x_dead_letter_routing_key="second")
    fresh("second", **DEAD)
    publish("first", b"1", expiration="60000")
    reject("first")
    reject("second")
    return dead()


client.step("twice", twice)
for arguments in [
    {"x-dead-letter-exchange": 1}, {"x-dead-letter-routing-key": "k"}, {"x-max-length-bytes": -1},
    {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": 1},
]:
    client.step(f"declare with {arguments}", lambda: client.declare("odd", arguments=arguments))
print("all said", flush=True)
