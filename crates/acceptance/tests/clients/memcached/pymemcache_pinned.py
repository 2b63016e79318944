"""Results and chord counters through pymemcache. Arguments: host:port, write or check, the journal.

`write` has several clients, each with keys of its own, work until the daemon is gone; it notes before each change what is
about to be done and after it that it was answered.
`check` finds every key as it was answered, or as the one change that got no answer would have made it."""

import os
import random
import sys
import threading
import traceback

from pymemcache.client.base import Client

host, port = sys.argv[1].rsplit(":", 1)
mode, path = sys.argv[2:]
# It divides the number of keys of either kind that share a number, so that no two clients share a key.
CLIENTS = 6
one_line = threading.Lock()


def connect():
    return Client((host, int(port)), default_noreply=False, timeout=20)


def read(path):
    """By key: what was answered, and what may be there because it was asked for."""
    told, asked = {}, {}
    try:
        lines = open(path).read().splitlines(keepends=True)
    except FileNotFoundError:
        lines = []
    for line in lines:
        if not line.endswith("\n"):
            break
        word, key, value = line.rstrip("\n").split(" ", 2)
        if word == "ask":
            asked[key] = value
        else:
            told[key] = value
            asked.pop(key, None)
    return told, asked


def write():
    told, _ = read(path)
    journal = open(path, "a")
    threads = [threading.Thread(target=work, args=(place, dict(told), journal)) for place in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raise EOFError("no client has a connection any more")


def work(place, told, journal):
    try:
        change(place, told, journal, connect())
    except (OSError, EOFError):
        return
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def change(place, told, journal, client):
    """Changes the keys whose number leaves this remainder, one after the other."""

    def note(word, key, value):
        with one_line:
            journal.write(f"{word} {key} {value}\n")
            journal.flush()

    choose = random.Random()
    while True:
        number = choose.randrange(60 // CLIENTS) * CLIENTS + place
        # What the cache may forget presses on what it may not.
        client.set(f"page:{choose.randrange(10_000)}", b"x" * 10_000, noreply=True)
        if number < 10:
            key = f"chord-unlock-{number}"
            value = int(told.get(key, "gone")) + 1 if told.get(key, "gone") != "gone" else 0
            act = (lambda: client.incr(key, 1) == value) if value else (lambda: client.set(key, b"0", expire=3600))
        elif number < 15:
            key, value = f"celery-task-meta-{number}", "gone"
            act = lambda: client.delete(key) in (True, False)
        else:
            key = f"celery-task-meta-{number % 30}"
            value = f"{choose.randrange(10**9)}-" + "r" * choose.randrange(2_000)
            act = lambda: client.set(key, value.encode(), expire=3600)
        note("ask", key, value)
        assert act(), key
        note("told", key, value)
        told[key] = value
        with one_line:
            print("answered", flush=True)


def check():
    client = connect()
    told, asked = read(path)
    for key in told.keys() | asked.keys():
        found = client.get(key)
        found = "gone" if found is None else found.decode()
        right = {told.get(key, "gone"), asked.get(key, told.get(key, "gone"))}
        assert found in right, f"{key}: found {found[:40]}, expected one of {[one[:40] for one in right]}"
        # From here on that is what was told.
        with open(path, "a") as journal:
            journal.write(f"told {key} {found}\n")
    assert told, "nothing was ever answered"
    version = client.gets("chord-unlock-0")
    if version[0] is not None:
        assert client.cas("chord-unlock-0", version[0], b"1") is False, "an older version never matches"
    print("all well")


try:
    write() if mode == "write" else check()
except (OSError, EOFError) as error:
    sys.exit(f"the daemon is gone: {error}")
