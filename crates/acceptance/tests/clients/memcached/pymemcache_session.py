"""A pymemcache session against a running daemon: every verb the client has, and bad input. Argument: host:port."""

import sys

from pymemcache.client.base import Client, PooledClient
from pymemcache.exceptions import MemcacheClientError, MemcacheIllegalInputError, MemcacheServerError

host, port = sys.argv[1].rsplit(":", 1)
address = (host, int(port))
client = Client(address, default_noreply=False)

assert client.flush_all()
assert client.set("a", b"one") and client.get("a") == b"one"
assert client.add("a", b"two") is False and client.add("b", b"two") is True
assert client.replace("b", b"three") is True and client.replace("none", b"x") is False
assert client.append("b", b"!") is True and client.prepend("b", b"<") is True
assert client.get("b") == b"<three!"
assert client.get("none", default=b"default") == b"default"

value, cas = client.gets("a")
assert value == b"one"
assert client.cas("a", b"uno", cas) is True
assert client.cas("a", b"eins", cas) is False
assert client.cas("none", b"x", cas) is None

assert client.set_many({f"k{i}": str(i).encode() for i in range(100)}) == []
assert client.get_many([f"k{i}" for i in range(120)]) == {f"k{i}": str(i).encode() for i in range(100)}
assert len(client.gets_many(["k1", "k2"])) == 2
assert client.delete_many(["k1", "k2"]) is True
assert client.get_many(["k1", "k2"]) == {}

assert client.set("n", b"10") and client.incr("n", 5) == 15 and client.decr("n", 20) == 0
assert client.incr("none", 1) is None
assert client.set("n", b"18446744073709551615") and client.incr("n", 1) == 0
try:
    client.incr("a", 1)
    raise AssertionError("incr of text must fail")
except MemcacheClientError as error:
    assert "non-numeric" in str(error)

assert client.touch("a", 100) is True and client.touch("none", 100) is False
assert client.delete("a") is True and client.delete("a") is False
assert client.set("gone", b"x", expire=-1) and client.get("gone") is None

assert client.set("flags", b"x", flags=2**32 - 1) and client.get("flags") == b"x"
assert client.set("big", b"x" * 1_000_000) and len(client.get("big")) == 1_000_000
try:
    client.set("big", b"x" * 2_000_000)
    raise AssertionError("a value over the limit must fail")
except MemcacheServerError as error:
    assert "too large" in str(error)
assert client.get("big") is None, "the older value must not be served after a refused write"
try:
    client.set("k" * 251, b"x")
    raise AssertionError("a long key must fail")
except MemcacheIllegalInputError:
    pass

assert client.version().split(b".")[0].isdigit()
stats = client.stats()
assert stats[b"pid"] > 0 and stats[b"curr_items"] > 0 and stats[b"get_hits"] > 0
assert isinstance(client.stats("settings"), dict)
client.verbosity = 0

client.set("noreply", b"1", noreply=True)
assert client.get("noreply") == b"1"
pool = PooledClient(address, max_pool_size=4)
assert pool.set("pooled", b"1") and pool.get("pooled") == b"1"
assert client.flush_all() and client.get("pooled") is None
client.quit()
print("pymemcache: all well")
