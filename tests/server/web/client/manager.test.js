import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'node:test';

import { ChatError, ChatManager } from '../../../../server/web/chat-client.js';
import { MemoryStorage, ScriptedServer, until, WebSocket } from './scripted-server.js';

/** @type {ScriptedServer} */
let server;
/** @type {ChatManager[]} */
let chats;

beforeEach(async () => {
  server = await new ScriptedServer().start();
  chats = [];
});

afterEach(async () => {
  for (const chat of chats) chat.disconnect();
  await server.stop();
});

function manager(options = {}) {
  const chat = new ChatManager({
    url: server.url,
    userId: 'kai',
    conversationId: 'conv_ai_alex',
    WebSocket,
    ...options,
  });
  chats.push(chat);
  return chat;
}

async function connected(options) {
  const chat = manager(options);
  chat.connect();
  await until(() => chat.state === 'open');
  return chat;
}

/** Everything an event tells, as it comes. */
function record(chat, name) {
  const told = [];
  chat.on(name, (...args) => told.push(args));
  return told;
}

test('a message resolves with its ACK', async () => {
  const chat = await connected();
  const ack = await chat.sendMessage('hello');
  assert.equal(ack.type, 'ACK');
  assert.equal(ack.seq, 1);
  assert.equal(server.received[0].data, 'hello');
  assert.equal(server.received[0].conversation_id, 'conv_ai_alex');
  assert.match(
    server.received[0].message_id,
    /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
});

test('a message waits in pendingMessages until it is answered', async () => {
  server.onMessage = () => {};
  const chat = await connected();
  const answer = chat.sendMessage('hello');
  const [[id, { resolve, reject }]] = chat.pendingMessages;
  assert.deepEqual([typeof resolve, typeof reject], ['function', 'function']);
  chat.handleACK({ type: 'ACK', message_id: id });
  assert.equal((await answer).message_id, id);
  assert.equal(chat.pendingMessages.size, 0);
});

test('a NACK rejects with code, retryable and retryAfter', async () => {
  server.onMessage = ({ message_id }, socket) =>
    socket.send(
      JSON.stringify({
        type: 'NACK',
        message_id,
        data: 'Slow down',
        error: { code: 'rate_limited', retryable: true, retry_after: 1.5 },
      }),
    );
  const chat = await connected();
  await assert.rejects(chat.sendMessage('hello'), (error) => {
    assert.ok(error instanceof ChatError);
    assert.deepEqual(
      [error.code, error.retryable, error.retryAfter, error.message],
      ['rate_limited', true, 1.5, 'Slow down'],
    );
    return true;
  });
  assert.equal(chat.failedMessages.size, 1);
});

test('handleNACK rejects the promise', async () => {
  server.onMessage = () => {};
  const chat = await connected();
  const answer = chat.sendMessage('hello');
  const [id] = chat.pendingMessages.keys();
  chat.handleNACK({
    type: 'NACK',
    message_id: id,
    data: 'no',
    error: { code: 'validation_failed', retryable: false },
  });
  await assert.rejects(answer, { code: 'validation_failed', message: 'no' });
});

test('without an answer it is sent twice with the same id, then rejected', async () => {
  server.onMessage = () => {};
  const chat = await connected({ ackTimeout: 30 });
  await assert.rejects(chat.sendMessage('hello'), { code: 'timeout', retryable: true });
  const ids = server.received.map((frame) => frame.message_id);
  assert.equal(ids.length, 2);
  assert.equal(ids[0], ids[1]);
});

test('a rejection that nobody waits for does no harm', async () => {
  server.onMessage = () => {};
  const chat = await connected({ ackTimeout: 5 });
  chat.sendMessage('hello');
  await until(() => chat.failedMessages.size === 1);
});

test('retry sends a refused message with a new id, one that timed out with the same', async () => {
  const chat = await connected({ ackTimeout: 20 });
  const answer = server.onMessage;
  server.onMessage = ({ message_id, data }, socket) => {
    if (data === 'refused')
      socket.send(
        JSON.stringify({
          type: 'NACK',
          message_id,
          data: 'no',
          error: { code: 'store_unavailable', retryable: true },
        }),
      );
  };
  await assert.rejects(chat.sendMessage('refused'));
  await assert.rejects(chat.sendMessage('late'));
  const [refused, late] = chat.failedMessages.keys();
  server.onMessage = answer;
  assert.notEqual((await chat.retry(refused)).message_id, refused);
  assert.equal((await chat.retry(late)).message_id, late);
  assert.equal(chat.failedMessages.size, 0);
  await assert.rejects(chat.retry('unknown'), { code: 'not_found' });
});

test('failed messages are back with the next manager, and gone once they are delivered', async () => {
  const storage = new MemoryStorage();
  const first = await connected({ storage, ackTimeout: 10 });
  const answer = server.onMessage;
  server.onMessage = () => {};
  await assert.rejects(first.sendMessage('hello'));
  first.disconnect();

  server.onMessage = answer;
  const second = manager({ storage });
  const status = record(second, 'status');
  second.connect();
  const [[id, { frame, error }]] = second.failedMessages;
  assert.deepEqual([frame.data, error.code, error.retryable], ['hello', 'timeout', true]);
  assert.deepEqual(status[0].slice(0, 2), [id, 'failed']);
  await second.retry(id);
  assert.equal(storage.size, 0);
  assert.equal(
    new ChatManager({ url: server.url, userId: 'kai', conversationId: 'conv_ai_alex', WebSocket, storage })
      .failedMessages.size,
    0,
  );
});

test('each failed message is kept, and none that was given up', async () => {
  const storage = new MemoryStorage();
  server.onMessage = () => {};
  const chat = await connected({ storage, ackTimeout: 5 });
  await Promise.allSettled([chat.sendMessage('one'), chat.sendMessage('two')]);
  const texts = () => [...manager({ storage }).failedMessages.values()].map(({ frame }) => frame.data);
  assert.deepEqual(texts(), ['one', 'two']);
  chat.discard([...chat.failedMessages.keys()][0]);
  assert.deepEqual(texts(), ['two']);
});

test('a message that was on its way when the page closed is back as failed, with its id', async () => {
  const storage = new MemoryStorage();
  server.onMessage = () => {};
  const chat = await connected({ storage });
  chat.sendMessage('hello');
  const again = manager({ storage });
  assert.deepEqual([...again.failedMessages.keys()], [...chat.pendingMessages.keys()]);
});

test('a failed message that the history has was delivered after all', async () => {
  const storage = new MemoryStorage();
  const chat = await connected({ storage, ackTimeout: 10 });
  server.onMessage = (frame) => server.log.push({ ...frame, seq: 1 });
  await assert.rejects(chat.sendMessage('hello'));
  const status = record(chat, 'status');
  await chat.history();
  assert.equal(status.at(-1)[1], 'delivered');
  assert.equal(storage.size, 0);
});

test('3,000 failed messages cost the storage one entry each, and go one by one', async () => {
  const storage = new MemoryStorage();
  let written = 0;
  const counting = {
    ...storage,
    setItem: (key, value) => void ((written += value.length), storage.setItem(key, value)),
  };
  server.onMessage = ({ message_id }, socket) =>
    socket.send(
      JSON.stringify({ type: 'NACK', message_id, data: 'No', error: { code: 'refused', retryable: false } }),
    );
  const chat = await connected({ storage: counting });
  const texts = Array.from({ length: 3_000 }, (_, number) => `text ${number}`);
  await Promise.allSettled(texts.map((text) => chat.sendMessage(text)));
  assert.ok(written < 3_000 * 1_500, `${written} characters written`);
  const again = manager({ storage });
  assert.deepEqual(
    [...again.failedMessages.values()].map(({ frame }) => frame.data),
    texts,
  );
  for (const id of [...again.failedMessages.keys()].sort()) again.discard(id);
  assert.equal(storage.size, 0);
});

test('a slot that another tab has used since is left to it', async () => {
  const storage = new MemoryStorage();
  server.onMessage = () => {};
  const first = await connected({ storage, ackTimeout: 5 });
  await assert.rejects(first.sendMessage('first'));
  const second = manager({ storage });
  first.discard([...first.failedMessages.keys()][0]);
  await assert.rejects(first.sendMessage('second'));
  second.discard([...second.failedMessages.keys()][0]);
  assert.deepEqual(
    [...manager({ storage }).failedMessages.values()].map(({ frame }) => frame.data),
    ['second'],
  );
});

test('what another tab still waits for has not failed here, until it must have', async () => {
  const storage = new MemoryStorage();
  server.onMessage = () => {};
  const other = await connected({ storage, clientId: 'one' });
  const patient = { storage, clientId: 'two', ackTimeout: 50 };
  other.sendMessage('hello');
  assert.equal(manager({ storage, clientId: 'one' }).failedMessages.size, 1); // the same tab, reloaded
  const chat = manager(patient);
  assert.equal(chat.failedMessages.size, 0);
  const status = record(chat, 'status');
  chat.connect();
  await until(() => status.length);
  assert.deepEqual(status[0].slice(0, 2), [[...other.pendingMessages.keys()][0], 'failed']);
});

for (const [what, item] of Object.entries({
  'an object': '{"no": "list"}',
  'no JSON': '{{',
  'a number': '12',
  'a huge number': '1e15',
  null: 'null',
  'a frame that is null': '{"frame": null, "error": null}',
  'no error': '{"frame": {"message_id": "m", "data": "text"}}',
  'numbers for texts': '{"frame": {"message_id": 1, "data": 2, "timestamp": 3}, "error": {"code": 4}}',
})) {
  test(`a storage that holds ${what}, and takes nothing, is as good as none`, async () => {
    const broken = {
      getItem: () => item,
      setItem() {
        throw new Error('full');
      },
      removeItem() {
        throw new Error('forbidden');
      },
    };
    const chat = await connected({ storage: broken });
    assert.equal(chat.failedMessages.size, 0);
    assert.equal((await chat.sendMessage('hello')).seq, 1);
    await assert.rejects(chat.sendMessage('a'.repeat(70_000)), { code: 'message_too_long' });
  });
}

test('a damaged entry harms no other one', async () => {
  const storage = new MemoryStorage();
  server.onMessage = () => {};
  const chat = await connected({ storage, ackTimeout: 5 });
  await Promise.allSettled([chat.sendMessage('one'), chat.sendMessage('two')]);
  const [first] = storage.keys;
  storage.setItem(first, storage.getItem(first).slice(0, 20));
  assert.deepEqual(
    [...manager({ storage }).failedMessages.values()].map(({ frame }) => frame.data),
    ['two'],
  );
});

test('a storage that throws at every touch is as good as none', async () => {
  const storage = new Proxy(
    {},
    {
      get: () => {
        throw new Error('forbidden');
      },
    },
  );
  const chat = await connected({ storage });
  assert.equal((await chat.sendMessage('hello')).seq, 1);
});

test('what is no frame is told as an error and harms nothing, whatever it is', async () => {
  const chat = await connected();
  const errors = record(chat, 'error');
  const nonsense = [
    'null',
    '[]',
    '7',
    '"text"',
    '{',
    '',
    '{}',
    '{"type": null}',
    '{"type": "SYSTEM"}',
    '{"type": "SYSTEM", "data": null}',
    '{"type": "CHAT_MESSAGE"}',
    '{"type": "CHAT_MESSAGE", "message_id": "m", "data": "text", "seq": "1"}',
    '{"type": "CHAT_MESSAGE", "message_id": "m", "data": "text", "seq": 1.5}',
    '{"type": "AI_RESPONSE_CHUNK", "message_id": "m"}',
    '{"type": "AI_RESPONSE_CHUNK", "message_id": "m", "data": {"text": "a", "offset": -1}}',
    '{"type": "ACK"}',
    '{"type": "TYPING_INDICATOR"}',
    '{"type": "SYSTEM", "data": {"event": "connected", "last_seq": "x"}}',
    '{"type": "SYSTEM", "data": {"event": "connected", "gap": {"from": 1}}}',
    Buffer.from([1, 2, 3]),
    Buffer.from('{"type": "PING"}'),
  ];
  for (const payload of nonsense) for (const socket of server.sockets) socket.send(payload);
  assert.equal((await chat.sendMessage('hello')).seq, 1);
  assert.deepEqual(
    errors.map(([{ code }]) => code),
    nonsense.map(() => 'invalid_frame'),
  );
  assert.equal(server.connections.length, 1);
});

test('no JSON at all throws out of onmessage', () => {
  const random = (list) => list[Math.floor(Math.random() * list.length)];
  const types = [
    'SYSTEM',
    'ACK',
    'NACK',
    'CHAT_MESSAGE',
    'AI_RESPONSE_CHUNK',
    'PING',
    'ERROR',
    'AI_STATUS',
    'constructor',
    '__proto__',
  ];
  const names = [
    'type',
    'message_id',
    'data',
    'seq',
    'error',
    'event',
    'gap',
    'from',
    'to',
    'text',
    'offset',
    'last_seq',
    'reconnect_after',
    'heartbeat_timeout',
  ];
  const value = (depth) =>
    random([
      () => random([null, true, -1, 0, 1, 2.5, 1e300, '', 'x', 'connected', 'shutdown', [], {}]),
      () => random(types),
      () =>
        depth
          ? Object.fromEntries(
              names.filter(() => Math.random() < 0.4).map((name) => [name, value(depth - 1)]),
            )
          : 1,
    ])();
  let socket;
  class Silent {
    constructor() {
      socket = this;
    }
    send() {}
    close() {}
  }
  const chat = manager({ WebSocket: Silent });
  for (const [name] of [['message'], ['chunk'], ['typing'], ['error'], ['system']]) chat.on(name, () => {});
  chat.connect();
  for (let round = 0; round < 20_000; round++) {
    const frame = { ...value(2), type: random(types) };
    socket.onmessage({ data: JSON.stringify(Math.random() < 0.9 ? frame : value(2)) });
    if (chat.state === 'reconnecting' || chat.state === 'closed') chat.connect();
  }
});

test('one text beyond the bounds is refused alone', async () => {
  server.welcome = { max_text_length: 4000 };
  const chat = await connected();
  const errors = ['a'.repeat(70_000), '\u6f22'.repeat(22_000), '\u{1F600}'.repeat(4_001)].map((text) =>
    chat.sendMessage(text).catch((error) => error.code),
  );
  const fits = chat.sendMessage('\u{1F600}'.repeat(4_000));
  assert.deepEqual(await Promise.all(errors), Array(3).fill('message_too_long'));
  assert.equal((await fits).seq, 1);
  assert.equal(server.connections.length, 1);
});

test('a server of another protocol version ends it with a reason', async () => {
  server.welcome = { protocol: 2 };
  const chat = manager();
  const states = record(chat, 'state');
  chat.connect();
  await until(() => chat.state === 'closed');
  assert.match(states.at(-1)[1].reason, /protocol/);
  await until(() => server.sockets.size === 0);
});

test('a server that is killed in the middle of a message gets it again after its restart, once', async () => {
  const chat = await connected();
  const messages = record(chat, 'message');
  const answer = server.onMessage;
  server.onMessage = (frame, socket) => {
    server.onMessage = answer;
    socket.terminate();
  };
  const ack = await chat.sendMessage('hello');
  assert.equal(server.connections.length, 2);
  assert.equal(server.received[0].message_id, server.received[1].message_id);
  assert.equal(ack.seq, 1);
  assert.equal(messages.length, 1);
});

test('reconnects when a connection is refused and the socket tells nothing but an error', async () => {
  let refusals = 0;
  class Refusing {
    constructor(...args) {
      if (refusals++) return new WebSocket(...args);
      setTimeout(() => this.onerror({ type: 'error' }));
    }
    close() {}
  }
  await connected({ WebSocket: Refusing });
  assert.equal(refusals, 2);
});

test('a final close code ends it', async () => {
  server.onConnection = (socket) => socket.close(1008, 'Not your conversation');
  const chat = manager();
  const states = record(chat, 'state');
  chat.connect();
  const answer = chat.sendMessage('hello');
  await assert.rejects(answer, { code: 'connection_lost', message: 'Not your conversation' });
  assert.deepEqual(states.at(-1), ['closed', { code: 1008, reason: 'Not your conversation' }]);
  assert.equal(server.connections.length, 1);
});

test('connect works again after being replaced', async () => {
  const chat = await connected();
  for (const socket of server.sockets) socket.close(4500, 'Replaced');
  await until(() => chat.state === 'closed');
  chat.connect();
  await until(() => chat.state === 'open');
  assert.equal(server.connections[1].searchParams.get('last_seq'), '0');
});

test('disconnect rejects what waits', async () => {
  server.onMessage = () => {};
  const chat = await connected();
  const answer = chat.sendMessage('hello');
  chat.disconnect();
  await assert.rejects(answer, { code: 'connection_lost' });
  assert.equal(chat.state, 'closed');
  await until(() => server.sockets.size === 0);
});

test('a process that disconnects can end: no timer is left', async () => {
  server.onMessage = () => {};
  const script = `
    import { WebSocket } from 'ws';
    import { ChatManager } from './server/web/chat-client.js';
    const chat = new ChatManager({ url: '${server.url}', userId: 'kai', conversationId: 'c', WebSocket });
    chat.connect();
    chat.on('system', () => {
      chat.sendMessage('hello');
      chat.disconnect();
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { timeout: 5_000 });
  const [code, signal] = await once(child, 'exit');
  assert.deepEqual([code, signal, server.connections.length], [0, null, 1]);
});

test('a gap is filled from the history in order, live messages after it', async () => {
  const chat = await connected();
  const messages = record(chat, 'message');
  for (let n = 1; n <= 5; n++) server.save(`text ${n}`);
  server.welcome = { gap: { from: 1, to: 5 } };
  server.onConnection = (socket) => {
    server.greet(socket);
    socket.send(JSON.stringify(server.save('live')));
  };
  for (const socket of server.sockets) socket.terminate();
  await until(() => messages.length === 6);
  assert.deepEqual(
    messages.map(([frame]) => frame.seq),
    [1, 2, 3, 4, 5, 6],
  );
});

/** Loses the connection while messages are saved, so many that the next one has a gap. */
function makeGap() {
  for (const text of ['one', 'two']) server.save(text);
  server.welcome = { gap: { from: 1, to: 2 } };
  for (const socket of server.sockets) socket.terminate();
}

test('every listener sees messages in order, also when one of them sends', async () => {
  const chat = await connected();
  const seen = [];
  chat.on('message', (frame) => frame.seq === 1 && chat.sendMessage('so soon'));
  chat.on('message', (frame) => seen.push(frame.seq));
  makeGap();
  await until(() => seen.length === 3);
  assert.deepEqual(seen, [1, 2, 3]);
});

test('a listener that throws keeps nothing from the others, and is heard of', async () => {
  const script = `
    import { WebSocket } from 'ws';
    import { ChatManager } from './server/web/chat-client.js';
    const chat = new ChatManager({ url: '${server.url}', userId: 'kai', conversationId: 'c', WebSocket });
    chat.on('system', () => { throw new Error('a fault of the listener'); });
    chat.on('system', () => console.log('the other one'));
    chat.connect();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { timeout: 5_000 });
  const output = [text(child.stdout), text(child.stderr)];
  const [code] = await once(child, 'exit');
  assert.equal(code, 1);
  assert.match(await output[0], /the other one/);
  assert.match(await output[1], /a fault of the listener/);
});

test('a gap that this user may not read is left out, and told', async () => {
  const chat = await connected();
  const [errors, messages] = [record(chat, 'error'), record(chat, 'message')];
  server.refusal = { status: 401, error: { code: 'unauthorized', retryable: false } };
  makeGap();
  await until(() => errors.length === 1);
  assert.equal(errors[0][0].code, 'unauthorized');
  server.send(server.save('three'));
  await until(() => messages.length === 1);
  assert.equal(messages[0][0].seq, 3);
});

test('a gap that cannot be read just now is read with the next connection', async () => {
  const chat = await connected();
  const messages = record(chat, 'message');
  server.refusal = { status: 503, error: { code: 'store_unavailable', retryable: true } };
  makeGap();
  await until(() => server.connections.length === 3);
  server.refusal = null;
  await until(() => messages.length === 2);
  assert.deepEqual(
    messages.map(([frame]) => frame.seq),
    [1, 2],
  );
});

test('on returns the function that removes the listener', async () => {
  const chat = await connected();
  const told = [];
  const remove = chat.on('status', (...args) => told.push(args));
  remove();
  await chat.sendMessage('hello');
  assert.deepEqual(told, []);
});

test('switchConversation connects there, from within a listener too', async () => {
  const chat = await connected();
  chat.on('match', ({ data }) => chat.switchConversation(data.conversation_id));
  server.send({ type: 'NEW_MATCH', data: { conversation_id: 'conv_ai_sam' } });
  await until(() => server.connections.length === 2 && chat.state === 'open');
  const { searchParams } = server.connections[1];
  assert.deepEqual(
    [searchParams.get('conversation_id'), searchParams.get('last_seq'), searchParams.get('client_id')],
    ['conv_ai_sam', null, chat.clientId],
  );
  await until(() => server.sockets.size === 1);
  assert.equal((await chat.sendMessage('hi Sam')).type, 'ACK');
  assert.equal(server.received.at(-1).conversation_id, 'conv_ai_sam');
});

test('what was on its way at a switch is told of once the new conversation is the current one', async () => {
  server.onMessage = () => {};
  const chat = await connected();
  chat.sendMessage('for Alex');
  const told = [];
  chat.on('status', (id, status) => told.push([status, chat.conversationId]));
  chat.switchConversation('conv_ai_sam');
  assert.deepEqual(told, [['failed', 'conv_ai_sam']]);
  assert.equal(chat.failedMessages.size, 0);
});

test('a token that comes after the end opens nothing', async () => {
  let give;
  const chat = manager({ getToken: () => new Promise((resolve) => (give = resolve)) });
  chat.connect();
  chat.disconnect();
  give('late');
  await new Promise((go) => setTimeout(go, 20));
  assert.equal(chat.state, 'closed');
  assert.equal(server.connections.length, 0);
});

test('a token goes as a subprotocol and to the REST API', async () => {
  const chat = await connected({ getToken: async () => 'T1' });
  assert.equal(server.protocols[0], 'chat.v1,bearer.T1');
  await chat.conversations();
  assert.deepEqual(server.authorizations, ['Bearer T1']);
});

test('an open connection gets a new token before the old one runs out', async () => {
  const token = (name, seconds) =>
    `${name}.${Buffer.from(JSON.stringify({ exp: Date.now() / 1000 + seconds })).toString('base64url')}.s`;
  const tokens = [token('one', 0.1), token('two', 3600)];
  await connected({ getToken: () => (tokens.length > 1 ? tokens.shift() : tokens[0]) });
  await until(() => server.received.length === 1);
  assert.deepEqual(
    [server.received[0].type, server.received[0].data],
    ['AUTH_REFRESH', { token: tokens[0] }],
  );
});

test('after an expired token it comes back with a new one only', async () => {
  let token = 'old';
  const chat = await connected({ getToken: () => token });
  for (const socket of server.sockets) socket.close(4003, 'Token expired');
  await until(() => chat.state === 'closed');
  assert.equal(server.connections.length, 1);

  token = 'new';
  chat.connect();
  await until(() => chat.state === 'open');
  assert.equal(server.protocols[1], 'chat.v1,bearer.new');
});

test('after an expired token it does not come back without one', async () => {
  const chat = await connected();
  for (const socket of server.sockets) socket.close(4003, 'Token expired');
  await until(() => chat.state === 'closed');
  assert.equal(server.connections.length, 1);
});

test('a token that cannot be had is tried for again', async () => {
  let asked = 0;
  await connected({ getToken: () => (asked++ ? 'T' : Promise.reject(new Error('offline'))) });
  assert.equal(asked, 2);
});

test('markRead and cancelResponse are answered', async () => {
  server.onMessage = ({ message_id }, socket) => socket.send(JSON.stringify({ type: 'ACK', message_id }));
  const chat = await connected();
  await chat.markRead('ai1');
  await chat.cancelResponse('ai2');
  await chat.cancelResponse();
  assert.deepEqual(
    server.received.map(({ type, data }) => [type, data]),
    [
      ['READ_RECEIPT', { message_id: 'ai1' }],
      ['CANCEL_RESPONSE', { message_id: 'ai2' }],
      ['CANCEL_RESPONSE', {}],
    ],
  );
});

test('lone surrogates are replaced, and pairs are kept', async () => {
  const chat = await connected();
  await chat.sendMessage('a\uD800b \u{1F600}');
  assert.equal(server.received[0].data, 'a\uFFFDb \u{1F600}');
});

test('without a WebSocket class it says what to do', { skip: Boolean(globalThis.WebSocket) }, () => {
  assert.throws(() => manager({ WebSocket: undefined }), /pass a class as the option WebSocket/);
});
