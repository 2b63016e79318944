/* Says on which node libmemcached places each of so many keys: placed <keys> <host> <port> <weight> ... */
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc < 5 || (argc - 2) % 3 != 0) return 2;
    memcached_st *store = memcached_create(NULL);
    memcached_behavior_set(store, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    for (int i = 2; i < argc; i += 3) {
        if (memcached_server_add_with_weight(store, argv[i], atoi(argv[i + 1]), atoi(argv[i + 2])) != MEMCACHED_SUCCESS) return 3;
    }
    for (int number = 0; number < atoi(argv[1]); number++) {
        char key[64];
        snprintf(key, sizeof key, "user:%d:profile", number);
        uint32_t place = memcached_generate_hash(store, key, strlen(key));
        const memcached_instance_st *node = memcached_server_instance_by_position(store, place);
        printf("%s:%d\n", memcached_server_name(node), (int)memcached_server_port(node));
    }
    memcached_free(store);
    return 0;
}
