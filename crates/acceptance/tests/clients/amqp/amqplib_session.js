// amqplib for node: limits agreed to, confirms and refusals, returns, exchanges bound to exchanges, consumers.
// Usage: amqplib_session.js HOST:PORT

const amqplib = require("amqplib");
const assert = require("node:assert");
const { once } = require("node:events");

const url = (query) => `amqp://guest:guest@${process.argv[2]}/%2F?${query}`;

async function refused(channel, act, code) {
  const failed = once(channel, "error");
  await assert.rejects(act());
  const [error] = await failed;
  assert.strictEqual(error.code, code);
}

async function limits() {
  const connection = await amqplib.connect(url("frameMax=8192&channelMax=7&heartbeat=1"));
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue("node-frames", { durable: true });
  const large = Buffer.alloc(1 << 20, "x");
  channel.sendToQueue("node-frames", large, { persistent: true });
  await channel.waitForConfirms();
  const message = await channel.get("node-frames");
  assert(message.content.equals(large));
  channel.ack(message);
  assert.strictEqual((await channel.deleteQueue("node-frames")).messageCount, 0);
  await Promise.all(Array.from({ length: 6 }, () => connection.createChannel()));
  await assert.rejects(connection.createChannel(), /No channels left/);
  // Two beats, neither missed.
  await new Promise((done) => setTimeout(done, 2500));
  await channel.assertExchange("amq.topic", "topic");
  await connection.close();
}

async function confirms(connection) {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue("node-full", { durable: true, maxLength: 3, arguments: { "x-overflow": "reject-publish" } });
  const outcomes = await Promise.all(
    Array.from({ length: 5 }, (_, number) => new Promise((done) => {
      channel.sendToQueue("node-full", Buffer.from(String(number)), { persistent: true }, (error) => done(error === null));
    })),
  );
  assert.deepStrictEqual(outcomes, [true, true, true, false, false]);
  assert.strictEqual((await channel.deleteQueue("node-full")).messageCount, 3);
  const returned = once(channel, "return");
  let told = false;
  channel.once("return", () => { told = true; });
  channel.publish("amq.direct", "nowhere", Buffer.from("back"), { mandatory: true, headers: { deep: { list: [1, null, true] } } });
  await channel.waitForConfirms();
  assert(told, "what goes nowhere is returned before it is confirmed");
  const [message] = await returned;
  assert.strictEqual(message.fields.replyCode, 312);
  assert.deepStrictEqual(message.properties.headers, { deep: { list: [1, null, true] } });
  await channel.close();
}

async function exchanges(connection) {
  const channel = await connection.createConfirmChannel();
  await channel.assertExchange("node-fallen", "fanout", { durable: true });
  await channel.assertExchange("node-first", "headers", { durable: true, alternateExchange: "node-fallen" });
  await channel.assertExchange("node-second", "direct", { durable: true, internal: true });
  await channel.bindExchange("node-second", "node-first", "", { "x-match": "any", a: 1, b: "two" });
  await channel.assertQueue("node-taken", { durable: true });
  await channel.assertQueue("node-rest", { durable: true });
  await channel.bindQueue("node-taken", "node-second", "k");
  await channel.bindQueue("node-rest", "node-fallen", "");
  channel.publish("node-first", "k", Buffer.from("taken"), { headers: { b: "two" } });
  channel.publish("node-first", "k", Buffer.from("fallen"), { headers: { b: "three" } });
  await channel.waitForConfirms();
  for (const [queue, expected] of [["node-taken", "taken"], ["node-rest", "fallen"]]) {
    const message = await channel.get(queue, { noAck: true });
    assert.strictEqual(message.content.toString(), expected);
    assert.strictEqual(await channel.get(queue), false);
    await channel.deleteQueue(queue);
  }
  for (const name of ["node-first", "node-second", "node-fallen"]) await channel.deleteExchange(name);
  await channel.close();
}

async function consumers(connection) {
  const channel = await connection.createChannel();
  const { queue } = await channel.assertQueue("", { exclusive: true });
  await channel.prefetch(3);
  const count = 100, came = [];
  const all = new Promise((done) => {
    channel.consume(queue, (message) => {
      came.push(Number(message.content.toString()));
      channel.ack(message);
      if (came.length === count) done(message.fields.consumerTag);
    });
  });
  for (let number = 0; number < count; number++) channel.sendToQueue(queue, Buffer.from(String(number)));
  await channel.cancel(await all);
  assert.deepStrictEqual(came, Array.from({ length: count }, (_, number) => number));
  // A consumer whose queue goes is told so by a message that is none.
  await channel.assertQueue("node-gone");
  const told = new Promise((done) => channel.consume("node-gone", done));
  await (await connection.createChannel()).deleteQueue("node-gone");
  assert.strictEqual(await told, null);
  await channel.close();
}

async function refusals(connection) {
  const absent = await connection.createChannel();
  await refused(absent, () => absent.checkQueue("absent"), 404);
  const wrong = await connection.createChannel();
  await refused(wrong, () => wrong.assertExchange("amq.direct", "fanout"), 406);
  await assert.rejects(amqplib.connect(url("").replace("%2F", "absent")), /Expected ConnectionOpenOk; got <ConnectionClose/);
  await assert.rejects(amqplib.connect(url("").replace("guest:guest", "guest:no")), /403|ACCESS_REFUSED/);
}

// A promise that nobody keeps would be waited for without end.
let part = limits;
setTimeout(() => { console.error(`not done within 60 s: ${part.name}`); process.exit(1); }, 60_000).unref();

async function main() {
  await limits();
  const connection = await amqplib.connect(url("heartbeat=10"));
  for (part of [confirms, exchanges, consumers, refusals]) await part(connection);
  await connection.close();
  console.log("all well");
}

main().catch((error) => { console.error(error); process.exit(1); });
