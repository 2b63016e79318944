"""A bmemcached session, which speaks the binary protocol alone, against a running daemon: every verb the client has, and bad input.
Arguments: host:port, and a name and a password where they are asked for."""

import sys

import bmemcached
from bmemcached.exceptions import MemcachedException

address, *credentials = sys.argv[1:]
mc = bmemcached.Client((address,), *credentials)

assert mc.flush_all() is True
assert mc.set("a", "one") is True and mc.get("a") == "one"
assert mc.add("a", "two") is False and mc.add("b", "two") is True
assert mc.replace("b", "three") is True and mc.replace("none", "x") is False
assert mc.get("none") is None and mc.get("none", "default") == "default"

value, cas = mc.gets("a")
assert value == "one" and mc.cas("a", "uno", cas) is True and mc.cas("a", "eins", cas) is False
assert mc.get("a") == "uno"

many = {f"k{i}": i for i in range(100)}
assert not mc.set_multi(many)
assert mc.get_multi(list(many) + ["none"]) == many
assert mc.delete_multi(["k1", "k2"]) is True and mc.get_multi(["k1", "k2"]) == {}

assert mc.incr("n", 5, default=10) == 10 and mc.incr("n", 5) == 15 and mc.decr("n", 20) == 0
assert str(mc.get("n")).strip() == "0"
assert mc.set("text", "x")
try:
    assert not mc.incr("text", 1)
except MemcachedException as error:
    assert "numeric" in str(error).lower(), error

assert mc.delete("a") is True and mc.get("a") is None
assert mc.set("object", {"list": [1, 2.5, None]}) and mc.get("object") == {"list": [1, 2.5, None]}
assert mc.set("big", b"x" * 1_000_000, compress_level=0) and len(mc.get("big")) == 1_000_000
try:
    assert not mc.set("big", b"x" * 2_000_000, compress_level=0)
except MemcachedException as error:
    assert "large" in str(error).lower(), error
assert mc.get("big") is None, "the older value must not be served after a refused write"
[(server, stats)] = mc.stats().items()
assert int(stats["curr_items"]) > 90, stats
assert mc.get("b") == "three", "the connection is in step"

if credentials:
    wrong = bmemcached.Client((address,), credentials[0], "wrong")
    try:
        assert wrong.get("b") is None
    except MemcachedException:
        pass
    assert mc.get("b") == "three"
mc.disconnect_all()
print("bmemcached: all well")
