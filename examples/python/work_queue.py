"""A work queue with pika that neither loses work nor does it for ever.

    work_queue.py publish NUMBER...    what is no number cannot be done
    work_queue.py work [COUNT]         does so many, or all that come
    work_queue.py failed               shows what could not be done, and why

What the textbook leaves out: it publishes without confirms, so that a message can be gone before it was stored; it
acknowledges before the work, or by itself; and it gives work that fails back to its queue, where it is tried for ever.
Here a message is on disk before `publish` returns, is acknowledged after its work, and goes to a queue of its own
when it cannot be done. A worker that dies has acknowledged nothing: the work comes again, so it must bear being done twice.
"""

import os
import sys
import time
import uuid

import pika
from pika.exceptions import AMQPConnectionError, StreamLostError, UnroutableError

HOST, PORT = os.environ.get("FOREBAY_AMQP", "127.0.0.1:5672").rsplit(":", 1)
WORK, FAILED = "squares", "squares.failed"


def channel():
    connection = pika.BlockingConnection(pika.ConnectionParameters(HOST, int(PORT), heartbeat=30))
    channel = connection.channel()
    channel.queue_declare(FAILED, durable=True)
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": FAILED}
    channel.queue_declare(WORK, durable=True, arguments=dead)
    return channel


def publish(numbers):
    queue = channel()
    queue.confirm_delivery()
    for number in numbers:
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent, message_id=uuid.uuid4().hex)
        try:
            # Returns once it is stored; mandatory, so that a queue that is gone is an error and no silence.
            queue.basic_publish("", WORK, number.encode(), properties, mandatory=True)
        except UnroutableError:
            sys.exit(f"there is no queue {WORK}")
    print(f"published {len(numbers)}")


def work(count_max):
    done = 0
    while done < count_max:
        try:
            queue = channel()
            # Without a limit the first worker takes everything, and the others have nothing to do.
            queue.basic_qos(prefetch_count=1)
            for method, properties, body in queue.consume(WORK):
                try:
                    print(f"{int(body)} squared is {int(body) ** 2}", flush=True)
                    queue.basic_ack(method.delivery_tag)
                except ValueError:
                    queue.basic_reject(method.delivery_tag, requeue=False)
                done += 1
                if done == count_max:
                    break
            queue.connection.close()
        except (AMQPConnectionError, StreamLostError):
            time.sleep(0.5)  # what was not acknowledged comes again


def failed():
    queue = channel()
    while True:
        method, properties, body = queue.basic_get(FAILED)
        if method is None:
            return
        death = properties.headers["x-death"][0]
        print(f"{body.decode()!r} was {death['reason']} in {death['queue']}")
        queue.basic_ack(method.delivery_tag)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["publish", *numbers]:
            publish(numbers)
        case ["work", *count]:
            work(int(count[0]) if count else sys.maxsize)
        case ["failed"]:
            failed()
        case _:
            sys.exit(__doc__)
