/* A value in the cache, work in the queue, its result in the cache: libmemcached and librabbitmq against one daemon.
 * Usage: cache_and_queue [AMQP_PORT MEMCACHED_PORT] */

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <inttypes.h>
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int holds, const char *attempt) {
    if (!holds) {
        fprintf(stderr, "cannot %s\n", attempt);
        exit(1);
    }
}

/* What the server answered to the last question. */
static void answered(amqp_connection_state_t queue, const char *attempt) {
    check(amqp_get_rpc_reply(queue).reply_type == AMQP_RESPONSE_NORMAL, attempt);
}

static void store(memcached_st *cache, const char *key, const char *value, time_t ttl) {
    check(memcached_set(cache, key, strlen(key), value, strlen(value), ttl, 0) == MEMCACHED_SUCCESS, "set");
}

/* To be freed; NULL if it is not there. */
static char *load(memcached_st *cache, const char *key) {
    memcached_return_t outcome;
    size_t length;
    uint32_t flags;
    char *value = memcached_get(cache, key, strlen(key), &length, &flags, &outcome);
    check(outcome == MEMCACHED_SUCCESS || outcome == MEMCACHED_NOTFOUND, "get");
    return value;
}

static amqp_connection_state_t open_queue(int port, const char *name) {
    amqp_connection_state_t queue = amqp_new_connection();
    check(amqp_socket_open(amqp_tcp_socket_new(queue), "127.0.0.1", port) == AMQP_STATUS_OK, "connect");
    amqp_rpc_reply_t reply = amqp_login(queue, "/", 0, 131072, 30, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    check(reply.reply_type == AMQP_RESPONSE_NORMAL, "log in");
    amqp_channel_open(queue, 1);
    answered(queue, "open a channel");
    amqp_queue_declare(queue, 1, amqp_cstring_bytes(name), 0, 1, 0, 0, amqp_empty_table);
    answered(queue, "declare the queue");
    amqp_confirm_select(queue, 1);
    answered(queue, "ask for confirms");
    return queue;
}

/* Returns once the message is on disk. */
static void publish(amqp_connection_state_t queue, const char *name, const char *body) {
    amqp_basic_properties_t lasting = { ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = AMQP_DELIVERY_PERSISTENT };
    amqp_bytes_t key = amqp_cstring_bytes(name);
    int sent = amqp_basic_publish(queue, 1, amqp_empty_bytes, key, 0, 0, &lasting, amqp_cstring_bytes(body));
    amqp_frame_t frame;
    check(sent == AMQP_STATUS_OK && amqp_simple_wait_frame(queue, &frame) == AMQP_STATUS_OK, "publish");
    check(frame.frame_type == AMQP_FRAME_METHOD && frame.payload.method.id == AMQP_BASIC_ACK_METHOD, "be confirmed");
}

/* Takes one piece of work, does it, stores its result, and only then acknowledges. */
static void work(amqp_connection_state_t queue, memcached_st *cache, const char *name) {
    amqp_basic_qos(queue, 1, 0, 1, 0);
    amqp_basic_consume(queue, 1, amqp_cstring_bytes(name), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    answered(queue, "consume");
    amqp_envelope_t taken;
    check(amqp_consume_message(queue, &taken, NULL, 0).reply_type == AMQP_RESPONSE_NORMAL, "take work");
    char key[64], result[32];
    snprintf(key, sizeof key, "%.*s", (int)taken.message.body.len, (char *)taken.message.body.bytes);
    char *number = load(cache, key);
    long value = number ? strtol(number, NULL, 10) : 0;
    snprintf(result, sizeof result, "%ld", value * value);
    strncat(key, ":squared", sizeof key - strlen(key) - 1);
    store(cache, key, result, 60);
    check(amqp_basic_ack(queue, 1, taken.delivery_tag, 0) == AMQP_STATUS_OK, "acknowledge");
    amqp_destroy_envelope(&taken);
    free(number);
}

int main(int count, char **words) {
    int amqp_port = count == 3 ? atoi(words[1]) : 5672, memcached_port = count == 3 ? atoi(words[2]) : 11211;
    memcached_st *cache = memcached_create(NULL);
    check(memcached_server_add(cache, "127.0.0.1", (in_port_t)memcached_port) == MEMCACHED_SUCCESS, "name the cache");
    amqp_connection_state_t queue = open_queue(amqp_port, "numbers");
    store(cache, "number:1", "12", 60);
    publish(queue, "numbers", "number:1");
    work(queue, cache, "numbers");
    char *result = load(cache, "number:1:squared");
    printf("12 squared is %s\n", result ? result : "not known");
    free(result);
    amqp_connection_close(queue, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(queue);
    memcached_free(cache);
    return 0;
}
