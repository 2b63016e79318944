"""Celery's native delayed delivery: with quorum queues a task for later waits in the server, not in the worker's hands.

Says "kill" when it wants the daemon killed while a task waits, and waits for a line once it is back.
"""

import sys
import time

from kombu import Exchange, Queue

from tasks import add, app, noted, write
from worker import Worker, limit, wait_until

WAIT = 30
app.conf.update(
    task_default_queue="delayed",
    task_default_queue_type="quorum",
    task_default_exchange_type="topic",
    task_queues=[Queue("delayed", Exchange("delayed", type="topic"), routing_key="delayed", queue_arguments={"x-queue-type": "quorum"})],
    task_default_exchange="delayed",
    task_default_routing_key="delayed",
    broker_native_delayed_delivery_queue_type="quorum",
)


def depth(queue):
    """How many messages wait in a queue of the server."""
    with app.connection_for_write() as connection:
        return connection.default_channel.queue_declare(queue, passive=True).message_count


def kill():
    print("kill", flush=True)
    assert sys.stdin.readline() == "back\n"


def ran(word):
    """When each task of this word ran."""
    return {int(line[0]): float(line[1]) for line in noted(word)}


def main():
    limit(100)
    with Worker("threads", app="delayed"):
        assert add.delay(1, 1).get(WAIT) == 2
        # The levels, each of twice the time of the one below.
        assert [depth(f"celery_delayed_{level}") for level in range(28)] == [0] * 28
        begun = time.time()
        for seconds in [5, 3, 6, 2]:
            write.apply_async(("later", seconds), countdown=seconds)
        # 5 and 6 begin at the level of four seconds, the others below.
        wait_until("they wait in the server", lambda: depth("celery_delayed_2") == 2, 3.5)
        assert add.delay(1, 2).get(WAIT) == 3, "others pass them"
        wait_until("they ran", lambda: len(ran("later")) == 4)
        times = {seconds: at - begun for seconds, at in ran("later").items()}
        print({seconds: f"{after:.2f}" for seconds, after in sorted(times.items())}, flush=True)
        assert all(seconds - 0.1 <= after < seconds + 5 for seconds, after in times.items()), times
        assert len(noted("later")) == 4, "each once"

        # One that waits is there after a kill, at the same time.
        begun = time.time()
        write.apply_async(("over", 8), countdown=8)
        wait_until("it waits", lambda: depth("celery_delayed_3") == 1, 5)
        kill()
        wait_until("it ran", lambda: 8 in ran("over"), 60)
        after = ran("over")[8] - begun
        print(f"over a kill: {after:.2f}", flush=True)
        assert 7.9 <= after < 8 + WAIT and len(noted("over")) == 1, after
    print("all well", flush=True)


# The worker takes its application from here.
if __name__ == "__main__":
    main()
