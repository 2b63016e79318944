"""py-amqp by itself, without kombu in front of it: both ways to log in, and what its users do.

Usage: py_amqp.py session|transactions HOST:PORT
"""

import sys
import time

import amqp
from amqp.exceptions import AccessRefused, AMQPNotImplementedError, NotFound, PreconditionFailed

WAIT = 20


def connect(**changes):
    connection = amqp.Connection(sys.argv[2], userid="guest", password="guest", connect_timeout=WAIT, **changes)
    connection.connect()
    return connection


def refuses(error, act):
    try:
        act()
    except error as refused:
        return refused
    raise AssertionError(f"no {error.__name__}")


def drained(connection, enough):
    """Takes what comes until there is enough."""
    end = time.monotonic() + WAIT
    while not enough():
        assert time.monotonic() < end, "it does not come"
        connection.drain_events(timeout=WAIT)


def mechanisms():
    """It takes AMQPLAIN of itself where that is offered."""
    for method in (None, "AMQPLAIN", "PLAIN"):
        with connect(login_method=method) as connection:
            assert connection.channel().queue_declare("", exclusive=True).queue.startswith("amq.gen-")
    for method in ("AMQPLAIN", "PLAIN"):
        wrong = amqp.Connection(sys.argv[2], userid="guest", password="no", login_method=method)
        assert refuses(AccessRefused, wrong.connect).code == 403
    properties = connection.server_properties
    for name in ("publisher_confirms", "basic.nack", "consumer_cancel_notify", "authentication_failure_close"):
        assert properties["capabilities"][name], name


def refusals():
    with connect() as connection:
        channel = connection.channel()
        assert refuses(NotFound, lambda: channel.queue_declare("absent", passive=True)).code == 404
        channel = connection.channel()
        channel.queue_declare("py-amqp-same", durable=True, auto_delete=False)
        refuses(PreconditionFailed, lambda: channel.queue_declare("py-amqp-same", durable=False))
        connection.channel().queue_delete("py-amqp-same")
    connection = connect()
    channel = connection.channel()
    channel.basic_publish(amqp.Message("x"), routing_key="any", immediate=True)
    refused = refuses(AMQPNotImplementedError, lambda: connection.drain_events(timeout=WAIT))
    # kombu looks for this very text.
    assert refused.reply_text == "NOT_IMPLEMENTED - immediate=true", refused.reply_text


def publishing():
    with connect(confirm_publish=True) as connection:
        channel = connection.channel()
        channel.exchange_declare("py-amqp-from", "topic", durable=True, auto_delete=False)
        channel.exchange_declare("py-amqp-to", "fanout", durable=True, auto_delete=False)
        channel.exchange_bind("py-amqp-to", "py-amqp-from", "a.#")
        channel.queue_declare("py-amqp", durable=True, auto_delete=False)
        channel.queue_bind("py-amqp", "py-amqp-to")
        headers = {"n": 1, "deep": {"list": [1, "two", {"three": 3.5}]}, "none": None, "yes": True}
        whole = amqp.Message(b"\x00" * 300_000, content_type="x/y", delivery_mode=2, priority=1, correlation_id="c",
                             reply_to="r", message_id="m", application_headers=headers)
        channel.basic_publish_confirm(whole, "py-amqp-from", "a.b")
        channel.basic_publish_confirm(amqp.Message("past it"), "py-amqp-from", "b")
        came = channel.basic_get("py-amqp")
        assert came.body == whole.body and came.properties["application_headers"] == headers
        assert came.properties["correlation_id"] == "c" and came.delivery_info["routing_key"] == "a.b"
        channel.basic_ack(came.delivery_tag)
        assert channel.basic_get("py-amqp") is None
        returned = []
        channel.events["basic_return"].add(lambda why, *where: returned.append((why.reply_code, *where[:2])))
        channel.basic_publish(amqp.Message("back"), "py-amqp-from", "b", mandatory=True)
        drained(connection, lambda: returned)
        assert returned == [(312, "py-amqp-from", "b")], returned
        channel.exchange_unbind("py-amqp-to", "py-amqp-from", "a.#")
        channel.queue_unbind("py-amqp", "py-amqp-to")
        for name in ("py-amqp-from", "py-amqp-to"):
            channel.exchange_delete(name)


def consuming():
    with connect() as connection:
        channel = connection.channel()
        channel.basic_qos(0, 5, False)
        for number in range(20):
            channel.basic_publish(amqp.Message(str(number), delivery_mode=2), routing_key="py-amqp")
        came = []
        tag = channel.basic_consume("py-amqp", callback=came.append)
        drained(connection, lambda: len(came) == 5)
        assert channel.queue_declare("py-amqp", passive=True).message_count == 15
        channel.basic_reject(came[2].delivery_tag, requeue=True)
        channel.basic_ack(came[1].delivery_tag, multiple=True)
        drained(connection, lambda: len(came) == 8)
        bodies = [message.body for message in came]
        assert bodies[:5] == ["0", "1", "2", "3", "4"] and sorted(bodies[5:]) == ["2", "5", "6"], bodies
        assert [message.body for message in came if message.delivery_info["redelivered"]] == ["2"]
        channel.basic_cancel(tag)
        channel.basic_recover(requeue=True)
        assert channel.queue_purge("py-amqp") == 18
        channel.queue_delete("py-amqp")


def cancelled():
    with connect() as connection:
        channel, told = connection.channel(), []
        channel.queue_declare("py-amqp-gone", auto_delete=False)
        channel.basic_consume("py-amqp-gone", on_cancel=told.append, consumer_tag="mine")
        connection.channel().queue_delete("py-amqp-gone")
        drained(connection, lambda: told)
        assert told == ["mine"]


def heartbeats():
    with connect(heartbeat=2) as connection:
        assert connection.heartbeat == 2
        for _ in range(8):
            time.sleep(0.5)
            try:
                connection.drain_events(timeout=0.01)
            except TimeoutError:
                pass
            connection.heartbeat_tick()
        assert connection.bytes_recv > 1 and connection.connected


def transactions():
    with connect() as connection:
        channel, other = connection.channel(), connection.channel()
        channel.queue_declare("py-amqp-tx", durable=True, auto_delete=False)

        def count():
            return other.queue_declare("py-amqp-tx", passive=True).message_count

        channel.tx_select()
        channel.basic_publish(amqp.Message("1"), routing_key="py-amqp-tx")
        assert count() == 0
        channel.tx_commit()
        assert count() == 1
        channel.basic_publish(amqp.Message("2"), routing_key="py-amqp-tx")
        channel.tx_rollback()
        channel.tx_commit()
        assert count() == 1
        came = channel.basic_get("py-amqp-tx")
        channel.basic_ack(came.delivery_tag)
        channel.tx_rollback()
        channel.basic_ack(came.delivery_tag)
        channel.tx_commit()
        assert count() == 0
        other.queue_delete("py-amqp-tx")


def session():
    for part in (mechanisms, refusals, publishing, consuming, cancelled, heartbeats):
        part()


{"session": session, "transactions": transactions}[sys.argv[1]]()
print("all well", flush=True)
