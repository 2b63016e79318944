"""A pylibmc (libmemcached) session against a running daemon, in the text and the binary protocol: every verb the client has, and bad
input. Argument: host:port."""

import sys

import pylibmc

address = sys.argv[1]


def client(binary):
    return pylibmc.Client([address], binary=binary, behaviors={"cas": True, "tcp_nodelay": True})


def fails(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind:
        return True
    return False


def session(mc, binary):
    assert mc.flush_all()
    assert mc.set("a", "one") and mc.get("a") == "one"
    assert mc.add("a", "two") is False and mc.add("b", "two") is True
    assert mc.replace("b", "three") is True
    try:
        assert mc.replace("none", "x") is False
    except pylibmc.NotFound:
        assert binary
    assert mc.set("text", b"bc") and mc.append("text", b"d") and mc.prepend("text", b"a")
    assert mc.get("text") == b"abcd"
    assert mc.get("none") is None and mc.get("none", 7) == 7

    value, cas = mc.gets("a")
    assert value == "one" and mc.cas("a", "uno", cas) is True and mc.cas("a", "eins", cas) is False
    assert mc.gets("none") == (None, None)

    many = {f"k{i}": i for i in range(100)}
    assert mc.set_multi(many) == []
    assert mc.get_multi(list(many) + ["none"]) == many
    assert mc.get_multi(["1", "2"], key_prefix="k") == {"1": 1, "2": 2}
    assert mc.delete_multi(["k1", "k2"]) is True and mc.get_multi(["k1", "k2"]) == {}

    assert mc.set("n", 10) and mc.incr("n", 5) == 15 and mc.decr("n", 20) == 0
    assert fails(pylibmc.NotFound, mc.incr, "none")
    assert mc.add_multi({"n1": 1, "n2": 2}) == [] and mc.incr_multi(["n1", "n2"], delta=3) is None
    assert mc.get_multi(["n1", "n2"]) == {"n1": 4, "n2": 5}
    # In the binary protocol it takes the connection for lost after that, before memcached too.
    assert fails(pylibmc.Error, client(binary).incr, "a")

    # Its own touch fails in the binary protocol, before memcached too.
    assert binary or (mc.touch("a", 100) is True and mc.touch("none", 100) is False)
    assert mc.delete("a") is True and mc.delete("a") is False
    assert mc.set("empty", b"") and mc.get("empty") == b""
    assert mc.set("big", b"x" * 1_000_000) and len(mc.get("big")) == 1_000_000
    assert mc.set("packed", "x" * 3_000_000, min_compress_len=1000) and len(mc.get("packed")) == 3_000_000
    assert fails((pylibmc.TooBig, pylibmc.Error), mc.set, "big", b"x" * 2_000_000)
    assert mc.get("big") is None, "the older value must not be served after a refused write"
    assert fails((pylibmc.Error, ValueError), mc.set, "k" * 251, "x")
    assert mc.set({"python": "object"}.__class__.__name__, {"python": ["object", 1.5]})
    assert mc.get("dict") == {"python": ["object", 1.5]}
    [(name, stats)] = mc.get_stats()
    assert int(stats[b"curr_items" if b"curr_items" in stats else "curr_items"]) > 90, stats
    assert mc.get("b") == "three", "the connection is in step"


for binary in (False, True):
    session(client(binary), binary)
print("pylibmc: all well")
