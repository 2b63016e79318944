"""What an AMQP server answers to pika, one line a step: run against two servers, the lines must be the same.

Usage: steps.py HOST:PORT
"""

import sys

import pika
import pika.exceptions

HOST, PORT = sys.argv[1].rsplit(":", 1)


def parameters(**changes):
    credentials = pika.PlainCredentials(changes.pop("user", "guest"), changes.pop("password", "guest"))
    return pika.ConnectionParameters(HOST, int(PORT), credentials=credentials, **changes)


def connect(**changes):
    return pika.BlockingConnection(parameters(**changes))


connection = connect()
channel = connection.channel()


def say(step, answer):
    print(f"{step}: {answer}", flush=True)


def step(name, act):
    """Says what came of it; a channel that was closed by it is opened anew."""
    global connection, channel
    try:
        say(name, act())
    except pika.exceptions.ChannelClosedByBroker as closed:
        say(name, f"channel closed {closed.reply_code} {closed.reply_text}")
        channel = connection.channel()
    except pika.exceptions.ConnectionClosedByBroker as closed:
        say(name, f"connection closed {closed.reply_code} {closed.reply_text}")
        connection = connect()
        channel = connection.channel()
    except (pika.exceptions.UnroutableError, pika.exceptions.NackError) as refused:
        kind = type(refused).__name__
        returned = [(m.method.reply_code, m.method.reply_text, m.body) for m in refused.messages]
        say(name, f"{kind} {returned}")


def declare(name, **flags):
    answer = channel.queue_declare(name, **flags).method
    return answer.queue, answer.message_count, answer.consumer_count


def get(queue, **flags):
    method, properties, body = channel.basic_get(queue, **flags)
    if method is None:
        return "empty"
    return method.delivery_tag, method.redelivered, method.exchange, method.routing_key, method.message_count, body


def refused(**changes):
    try:
        connect(**changes).close()
        return "connected"
    except pika.exceptions.AMQPConnectionError as error:
        return f"{type(error).__name__} {error}"


# Queues: declared, declared otherwise, asked for, deleted.
step("declare", lambda: declare("steps", durable=True))
step("declare again", lambda: declare("steps", durable=True))
step("declare not durable", lambda: declare("steps", durable=False))
step("declare auto-delete", lambda: declare("steps", durable=True, auto_delete=True))
step("declare exclusive", lambda: declare("steps", durable=True, exclusive=True))
step("declare with a ttl", lambda: declare("steps", durable=True, arguments={"x-message-ttl": 5000}))
step("declare passive", lambda: declare("steps", passive=True))
step("declare passive absent", lambda: declare("absent", passive=True))
step("declare reserved", lambda: declare("amq.mine"))
step("declare with a wrong ttl", lambda: declare("wrong", arguments={"x-message-ttl": "soon"}))
step("declare with a negative ttl", lambda: declare("wrong", arguments={"x-message-ttl": -1}))
step("declare with a wrong overflow", lambda: declare("wrong", arguments={"x-overflow": "explode"}))
step("declare with a wrong length", lambda: declare("wrong", arguments={"x-max-length": -1}))
step("declare with a wrong priority", lambda: declare("wrong", arguments={"x-max-priority": 300}))
step("server's name", lambda: declare("", exclusive=True)[0].startswith("amq.gen-"))
step("delete absent", lambda: channel.queue_delete("absent").method.message_count)
step("purge absent", lambda: channel.queue_purge("absent"))
step("no queue declared", lambda: channel.queue_purge(""))

# Publishing through the default exchange, with and without confirms.
step("publish", lambda: channel.basic_publish("", "steps", b"one"))
step("get", lambda: get("steps", auto_ack=True))
step("get empty", lambda: get("steps"))
step("get absent", lambda: get("absent"))
step("publish to no exchange", lambda: (channel.basic_publish("absent", "", b""), channel.queue_declare("steps", passive=True)))
step("confirms", lambda: channel.confirm_delivery())
step("confirmed", lambda: channel.basic_publish("", "steps", b"two", mandatory=True))
step("unroutable", lambda: channel.basic_publish("", "absent", b"lost"))
step("unroutable mandatory", lambda: channel.basic_publish("", "absent", b"back", mandatory=True))
step("depth", lambda: declare("steps", passive=True))
step("empty body", lambda: channel.basic_publish("", "steps", b""))
step("large body", lambda: channel.basic_publish("", "steps", b"x" * 400_000))
step("purge", lambda: channel.queue_purge("steps").method.message_count)

# Properties and headers come back as they went.
everything = pika.BasicProperties(
    content_type="text/plain", content_encoding="utf-8", delivery_mode=2, priority=3, correlation_id="c",
    reply_to="r", expiration="600000", message_id="m", timestamp=1_700_000_000, type="t", user_id="guest",
    app_id="a", cluster_id="k",
    headers={"text": "x", "int": 1, "long": 1 << 40, "none": None, "list": [1, "two", {"three": 3}],
             "table": {"inner": {"deep": True}}, "bytes": b"\x00\xff"},
)


def properties():
    channel.basic_publish("", "steps", b"body", everything)
    got = channel.basic_get("steps", auto_ack=True)[1]
    return sorted((name, value) for name, value in vars(got).items() if value is not None)


step("properties", properties)
step("another's name", lambda: (channel.basic_publish("", "steps", b"", pika.BasicProperties(user_id="root")), get("steps")))
step("no time to live", lambda: (channel.basic_publish("", "steps", b"", pika.BasicProperties(expiration="soon")), get("steps")))


# Settling.
def put(*bodies):
    for body in bodies:
        channel.basic_publish("", "steps", body)


def requeue():
    put(b"1", b"2", b"3")
    first, second = get("steps"), get("steps")
    channel.basic_nack(first[0], requeue=True)
    again = get("steps")
    channel.basic_nack(second[0], multiple=False, requeue=False)
    channel.basic_ack(again[0])
    return first, second, again, get("steps", auto_ack=True), get("steps")


step("requeue", requeue)


def multiple():
    put(b"1", b"2", b"3")
    tags = [get("steps")[0] for _ in range(3)]
    channel.basic_ack(tags[1], multiple=True)
    channel.basic_reject(tags[2], requeue=True)
    return get("steps", auto_ack=True), get("steps")


step("multiple", multiple)
step("unknown tag", lambda: (channel.basic_ack(99), get("steps")))


def twice():
    put(b"x")
    tag = get("steps")[0]
    channel.basic_ack(tag)
    channel.basic_ack(tag)
    return get("steps")


step("settled twice", twice)


def recover():
    put(b"1", b"2")
    get("steps"), get("steps")
    channel.basic_recover(requeue=True)
    return get("steps", auto_ack=True), get("steps", auto_ack=True)


step("recover", recover)


def left_behind():
    global channel
    put(b"1", b"2")
    get("steps"), get("steps")
    channel.close()
    channel = connection.channel()
    return get("steps", auto_ack=True), get("steps", auto_ack=True), get("steps")


step("left behind by a channel", left_behind)


# Consumers.
def consume(prefetch, count, **flags):
    if prefetch:
        channel.basic_qos(prefetch_count=prefetch)
    got = []
    for method, _, body in channel.consume("steps", inactivity_timeout=1, **flags):
        if method is None:
            break
        got.append((method.redelivered, method.exchange, method.routing_key, body))
        if not flags.get("auto_ack"):
            channel.basic_ack(method.delivery_tag)
        if len(got) == count:
            break
    channel.cancel()
    return got


def ten():
    put(*[str(number).encode() for number in range(10)])
    return consume(3, 10)


step("consume in order", ten)
step("nothing left", lambda: get("steps"))


def without_acks():
    put(b"1", b"2")
    return consume(0, 2, auto_ack=True)


step("consume without acks", without_acks)
step("nothing left either", lambda: get("steps"))


def held_back():
    global channel
    channel = connection.channel()
    channel.basic_qos(prefetch_count=2)
    put(b"1", b"2", b"3")
    got = []
    channel.basic_consume("steps", lambda _c, method, _p, body: got.append((method.delivery_tag, body)), consumer_tag="mine")
    connection.sleep(0.5)
    waiting = list(got)
    channel.basic_ack(waiting[0][0])
    connection.sleep(0.5)
    return waiting, list(got), declare("steps", passive=True)


step("prefetch", held_back)
step("what was held is there", lambda: (get("steps", auto_ack=True), get("steps", auto_ack=True), get("steps")))


def shared_limit():
    global channel
    channel = connection.channel()
    channel.basic_qos(prefetch_count=2, global_qos=True)
    put(b"1", b"2", b"3", b"4")
    got = []
    for _ in range(2):
        channel.basic_consume("steps", lambda _c, method, _p, body: got.append((method.delivery_tag, body)))
    connection.sleep(0.5)
    first = sorted(got)
    channel.basic_qos(prefetch_count=3, global_qos=True)
    connection.sleep(0.5)
    raised = sorted(got)
    channel.basic_ack(2, multiple=True)
    connection.sleep(0.5)
    everything = sorted(got)
    channel.basic_ack(0, multiple=True)
    channel.close()
    channel = connection.channel()
    return first, raised, everything, get("steps")


step("a limit for the channel", shared_limit)
step("qos by size", lambda: channel.basic_qos(prefetch_size=1))
step("consume from nowhere", lambda: channel.basic_consume("absent", lambda *_: None))


def alone():
    other = connection.channel()
    other.basic_consume("steps", lambda *_: None, exclusive=True)
    try:
        return channel.basic_consume("steps", lambda *_: None)
    finally:
        other.close()


step("alone", alone)


def cancelled():
    global channel
    channel = connection.channel()
    channel.queue_declare("short-lived")
    said = []
    channel.add_on_cancel_callback(lambda frame: said.append(frame.method.consumer_tag))
    channel.basic_consume("short-lived", lambda *_: None, consumer_tag="left alone")
    connection.channel().queue_delete("short-lived")
    connection.sleep(0.5)
    return said


step("cancelled by the server", cancelled)

# Exchanges and bindings.
step("exchange", lambda: channel.exchange_declare("ex", "topic"))
step("exchange again", lambda: channel.exchange_declare("ex", "topic", durable=True))
step("exchange passive absent", lambda: channel.exchange_declare("absent", passive=True))
step("exchange reserved", lambda: channel.exchange_declare("amq.mine", "direct"))
step("exchange unknown type", lambda: channel.exchange_declare("ex2", "odd"))
step("bind", lambda: channel.queue_bind("steps", "ex", "a.*.c"))
step("bind nothing", lambda: channel.queue_bind("absent", "ex", "a"))
step("bind to nothing", lambda: channel.queue_bind("steps", "absent", "a"))


def routed():
    for key in ["a.b.c", "a.b", "a.x.c"]:
        channel.basic_publish("ex", key, key.encode())
    return get("steps", auto_ack=True), get("steps", auto_ack=True), get("steps")


step("routed", routed)
step("unbind", lambda: channel.queue_unbind("steps", "ex", "a.*.c"))
step("routed nowhere", lambda: (channel.basic_publish("ex", "a.b.c", b""), get("steps")))
step("exchange bound", lambda: (channel.exchange_bind("ex", "amq.fanout"), channel.queue_bind("steps", "ex", "#")))
step("through two", lambda: (channel.basic_publish("amq.fanout", "k", b"far"), get("steps", auto_ack=True)))
step("exchange in use", lambda: channel.exchange_delete("ex", if_unused=True))
step("exchange gone", lambda: channel.exchange_delete("ex"))
step("exchange gone again", lambda: channel.exchange_delete("ex"))
step("the default exchange", lambda: channel.exchange_delete(""))

# Queues that go by themselves, and queues of one connection.
step("exclusive", lambda: declare("mine", exclusive=True))


def of_another():
    other = connect()
    theirs = other.channel()
    try:
        return theirs.queue_declare("mine", exclusive=True)
    except pika.exceptions.ChannelClosedByBroker as closed:
        return closed.reply_code, closed.reply_text
    finally:
        other.close()


step("exclusive of another", of_another)


def gone_with_its_connection():
    other = connect()
    other.channel().queue_declare("theirs", exclusive=True)
    other.close()
    return declare("theirs", passive=True)


step("gone with its connection", gone_with_its_connection)


def gone_with_its_consumer():
    channel.queue_declare("fleeting", auto_delete=True)
    tag = channel.basic_consume("fleeting", lambda *_: None)
    channel.basic_cancel(tag)
    return declare("fleeting", passive=True)


step("gone with its consumer", gone_with_its_consumer)
step("delete in use", lambda: (channel.basic_consume("steps", lambda *_: None), channel.queue_delete("steps", if_unused=True)))
step("delete not empty", lambda: (put(b"x"), channel.queue_delete("steps", if_empty=True)))
step("delete", lambda: channel.queue_delete("steps").method.message_count)

# Arguments with an effect.
step("ttl", lambda: declare("ttl", arguments={"x-message-ttl": 1}))


def expired():
    channel.basic_publish("", "ttl", b"short")
    connection.sleep(0.3)
    return get("ttl"), channel.queue_delete("ttl").method.message_count


step("expired", expired)


def of_length():
    channel.queue_declare("two", arguments={"x-max-length": 2})
    for body in [b"1", b"2", b"3"]:
        channel.basic_publish("", "two", body)
    return get("two", auto_ack=True), get("two", auto_ack=True), get("two"), channel.queue_delete("two").method.message_count


step("the oldest goes", of_length)


def of_length_with_some_unacknowledged():
    other = connection.channel()
    # Without it RabbitMQ may count before they have come.
    other.confirm_delivery()
    other.queue_declare("two", arguments={"x-max-length": 2})
    for body in [b"1", b"2"]:
        other.basic_publish("", "two", body)
    tags = [other.basic_get("two")[0].delivery_tag for _ in range(2)]
    for body in [b"3", b"4"]:
        other.basic_publish("", "two", body)
    before = other.queue_declare("two", passive=True).method.message_count
    other.basic_nack(tags[0], requeue=True)
    after = [other.basic_get("two")[-1] for _ in range(3)]
    other.basic_nack(tags[1], requeue=True)
    other.close()
    return before, after, channel.queue_delete("two").method.message_count


step("what is unacknowledged does not count, and what comes back may be one too many", of_length_with_some_unacknowledged)


def refuses():
    other = connection.channel()
    other.confirm_delivery()
    other.queue_declare("one", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    other.basic_publish("", "one", b"1")
    try:
        other.basic_publish("", "one", b"2")
    except pika.exceptions.NackError:
        return "nack", other.queue_delete("one").method.message_count


step("the newest is refused", refuses)


def refuses_with_one_unacknowledged():
    other = connection.channel()
    other.confirm_delivery()
    other.queue_declare("one", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    other.basic_publish("", "one", b"1")
    tag = other.basic_get("one")[0].delivery_tag
    other.basic_publish("", "one", b"2")
    other.basic_nack(tag, requeue=True)
    taken = [other.basic_get("one", auto_ack=True)[-1] for _ in range(2)]
    return taken, other.queue_delete("one").method.message_count


step("a publish is taken beside one that is unacknowledged", refuses_with_one_unacknowledged)


def by_priority():
    channel.queue_declare("ranks", arguments={"x-max-priority": 5})
    for priority in [1, 5, 3, None]:
        channel.basic_publish("", "ranks", str(priority).encode(), pika.BasicProperties(priority=priority))
    order = [get("ranks", auto_ack=True)[-1] for _ in range(4)]
    channel.queue_delete("ranks")
    return order


step("by priority", by_priority)
step("a length of another type", lambda: (declare("typed", arguments={"x-max-length": 5}), declare("typed", arguments={"x-max-length": 6})))
step("and of none", lambda: declare("typed"))
step("typed gone", lambda: channel.queue_delete("typed").method.message_count)

# Transactions.
step("commit without transactions", lambda: channel.tx_commit())
step("rollback without transactions", lambda: channel.tx_rollback())
step("transactions", lambda: type(channel.tx_select().method).__name__)
step("transactions again", lambda: type(channel.tx_select().method).__name__)
step("confirms among transactions", lambda: channel.confirm_delivery())
step("confirms alone", lambda: channel.confirm_delivery())
step("transactions among confirms", lambda: channel.tx_select())


def fresh():
    global channel
    channel.close()
    channel = connection.channel()


def depth(queue):
    return declare(queue, passive=True)[1]


def committed():
    fresh()
    channel.queue_declare("tx")
    channel.tx_select()
    put_into("tx", b"1", b"2")
    before = depth("tx")
    channel.tx_commit()
    after = depth("tx")
    first = get("tx")
    channel.basic_ack(first[0])
    channel.tx_rollback()
    channel.basic_ack(first[0])
    channel.tx_commit()
    put_into("tx", b"3")
    channel.tx_rollback()
    second = get("tx")
    channel.basic_nack(second[0], requeue=True)
    not_yet = get("tx")
    channel.tx_commit()
    third = get("tx")
    channel.basic_reject(third[0], requeue=False)
    channel.tx_commit()
    return before, after, first, second, not_yet, third, depth("tx")


def put_into(queue, *bodies, **properties):
    for body in bodies:
        channel.basic_publish("", queue, body, pika.BasicProperties(**properties))


step("committed and rolled back", committed)


def returned():
    back = []
    channel.add_on_return_callback(lambda _c, method, _p, body: back.append((method.reply_code, method.routing_key, body)))
    channel.basic_publish("", "absent", b"lost", mandatory=True)
    connection.sleep(0.2)
    before = list(back)
    channel.tx_commit()
    connection.sleep(0.2)
    return before, back


step("returned with the commit", returned)


def abandoned():
    put_into("tx", b"kept")
    channel.tx_commit()
    tag = get("tx")[0]
    channel.basic_ack(tag)
    put_into("tx", b"never")
    fresh()
    return get("tx", auto_ack=True), get("tx"), channel.queue_delete("tx").method.message_count


step("abandoned", abandoned)

# Replies that go straight to who asked.
REPLIES = "amq.rabbitmq.reply-to"
step("replies asked for", lambda: declare(REPLIES, passive=True))
step("replies declared", lambda: declare(REPLIES, exclusive=True))
step("replies of nobody", lambda: declare(REPLIES + ".nobody", passive=True))
step("replies with acks", lambda: channel.basic_consume(REPLIES, lambda *_: None))
step("replies for nobody", lambda: (put_into("absent", b"", reply_to=REPLIES), get("absent")))
step("replies asked for from a queue", lambda: get(REPLIES))
step("replies bound", lambda: channel.queue_bind(REPLIES, "amq.direct", "x"))
step("replies consumed twice", lambda: [channel.basic_consume(REPLIES, lambda *_: None, auto_ack=True) for _ in range(2)])


def replied():
    fresh()
    channel.queue_declare("questions")
    got = []

    def answered(_channel, method, properties, body):
        mine = method.routing_key.startswith(REPLIES + ".")
        got.append((method.consumer_tag, method.delivery_tag, method.redelivered, method.exchange, mine, properties.type, body))

    channel.basic_consume(REPLIES, answered, auto_ack=True, consumer_tag="me")
    put_into("questions", b"?", reply_to=REPLIES)
    reply_to = channel.basic_get("questions", auto_ack=True)[1].reply_to
    other = connect()
    theirs = other.channel()
    there = theirs.queue_declare(reply_to, passive=True).method.consumer_count
    theirs.confirm_delivery()
    theirs.basic_publish("", reply_to, b"!", pika.BasicProperties(type="reply"))
    returned = None
    try:
        theirs.basic_publish("", reply_to, b"!!", mandatory=True)
    except pika.exceptions.UnroutableError as unroutable:
        returned = unroutable.messages[0].method.reply_code
    connection.sleep(0.5)
    channel.basic_cancel("me")
    try:
        theirs.queue_declare(reply_to, passive=True)
    except pika.exceptions.ChannelClosedByBroker as closed:
        there = there, closed.reply_code
    other.close()
    return reply_to.startswith(REPLIES + "."), there, returned, got, channel.queue_delete("questions").method.message_count


step("replied", replied)


# Copies for further keys.
def copies():
    for name in ["c1", "c2", "c3"]:
        channel.queue_declare(name)
    put_into("c1", b"x", headers={"CC": ["c2"], "BCC": ["c3"], "o": 1})
    put_into("c1", b"x", headers={"BCC": ["c3"]})
    got = []
    for name in ["c1", "c2", "c3", "c1", "c3"]:
        method, properties, _ = channel.basic_get(name, auto_ack=True)
        got.append((name, method.routing_key, properties.headers))
    return got


step("copies", copies)
step("copies to no list", lambda: (put_into("c1", b"", headers={"CC": "c2"}), get("c1")))


def alternate():
    channel.exchange_declare("otherwise", "fanout")
    channel.queue_bind("c2", "otherwise")
    channel.exchange_declare("choosy", "direct", arguments={"alternate-exchange": "otherwise"})
    channel.queue_bind("c1", "choosy", "k")
    channel.basic_publish("choosy", "k", b"fits")
    channel.basic_publish("choosy", "l", b"does not")
    return get("c1", auto_ack=True), get("c1"), get("c2", auto_ack=True), get("c2")


step("alternate exchange", alternate)
step("alternates gone", lambda: [channel.exchange_delete(name) for name in ["choosy", "otherwise"]] and None)
step("copies gone", lambda: [channel.queue_delete(name).method.message_count for name in ["c1", "c2", "c3"]])


# Whose turn it is.
def priorities():
    fresh()
    channel.queue_declare("turns")
    channel.basic_qos(prefetch_count=2)
    got = []

    def taker(name):
        return lambda _c, method, _p, body: got.append((name, method.delivery_tag, body))

    low = channel.basic_consume("turns", taker("low"))
    channel.basic_consume("turns", taker("high"), arguments={"x-priority": 10})
    for number in range(6):
        put_into("turns", str(number).encode())
        connection.sleep(0.1)
    filled = sorted(got)
    channel.basic_cancel(low)
    [channel.basic_ack(tag) for name, tag, _ in filled if name == "high"]
    connection.sleep(0.5)
    return filled, sorted(got)[len(filled):] and [entry[0] for entry in got[len(filled):]]


step("by priority of the consumer", priorities)
step("a priority that is none", lambda: channel.basic_consume("turns", lambda *_: None, arguments={"x-priority": "high"}))
step("turns gone", lambda: channel.queue_delete("turns").method.message_count)


def single():
    fresh()
    channel.queue_declare("single", arguments={"x-single-active-consumer": True})
    got = []

    def taker(name):
        return lambda _c, method, _p, body: got.append((name, body))

    first = channel.basic_consume("single", taker("first"), auto_ack=True)
    second = channel.basic_consume("single", taker("second"), auto_ack=True, arguments={"x-priority": 5})
    count = declare("single", passive=True)
    put_into("single", b"1", b"2")
    connection.sleep(0.5)
    channel.basic_cancel(first)
    put_into("single", b"3", b"4")
    connection.sleep(0.5)
    channel.basic_cancel(second)
    return count, got


step("a single active consumer", single)
step("single and exclusive", lambda: channel.basic_consume("single", lambda *_: None, exclusive=True))
step("single gone", lambda: channel.queue_delete("single").method.message_count)


# A queue that goes when nobody uses it.
def unused():
    channel.queue_declare("unused", arguments={"x-expires": 1500})
    tag = channel.basic_consume("unused", lambda *_: None)
    connection.sleep(2)
    channel.basic_cancel(tag)
    there = declare("unused", passive=True)
    connection.sleep(2.5)
    return there, declare("unused", passive=True)


step("unused", unused)


# A delivery limit counts what is given back.
def limited():
    fresh()
    channel.queue_declare("limited", durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 2})
    put_into("limited", b"again")
    got = []
    for _ in range(4):
        for _ in range(20):
            method, properties, _ = channel.basic_get("limited")
            if method:
                break
            connection.sleep(0.1)
        if not method:
            got.append("empty")
            break
        got.append((method.redelivered, properties.headers))
        channel.basic_nack(method.delivery_tag, requeue=True)
    return got, channel.queue_delete("limited").method.message_count


step("a delivery limit", limited)

for arguments in [
    {"x-expires": 0}, {"x-expires": -1}, {"x-expires": "s"}, {"x-message-ttl": 2**40},
    {"x-single-active-consumer": 1}, {"x-queue-mode": "odd"}, {"x-queue-type": "odd"}, {"x-queue-type": 1},
    {"x-message-ttl": 2**37},
]:
    step(f"declare with {arguments}", lambda: declare("odd", arguments=arguments))
step("odd gone", lambda: channel.queue_delete("odd").method.message_count)
for flags in [{"durable": False}, {"durable": True, "exclusive": True}, {"durable": True, "auto_delete": True}]:
    step(f"quorum {flags}", lambda: declare("quorum", arguments={"x-queue-type": "quorum"}, **flags))

# Ends of connections.
step("wrong password", lambda: refused(password="wrong"))
step("wrong vhost", lambda: refused(virtual_host="absent"))
step("secret", lambda: connection.update_secret("guest", "because") if hasattr(connection, "update_secret") else None)
connection.close()
print("all said", flush=True)
