"""Results over a kill of the daemon: what was stored is there afterwards, and a chord that was half done ends.

Says "kill" when it wants the daemon killed, and waits for a line once it is back.
"""

import sys

from celery import chord
from celery.result import AsyncResult
from kombu import Queue
from kombu.exceptions import OperationalError
from pymemcache.exceptions import MemcacheError

from tasks import add, app, noted, total, write
from worker import Worker, limit, wait_until


def kill():
    print("kill", flush=True)
    assert sys.stdin.readline() == "back\n"


def answers(ask):
    """What is answered; nothing while the connection of old is found to be gone."""
    try:
        return ask()
    except (OperationalError, MemcacheError, OSError):
        return None


limit(100)
with Worker("prefork"):
    results = [add.delay(number, number) for number in range(50)]
    assert [result.get(30) for result in results] == [2 * number for number in range(50)]
    # Half of its header has run, and is counted, when the daemon goes; the rest waits in a queue nobody reads yet.
    later = Queue("later", durable=True)
    header = [write.s("half", n) for n in range(5)] + [write.s("half", n).set(queue=later) for n in range(5, 10)]
    with app.connection_for_write() as connection:
        later(connection.default_channel).declare()
    whole = chord(header, total.s()).delay()
    for part in whole.parent.results[:5]:
        part.get(30)
    assert len(noted("half")) == 5
    kill()
    limit(110, "the results after the kill")
    # pymemcache fails once on the connection of old.
    wait_until("the results are asked for anew", lambda: answers(lambda: [app.backend.client.get("any")]))
    fresh = [AsyncResult(result.id, app=app) for result in results]
    assert [result.get(30) for result in fresh] == [2 * number for number in range(50)]
    wait_until("the worker is back", lambda: answers(lambda: app.control.add_consumer("later", reply=True, timeout=2, limit=1)), 60)
    assert whole.get(30) == sum(range(10))
print("all well", flush=True)
