"""A Celery application as its users write it: broker over AMQP, results in memcached, both addresses from the environment."""

import os
import signal
import time

from celery import Celery
from kombu import Exchange, Queue

app = Celery(
    "tasks",
    broker=f"amqp://guest:guest@{os.environ['AMQP']}//",
    backend=f"cache+memcached://{os.environ['MEMCACHED']}/",
)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"confirm_publish": True},
    # pymemcache fails once on a connection whose server was killed.
    cache_backend_options={"retry_attempts": 5, "retry_delay": 0.2},
    result_expires=600,
    task_send_sent_event=True,
    task_queues=[
        Queue("celery", Exchange("celery", type="direct"), routing_key="celery"),
        Queue("news", Exchange("topics", type="topic"), routing_key="news.#"),
    ],
    worker_enable_remote_control=True,
    worker_prefetch_multiplier=2,
    worker_send_task_events=True,
)
# Where tasks write what they did, so that it is known whatever becomes of broker and results.
JOURNAL = os.environ["JOURNAL"]


def note(*words):
    """Appends one line; lines of several processes do not mix."""
    with open(JOURNAL, "a", buffering=1) as journal:
        journal.write(" ".join(map(str, words)) + "\n")


def noted(word):
    """The lines that begin with the word, each split, without it."""
    if not os.path.exists(JOURNAL):
        return []
    with open(JOURNAL) as journal:
        return [line.split()[1:] for line in journal if line.split()[0] == word]


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def length(data):
    return len(data)


@app.task(bind=True, max_retries=3)
def flaky(self, failures):
    if self.request.retries < failures:
        # Celery stores RETRY after it has sent the next try, which must not be done by then.
        raise self.retry(countdown=0.5, exc=ValueError("not yet"))
    return self.request.retries


@app.task(autoretry_for=(KeyError,), retry_backoff=False, default_retry_delay=0.5, max_retries=1)
def hopeless():
    raise KeyError("never")


@app.task
def when():
    return time.time()


@app.task(rate_limit="5/s")
def rated():
    return time.time()


@app.task(bind=True)
def write(self, word, value):
    note(word, value, time.time(), self.request.delivery_info["redelivered"])
    return value


@app.task
def pause(seconds):
    time.sleep(seconds)


@app.task(bind=True, acks_late=True)
def hold(self, word):
    """Holds its worker the first time, and says so; is done at once when it comes again."""
    again = self.request.delivery_info["redelivered"]
    note(word, again)
    if not again:
        time.sleep(60)
    return again


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def die(self, word):
    """Kills the process that runs it, the first time."""
    again = self.request.delivery_info["redelivered"]
    note(word, again)
    if not again:
        os.kill(os.getpid(), signal.SIGKILL)
    return again


@app.task(acks_late=True)
def work(word, number):
    note(word, number)
    return number
