"""A Celery worker in a process group of its own, as the command line starts it."""

import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent


def wait_until(what, holds, seconds=30):
    """Returns what `holds` says once it is true."""
    end = time.monotonic() + seconds
    while not (said := holds()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.02)
    return said


class Worker:
    def __init__(self, pool, *arguments, name="worker", concurrency=2, app="tasks"):
        self.log = pathlib.Path(os.environ["JOURNAL"]).with_name(f"{name}-{time.monotonic_ns()}.log")
        options = ["--pool", pool, "--concurrency", str(concurrency), "--hostname", f"{name}@here", "--loglevel", "INFO"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "--app", app, "worker", *options, *arguments],
            cwd=HERE, stdout=self.log.open("w"), stderr=subprocess.STDOUT, start_new_session=True,
        )
        try:
            wait_until(f"{name} is ready", self.ready, 60)
        except AssertionError:
            self.kill()
            print(self.log.read_text(), flush=True)
            raise

    def ready(self):
        assert self.process.poll() is None, self.log.read_text()
        return " ready." in self.log.read_text()

    def kill(self):
        """Ends it and its children with SIGKILL."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self):
        """Asks it to end in good order."""
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log.read_text()

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        if failed:
            print(self.log.read_text()[-6000:], flush=True)
        if self.process.poll() is None:
            self.kill() if failed else self.stop()


def limit(seconds, what="all"):
    """Ends a script in which this takes longer, as an error: it takes its workers with it. The next limit is in its place."""

    def over(*_):
        raise AssertionError(f"not done within {seconds} s: {what}")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
