/* librabbitmq: what a program in C asks of its broker. Usage: librabbitmq_session PORT */

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define CHECK(holds) do { if (!(holds)) { fprintf(stderr, "line %d: %s\n", __LINE__, #holds); exit(1); } } while (0)
#define OK(connection) CHECK(amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL)
enum { COUNT = 1000, LARGE = 300000 };

static amqp_bytes_t text(const char *words) { return amqp_cstring_bytes(words); }

static amqp_connection_state_t open_connection(int port, int frame_max, const char *password) {
    amqp_connection_state_t connection = amqp_new_connection();
    CHECK(amqp_socket_open(amqp_tcp_socket_new(connection), "127.0.0.1", port) == AMQP_STATUS_OK);
    amqp_rpc_reply_t reply = amqp_login(connection, "/", 16, frame_max, 2, AMQP_SASL_METHOD_PLAIN, "guest", password);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        amqp_destroy_connection(connection);
        return NULL;
    }
    amqp_channel_open(connection, 1);
    OK(connection);
    return connection;
}

static void publish(amqp_connection_state_t connection, amqp_bytes_t queue, amqp_bytes_t body, int mandatory) {
    amqp_basic_properties_t properties = { ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2 };
    CHECK(amqp_basic_publish(connection, 1, amqp_empty_bytes, queue, mandatory, 0, &properties, body) == AMQP_STATUS_OK);
}

/* The next method that comes without having been asked for. */
static amqp_frame_t next_method(amqp_connection_state_t connection) {
    amqp_frame_t frame;
    struct timeval wait = { 20, 0 };
    CHECK(amqp_simple_wait_frame_noblock(connection, &frame, &wait) == AMQP_STATUS_OK);
    CHECK(frame.frame_type == AMQP_FRAME_METHOD);
    return frame;
}

static void confirms(amqp_connection_state_t connection, amqp_bytes_t queue) {
    amqp_confirm_select(connection, 1);
    OK(connection);
    char body[32];
    for (int number = 0; number < COUNT; number++) {
        snprintf(body, sizeof body, "%d", number);
        publish(connection, queue, text(body), 0);
    }
    for (uint64_t confirmed = 0; confirmed < COUNT;) {
        amqp_frame_t frame = next_method(connection);
        CHECK(frame.payload.method.id == AMQP_BASIC_ACK_METHOD);
        amqp_basic_ack_t *ack = frame.payload.method.decoded;
        CHECK(ack->delivery_tag > confirmed && (ack->multiple || ack->delivery_tag == confirmed + 1));
        confirmed = ack->delivery_tag;
    }
}

static void consuming(amqp_connection_state_t connection, amqp_bytes_t queue) {
    amqp_basic_qos(connection, 1, 0, 50, 0);
    amqp_basic_consume(connection, 1, queue, text("mine"), 0, 0, 0, amqp_empty_table);
    OK(connection);
    char body[32];
    for (int number = 0, given_back = 0; number < COUNT; number++) {
        amqp_envelope_t envelope;
        struct timeval wait = { 20, 0 };
        CHECK(amqp_consume_message(connection, &envelope, &wait, 0).reply_type == AMQP_RESPONSE_NORMAL);
        int length = snprintf(body, sizeof body, "%d", number);
        CHECK((int)envelope.message.body.len == length && !memcmp(envelope.message.body.bytes, body, length));
        if (number == COUNT - 1 && !given_back) {
            CHECK(!envelope.redelivered);
            CHECK(amqp_basic_nack(connection, 1, envelope.delivery_tag, 0, 1) == AMQP_STATUS_OK);
            given_back = 1, number--;
        } else {
            CHECK(envelope.redelivered == given_back);
            CHECK(amqp_basic_ack(connection, 1, envelope.delivery_tag, number % 10 == 0) == AMQP_STATUS_OK);
        }
        amqp_destroy_envelope(&envelope);
    }
    amqp_basic_cancel(connection, 1, text("mine"));
    OK(connection);
}

static void large(amqp_connection_state_t connection, amqp_bytes_t queue) {
    amqp_bytes_t body = amqp_bytes_malloc(LARGE);
    memset(body.bytes, 'x', LARGE);
    publish(connection, queue, body, 0);
    CHECK(next_method(connection).payload.method.id == AMQP_BASIC_ACK_METHOD);
    CHECK(amqp_basic_get(connection, 1, queue, 1).reply.id == AMQP_BASIC_GET_OK_METHOD);
    amqp_message_t message;
    CHECK(amqp_read_message(connection, 1, &message, 0).reply_type == AMQP_RESPONSE_NORMAL);
    CHECK(message.body.len == LARGE && !memcmp(message.body.bytes, body.bytes, LARGE));
    amqp_destroy_message(&message);
    amqp_bytes_free(body);
    CHECK(amqp_basic_get(connection, 1, queue, 1).reply.id == AMQP_BASIC_GET_EMPTY_METHOD);
}

static void returned(amqp_connection_state_t connection) {
    publish(connection, text("absent"), text("back"), 1);
    amqp_frame_t frame = next_method(connection);
    CHECK(frame.payload.method.id == AMQP_BASIC_RETURN_METHOD);
    CHECK(((amqp_basic_return_t *)frame.payload.method.decoded)->reply_code == 312);
    amqp_message_t message;
    CHECK(amqp_read_message(connection, 1, &message, 0).reply_type == AMQP_RESPONSE_NORMAL);
    CHECK(message.body.len == 4);
    amqp_destroy_message(&message);
    CHECK(next_method(connection).payload.method.id == AMQP_BASIC_ACK_METHOD);
}

static void refused(amqp_connection_state_t connection) {
    amqp_queue_declare(connection, 1, text("absent"), 1, 0, 0, 0, amqp_empty_table);
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
    CHECK(reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD);
    CHECK(((amqp_channel_close_t *)reply.reply.decoded)->reply_code == 404);
    amqp_channel_close_ok_t closed;
    CHECK(amqp_send_method(connection, 1, AMQP_CHANNEL_CLOSE_OK_METHOD, &closed) == AMQP_STATUS_OK);
    amqp_channel_open(connection, 1);
    OK(connection);
}

int main(int count, char **words) {
    /* The library's own waits have no end. */
    alarm(60);
    CHECK(count == 2);
    int port = atoi(words[1]);
    CHECK(!open_connection(port, 131072, "wrong"));
    amqp_connection_state_t connection = open_connection(port, 4096, "guest");
    amqp_queue_declare_ok_t *declared = amqp_queue_declare(connection, 1, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
    OK(connection);
    amqp_bytes_t queue = amqp_bytes_malloc_dup(declared->queue);
    CHECK(queue.len > 8 && !memcmp(queue.bytes, "amq.gen-", 8));
    amqp_queue_bind(connection, 1, queue, text("amq.topic"), text("a.*"), amqp_empty_table);
    OK(connection);
    confirms(connection, queue);
    consuming(connection, queue);
    large(connection, queue);
    returned(connection);
    refused(connection);
    CHECK(amqp_queue_delete(connection, 1, queue, 0, 0)->message_count == 0);
    amqp_bytes_free(queue);
    CHECK(amqp_connection_close(connection, AMQP_REPLY_SUCCESS).reply_type == AMQP_RESPONSE_NORMAL);
    CHECK(amqp_destroy_connection(connection) == AMQP_STATUS_OK);
    puts("all well");
    return 0;
}
