"""moto's server with one lock around its SQS.

Its threads replace a queue's list of messages without one: what another adds meanwhile is lost, what another deletes is there
again, and two that ask at once are handed the same message. SQS does none of that to a message that it has confirmed.
"""

import threading
import time

from moto.server import main
from moto.sqs.models import SQSBackend

LOCK = threading.RLock()
LOOK_S = 0.1


def locked(method):
    def call(*args, **kwargs):
        with LOCK:
            return method(*args, **kwargs)

    return call


def waiting(receive):
    """Waits without the lock, and sees what becomes visible at once."""

    def call(backend, queue_name, count, wait_s, *rest):
        until = time.monotonic() + wait_s
        while True:
            with LOCK:
                taken = receive(backend, queue_name, count, 0, *rest)
            if taken or time.monotonic() >= until:
                return taken
            time.sleep(LOOK_S)

    return call


for name in (
    "create_queue",
    "delete_queue",
    "get_queue_attributes",
    "send_message_batch",
    "delete_message_batch",
    "change_message_visibility_batch",
    "purge_queue",
):
    setattr(SQSBackend, name, locked(getattr(SQSBackend, name)))
SQSBackend.receive_message = waiting(SQSBackend.receive_message)
main()
