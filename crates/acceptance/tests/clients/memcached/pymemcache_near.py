"""Two near caches of one shared store, through pymemcache. Arguments: host:port of each."""

import sys
import time

from pymemcache.client.base import Client

# How long a copy may be older than the shared store.
BOUND = 1.0


def connect(address):
    host, port = address.rsplit(":", 1)
    return Client((host, int(port)), default_noreply=False, timeout=20)


here, there = map(connect, sys.argv[1:])

for number in range(50):
    assert here.set(f"key:{number}", f"value {number}")
keys = [f"key:{number}" for number in range(50)]
want = {key: f"value {key[4:]}".encode() for key in keys}
assert here.get_many(keys) == want, "what was written here is seen here"
assert there.get_many(keys) == want, "what was never read there is seen there"

assert there.set("key:1", "newer"), "a change elsewhere"
assert there.get("key:1") == b"newer", "one's own write is seen at once"
changed = time.monotonic()
while True:
    # The moment of the question counts: a slow machine is late with the answer, which is no older for it.
    asked = time.monotonic()
    if here.get("key:1") == b"newer":
        break
    assert asked - changed <= BOUND, "a copy outlived its bound"
    time.sleep(0.01)

assert here.add("key:1", "x") is False
assert here.add("added", "x")
assert here.replace("nothing", "x") is False
assert here.replace("added", "y")
assert here.get("added") == b"y"

value, token = here.gets("added")
assert here.cas("added", "mine", token) is True
assert here.cas("added", "late", token) is False
assert here.cas("nothing", "late", token) is None

assert here.set("number", "7")
assert here.incr("number", 5) == 12
assert there.incr("number", 1) == 13
assert here.decr("number", 100) == 0
assert here.incr("nothing", 1) is None

assert here.touch("number", 600)
assert here.delete("number")
assert here.delete("number") is False
assert here.get("number") is None
assert there.get("nothing") is None

assert here.set("large", b"x" * 500_000)
assert there.get("large") == b"x" * 500_000

print("all well")
