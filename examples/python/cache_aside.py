"""Cache-aside with python-memcached, without the textbook's holes.

The textbook reads the cache, on a miss reads the database and sets what it found; a writer updates the database and
deletes the key. Between a reader's query and its `set` a writer can do both its steps: then the old value is stored
after the deletion, and stays. Here a reader first takes the place with `add`, and fills it with `cas`, which the
deletion makes fail. A product that does not exist is remembered as such; times to live differ, so that keys which were
filled together do not expire together; of many readers that miss at once, one asks the database.
"""

import os
import random
import sqlite3
import time
import uuid

import memcache

TTL, TTL_ABSENT, TTL_FILLING = 300, 30, 5
FILLING, ABSENT = "filling:", "absent"

cache = memcache.Client([os.environ.get("FOREBAY_MEMCACHED", "127.0.0.1:11211")], cache_cas=True)
database = sqlite3.connect(":memory:")
queries = 0


def load(product):
    global queries
    queries += 1
    row = database.execute("SELECT name FROM products WHERE id = ?", (product,)).fetchone()
    return row and row[0]


def is_filling(value):
    return isinstance(value, str) and value.startswith(FILLING)


def read(product, load=load):
    """The product's name, or None; from the cache if it is there."""
    key, mine = f"product:{product}", FILLING + uuid.uuid4().hex
    end = time.monotonic() + 1
    while True:
        cache.reset_cas()
        value = cache.gets(key)
        if value is None and cache.add(key, mine, TTL_FILLING):
            value = cache.gets(key)
        if not is_filling(value) and value is not None:
            return None if value == ABSENT else value[1:]
        if value == mine or time.monotonic() > end:
            break
        time.sleep(0.01)  # another is filling it
    found = load(product)
    if value == mine:
        # Refused if the key was deleted, expired or taken since: then what was found may be old by now.
        kept, ttl = (ABSENT, TTL_ABSENT) if found is None else ("=" + found, TTL)
        cache.cas(key, kept, int(ttl * random.uniform(0.9, 1.1)))
    return found


def write(product, name):
    """Writes the database, then deletes: in the other order a reader could fill the cache with the old name between."""
    with database:
        database.execute("INSERT OR REPLACE INTO products VALUES (?, ?)", (product, name))
    # This client says 0 also where there was nothing to delete; a server that is gone takes no value either.
    if not cache.delete(f"product:{product}") and not cache.set("alive", 1):
        raise RuntimeError("the cache did not answer: an old name may live there for its time to live")


def main():
    with database:
        database.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    write(7, "teapot")
    assert [read(7) for _ in range(3)] == ["teapot"] * 3
    print(f"read three times with {queries} query")

    write(7, "samovar")
    print(f"after an update it reads {read(7)}")

    assert [read(8) for _ in range(3)] == [None] * 3
    print(f"a product that is not there costs one query as well: {queries} in all")

    def slow(product):
        found = load(product)
        write(product, "kettle")  # a writer, after the query and before the fill
        return found

    cache.delete("product:7")
    read(7, slow)
    print(f"a reader that was overtaken by a writer leaves no old name behind: {read(7)}")
    assert read(7) == "kettle"


if __name__ == "__main__":
    main()
