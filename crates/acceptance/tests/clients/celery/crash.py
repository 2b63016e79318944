"""A Celery application while its daemon is killed: every task whose publication was confirmed is run.

Says "kill" when it wants the daemon killed, and waits for a line once it is back.
"""

import sys
import threading
import time

from kombu.exceptions import OperationalError

from tasks import noted, work, write
from worker import Worker, limit, wait_until

COUNT, KILLS = 300, [100, 200]


def publish(*, name, number, task=work, **options):
    """Publishes until it is confirmed."""
    while True:
        try:
            return task.apply_async((name, number), retry=False, **options)
        except (OperationalError, OSError):
            time.sleep(0.05)


def kill():
    print("kill", flush=True)
    assert sys.stdin.readline() == "back\n"


limit(100)
with Worker("prefork"):
    # They wait in the worker's hands, unacknowledged, when the daemon goes.
    for number in range(10):
        publish(name="later", number=number, task=write, countdown=4)
    killer = None
    for number in range(COUNT):
        limit(60, f"publishing {number}")
        if number in KILLS:
            if killer:
                killer.join(60)
            killer = threading.Thread(target=kill)
            killer.start()
        publish(name="crash", number=number)
    killer.join(60)
    limit(110, "the rest of the tasks")
    wait_until("all that was confirmed has run", lambda: {int(line[0]) for line in noted("crash")} == set(range(COUNT)), 60)
    wait_until("so has what had to wait", lambda: {int(line[0]) for line in noted("later")} == set(range(10)), 60)
    again = len(noted("crash")) - COUNT
    assert again < COUNT, f"{again} ran again"
    print(f"{COUNT} ran, {again} of them twice", flush=True)
print("all well", flush=True)
