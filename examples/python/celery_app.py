"""A Celery application with Forebay for its broker and for its results.

    celery --app celery_app worker     runs the tasks
    python celery_app.py               asks for some, and prints what came of them
"""

import os
import time

from celery import Celery, chord

AMQP = os.environ.get("FOREBAY_AMQP", "127.0.0.1:5672")
MEMCACHED = os.environ.get("FOREBAY_MEMCACHED", "127.0.0.1:11211")

app = Celery("celery_app", broker=f"amqp://guest:guest@{AMQP}//", backend=f"cache+memcached://{MEMCACHED}/")
app.conf.update(
    # `delay` returns once the task is stored.
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    # A worker that dies has not acknowledged its task, which another then runs: tasks must bear running twice.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    result_expires=3600,
    # A result that cannot be stored because the daemon is being restarted is stored when it is back: without this Celery calls
    # the task failed.
    cache_backend_options={"retry_attempts": 20, "retry_delay": 0.5},
)


class NotYet(Exception):
    """What the weather service says at first."""


@app.task(autoretry_for=(NotYet,), retry_backoff=0.2, retry_jitter=True, max_retries=5, bind=True)
def temperature(self, city):
    """Asks a service that fails at first; each try is later than the one before."""
    if self.request.retries == 0:
        raise NotYet(city)
    return len(city) * 3


@app.task
def mean(temperatures):
    return sum(temperatures) / len(temperatures)


@app.task
def now():
    return time.time()


def main():
    begun = time.time()
    cities = ["Oslo", "Lima", "Dakar"]
    result = chord((temperature.s(city) for city in cities), mean.s()).delay()
    print(f"the mean of {', '.join(cities)} is {result.get(timeout=30)}")
    later = now.apply_async(countdown=1).get(timeout=30) - begun
    print(f"a task for later ran {'in its time' if later >= 1 else 'too early'}")


if __name__ == "__main__":
    main()
