"""A python-memcached session against a running daemon. Argument: host:port."""

import sys

import memcache

client = memcache.Client([sys.argv[1]], cache_cas=True, debug=1)
assert client.flush_all() is None
assert client.set("text", "grün") and client.get("text") == "grün"
assert client.set("number", 7) and client.get("number") == 7
assert client.incr("number") == 8 and client.decr("number", 3) == 5
assert client.set("object", {"a": [1, 2]}) and client.get("object") == {"a": [1, 2]}
assert client.set_multi({"x": 1, "y": 2}, key_prefix="p:") == []
assert client.get_multi(["x", "y", "z"], key_prefix="p:") == {"x": 1, "y": 2}
assert client.delete_multi(["x", "y"], key_prefix="p:") == 1
assert client.add("once", "1") and not client.add("once", "2")
assert client.replace("once", "3") and not client.replace("never", "3")
assert client.append("once", "4") and client.prepend("once", "2") and client.get("once") == "234"
assert client.gets("once") == "234" and client.cas("once", "new") and client.get("once") == "new"
assert client.touch("once", 100) == 1 and client.delete("once") == 1 and client.get("once") is None
assert client.set("squeezed", "x" * 100_000, min_compress_len=10) and len(client.get("squeezed")) == 100_000
(server, stats), = client.get_stats()
assert int(stats["curr_items"]) >= 3
assert client.get_slab_stats() and client.get_stats("items") is not None
client.disconnect_all()
print("python-memcached: all well")
