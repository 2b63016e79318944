"""What Celery does with its broker and its results, one line a case.

Usage: session.py prefork|threads
"""

import bisect
import sys
import threading
import time

from celery import chain, chord, group
from celery.contrib.abortable import AbortableTask  # noqa: F401  (that it imports is part of the case)
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult, GroupResult
from kombu import Exchange, Queue

from tasks import add, app, die, flaky, hold, hopeless, length, noted, pause, rated, total, when, work, write
from worker import Worker, limit, wait_until

POOL = sys.argv[1]
WAIT = 30


def a_result():
    result = add.delay(2, 2)
    assert result.get(WAIT) == 4
    assert AsyncResult(result.id, app=app).state == "SUCCESS"


def many_results():
    assert [result.get(WAIT) for result in [add.delay(n, n) for n in range(200)]] == [2 * n for n in range(200)]


def a_megabyte():
    assert length.delay("x" * (1 << 20)).get(WAIT) == 1 << 20


def retries():
    third, *never = flaky.delay(2), flaky.delay(9), hopeless.delay()
    assert third.get(WAIT) == 2
    for task in never:
        failure = task.get(WAIT, propagate=False)
        assert task.state == "FAILURE" and isinstance(failure, (ValueError, KeyError)), failure


def countdown():
    begun = time.time()
    # Long enough for a disk that is busy with other things.
    later = [when.apply_async(countdown=10) for _ in range(20)]
    # So many are set aside until their time: the worker raises its prefetch, and others pass them.
    assert add.delay(1, 1).get(WAIT) == 2
    assert time.time() < begun + 10, "a task waited behind those of a later time"
    times = [result.get(WAIT) for result in later]
    assert min(times) >= begun + 10, (begun, times)


def eta():
    from datetime import datetime, timedelta, timezone

    begun = time.time()
    at = datetime.now(timezone.utc) + timedelta(seconds=1)
    assert when.apply_async(eta=at).get(WAIT) >= begun + 1


def rate_limit():
    times = sorted(result.get(WAIT) for result in [rated.delay() for _ in range(6)])
    assert times[-1] - times[0] > 0.7, times


def expires():
    result = add.apply_async((1, 1), countdown=1, expires=0.3)
    try:
        result.get(WAIT)
        raise AssertionError("it ran after its end")
    except TaskRevokedError:
        assert result.state == "REVOKED"


def expires_in_its_queue():
    with app.connection_for_write() as connection:
        queue = Queue("nobody", durable=True)(connection.default_channel)
        queue.declare()
        add.apply_async((1, 1), queue=queue, expiration=0.2)
        add.apply_async((1, 1), queue=queue)
        wait_until("the first is gone", lambda: queue.queue_declare(passive=True).message_count == 1)
        assert queue.delete() == 1


def revoke():
    result = write.apply_async(("revoked", 1), countdown=3)
    result.revoke()
    try:
        result.get(WAIT)
        raise AssertionError("it was revoked and ran")
    except TaskRevokedError:
        assert not noted("revoked")


def terminate():
    if POOL != "prefork":
        return
    result = pause.delay(60)
    wait_until("it runs", lambda: result.id in str(app.control.inspect(timeout=1).active()))
    result.revoke(terminate=True, signal="SIGKILL")
    try:
        result.get(WAIT)
        raise AssertionError("it was terminated and came to its end")
    except TaskRevokedError:
        pass


def remote_control():
    assert [list(answer) for answer in app.control.ping(timeout=5, limit=1)] == [["worker@here"]]
    assert "tasks.add" in app.control.inspect(timeout=1).registered()["worker@here"]
    assert app.control.rate_limit("tasks.rated", "100/s", reply=True, timeout=5, limit=1)[0]["worker@here"]["ok"]


def priorities():
    queue = Queue("ranked", queue_arguments={"x-max-priority": 9})
    with app.connection_for_write() as connection:
        queue(connection.default_channel).declare()
    for number in range(20):
        write.apply_async(("ranked", number), queue=queue, priority=9 if number >= 12 else number % 3)
    app.control.add_consumer("ranked", options={"queue_arguments": {"x-max-priority": 9}}, reply=True, timeout=5, limit=1)
    order = wait_until("all ran", lambda: [int(line[0]) for line in noted("ranked")][19:] and noted("ranked"))
    numbers = [int(line[0]) for line in order]
    # Several run at a time, and one whose process has to wait for a processor may come late: but for a few the order is kept.
    kept = []
    for priority in [9 if number >= 12 else number % 3 for number in numbers]:
        place = bisect.bisect_right(kept, -priority)
        kept[place:place + 1] = [-priority]
    assert len(kept) >= 17, numbers
    app.control.cancel_consumer("ranked", reply=True, timeout=5, limit=1)


def topics():
    result = add.apply_async((20, 1), exchange="topics", routing_key="news.of.today")
    assert result.get(WAIT) == 21


def broadcast():
    from kombu.common import Broadcast

    app.control.add_consumer("all", exchange="all", exchange_type="fanout", options={"queue_arguments": {}}, reply=True, timeout=5, limit=1)
    with app.connection_for_write() as connection:
        Broadcast("all", channel=connection.default_channel).exchange.declare()
    result = add.apply_async((20, 2), exchange=Exchange("all", type="fanout"), routing_key="")
    assert result.get(WAIT) == 22


def a_chain():
    assert chain(add.s(1, 2), add.s(3), add.s(4)).delay().get(WAIT) == 10


def a_group():
    result = group(add.s(n, 1) for n in range(10)).delay()
    assert result.get(WAIT) == list(range(1, 11))
    result.save()
    assert GroupResult.restore(result.id, app=app).get(WAIT) == list(range(1, 11))


def a_chord():
    assert chord((add.s(n, n) for n in range(10)), total.s()).delay().get(WAIT) == 90
    nested = chain(group(add.s(1, 1), add.s(2, 2)), total.s(), add.s(1), group(add.s(1), add.s(2)), total.s())
    assert nested.delay().get(WAIT) == 17


def chunks():
    assert add.chunks(zip(range(20), range(20)), 5).delay().get(WAIT) == [[2 * n for n in range(b, b + 5)] for b in range(0, 20, 5)]


def a_chord_that_fails():
    try:
        chord([add.s(1, 1), hopeless.s()], total.s()).delay().get(WAIT)
        raise AssertionError("its body ran")
    except Exception as error:
        assert "never" in str(error), repr(error)


def events():
    seen, ready = set(), threading.Event()

    def receive():
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": lambda event: seen.add(event["type"])})
            consumer = receiver.itercapture(limit=None, timeout=10, wakeup=True)
            next(consumer)
            ready.set()
            while "task-succeeded" not in seen:
                next(consumer)

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    assert ready.wait(10)
    assert add.delay(1, 1).get(WAIT) == 2
    thread.join(10)
    assert {"task-sent", "task-received", "task-started", "task-succeeded"} <= seen, seen


def a_lost_child():
    if POOL == "prefork":
        assert die.delay("died").get(WAIT) is True
        assert noted("died") == [["False"], ["True"]], noted("died")


CASES = [
    a_result, many_results, a_megabyte, retries, countdown, eta, rate_limit, expires, expires_in_its_queue, revoke, terminate,
    remote_control, priorities, topics, broadcast, a_chain, a_group, a_chord, chunks, a_chord_that_fails, events, a_lost_child,
]


def a_killed_worker():
    """What an acks_late task had begun is done by the next worker, and told that it comes again."""
    with Worker(POOL) as worker:
        held = hold.delay("held")
        queued = [work.delay("queued", number) for number in range(20)]
        wait_until("it is held", lambda: noted("held"))
        worker.kill()
    with Worker(POOL):
        assert held.get(WAIT) is True
        assert [result.get(WAIT) for result in queued] == list(range(20))


limit(100, "a worker")
with Worker(POOL):
    for case in CASES:
        limit(60, case.__name__)
        begun = time.monotonic()
        case()
        print(f"{case.__name__}: {time.monotonic() - begun:.1f} s", flush=True)
    limit(60, "the worker's end")
limit(100, "a killed worker")
a_killed_worker()
print("all well", flush=True)
