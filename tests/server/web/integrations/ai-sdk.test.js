import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Chat } from '@ai-sdk/react';

import { ChatManagerTransport, toUIMessage } from '../../../../server/web/chat-ai-sdk.js';
import { ChatManager } from '../../../../server/web/chat-client.js';
import { ScriptedServer, until, WebSocket } from '../client/scripted-server.js';

/** @type {ScriptedServer} */
let server;
/** @type {ChatManager} */
let manager;

async function join() {
  manager = new ChatManager({ url: server.url, userId: 'kai', conversationId: 'c', WebSocket });
  manager.connect();
  await until(() => manager.state === 'open');
}

beforeEach(async () => {
  server = await new ScriptedServer().start();
  await join();
});

afterEach(async () => {
  manager.disconnect();
  await server.stop();
});

/** The SDK's own state behind its hook. */
function sdkChat(messages = []) {
  return new Chat({ id: 'c', messages, transport: new ChatManagerTransport(manager) });
}

const piece = (text, offset, message_id = 'answer-1') =>
  server.send({ type: 'AI_RESPONSE_CHUNK', message_id, data: { text, offset, index: offset } });
const aborted = (message_id = 'answer-1') =>
  server.send({ type: 'AI_RESPONSE_CHUNK', message_id, data: { aborted: true } });
const answer = (data, more = {}) => {
  const frame = { ...server.save(data), message_id: 'answer-1', ...more };
  server.log[server.log.length - 1] = frame;
  server.send(frame);
};
const texts = (chat) =>
  chat.messages.map(({ role, parts }) => [role, parts.filter(({ text }) => text).map(({ text }) => text)]);

/** Answers every message, once it is saved, by what the function does. */
function onceSaved(act) {
  const save = server.onMessage.bind(server);
  server.onMessage = (frame, socket) => {
    if (frame.type !== 'CHAT_MESSAGE') return act.cancel?.(frame, socket);
    save(frame, socket);
    return act(frame);
  };
}

test('a message goes out with the id that the SDK gave it, and its answer streams in', async () => {
  onceSaved(() => {
    piece('Hel', 0);
    piece('lo', 3);
  });
  const chat = sdkChat();
  const sent = chat.sendMessage({ text: 'Hi' });
  await until(() => texts(chat).at(-1)?.[1][0] === 'Hello');
  assert.equal(chat.status, 'streaming');
  assert.equal(server.received[0].message_id, chat.messages[0].id);
  answer('Hello!');
  await sent;
  assert.equal(chat.status, 'ready');
  assert.deepEqual(texts(chat), [
    ['user', ['Hi']],
    ['assistant', ['Hello!']],
  ]);
  assert.equal(chat.messages[1].id, 'answer-1');
});

test('an answer that comes as a whole is one too', async () => {
  onceSaved(() => answer('Hello!'));
  const chat = sdkChat();
  await chat.sendMessage({ text: 'Hi' });
  assert.deepEqual(texts(chat).at(-1), ['assistant', ['Hello!']]);
});

test('stop cancels the answer, and what was saved of it stays', async () => {
  const act = () => piece('Hel', 0);
  act.cancel = ({ type, message_id, data }, socket) => {
    assert.deepEqual([type, data], ['CANCEL_RESPONSE', { message_id: 'answer-1' }]);
    answer('Hello', { finish: 'cancelled' });
    socket.send(JSON.stringify({ type: 'ACK', message_id, data: 'ok' }));
  };
  onceSaved(act);
  const chat = sdkChat();
  const sent = chat.sendMessage({ text: 'Hi' });
  await until(() => texts(chat).at(-1)?.[1][0] === 'Hel');
  await chat.stop();
  await sent;
  assert.deepEqual([chat.status, texts(chat).at(-1)[1]], ['ready', ['Hel']]);
  await until(() => server.log.length === 2);
});

test('stop before the first word cancels whatever is prepared', async () => {
  const act = () => {};
  act.cancel = ({ message_id }, socket) => {
    aborted();
    socket.send(JSON.stringify({ type: 'ACK', message_id, data: 'ok' }));
  };
  onceSaved(act);
  const chat = sdkChat();
  const sent = chat.sendMessage({ text: 'Hi' });
  await until(() => server.log.length === 1);
  await new Promise((go) => setTimeout(go, 20));
  await chat.stop();
  await sent;
  await until(() => server.received.at(-1).type === 'CANCEL_RESPONSE');
  assert.deepEqual(server.received.at(-1).data, {});
  assert.equal(chat.status, 'ready');
});

test('a refused message is an error with its code, and regenerate sends it again', async () => {
  const save = server.onMessage.bind(server);
  server.onMessage = ({ message_id }, socket) => {
    const error = { code: 'rate_limited', retryable: true, retry_after: 1 };
    socket.send(JSON.stringify({ type: 'NACK', message_id, data: 'Too fast', error }));
  };
  const chat = sdkChat();
  await chat.sendMessage({ text: 'Hi' });
  assert.deepEqual([chat.status, chat.error?.code], ['error', 'rate_limited']);

  server.onMessage = (frame, socket) => {
    save(frame, socket);
    answer('Hello!');
  };
  await chat.regenerate();
  assert.deepEqual(texts(chat).at(-1), ['assistant', ['Hello!']]);
});

test('a message that was saved though it seemed lost finds the answer that it got meanwhile', async () => {
  server.onMessage = (frame, socket) => {
    server.log.push({ ...frame, seq: 1, sender: 'kai' });
    server.save('Hello!');
    socket.close(1008, 'No more');
  };
  const chat = sdkChat();
  await chat.sendMessage({ text: 'Hi' });
  assert.deepEqual([chat.status, chat.error?.code], ['error', 'connection_lost']);

  server.onMessage = ({ message_id }, socket) =>
    socket.send(JSON.stringify({ type: 'ACK', message_id, seq: 1, duplicate: true, data: 'ok' }));
  manager.connect();
  await chat.regenerate();
  assert.deepEqual(texts(chat).at(-1), ['assistant', ['Hello!']]);
});

test('what was answered is not answered again', async () => {
  onceSaved(() => answer('Hello!'));
  const chat = sdkChat();
  await chat.sendMessage({ text: 'Hi' });
  await chat.regenerate();
  assert.deepEqual([chat.status, chat.error?.code], ['error', 'not_supported']);
  assert.equal(server.received.length, 1);
});

test('an answer that breaks off, and one that is given up, are errors', async () => {
  for (const end of [
    () => (piece('Hel', 0), aborted()),
    () =>
      server.send({ type: 'SYSTEM', data: { event: 'no_answer', text: 'The AI is ill', retry_in: null } }),
  ]) {
    onceSaved(end);
    const chat = sdkChat();
    await chat.sendMessage({ text: 'Hi' });
    assert.equal(chat.status, 'error');
  }
});

test('an AI that will try again is waited for', async () => {
  onceSaved(() => {
    server.send({ type: 'SYSTEM', data: { event: 'no_answer', text: 'The AI is ill', retry_in: 5 } });
    answer('Hello!');
  });
  const chat = sdkChat();
  await chat.sendMessage({ text: 'Hi' });
  assert.deepEqual(texts(chat).at(-1), ['assistant', ['Hello!']]);
});

test('an answer that was being written before belongs to another message', async () => {
  piece('Old', 0, 'answer-0');
  await new Promise((go) => setTimeout(go, 20));
  const chat = sdkChat();
  const save = server.onMessage.bind(server);
  server.onMessage = (frame, socket) => {
    piece(' news', 3, 'answer-0');
    save(frame, socket);
    piece('!', 8, 'answer-0');
    answer('Old news!', { message_id: 'answer-0' });
    answer('Hello!');
  };
  await chat.sendMessage({ text: 'Hi' });
  assert.deepEqual(texts(chat).at(-1), ['assistant', ['Hello!']]);
});

test('the end of the connection ends the answer', async () => {
  onceSaved(() => piece('Hel', 0));
  const chat = sdkChat();
  const sent = chat.sendMessage({ text: 'Hi' });
  await until(() => texts(chat).at(-1)?.[1][0] === 'Hel');
  for (const socket of server.sockets) socket.close(4500, 'Replaced');
  await sent;
  assert.deepEqual([chat.status, chat.error?.message], ['error', 'Replaced']);
});

test('an answer that is still waited for is taken up again after a reload', async () => {
  const question = { type: 'CHAT_MESSAGE', message_id: 'q', sender: 'kai', data: 'Hi', seq: 1 };
  server.log.push(question);
  manager.disconnect();
  await join();
  const chat = sdkChat([toUIMessage(question)]);
  const resumed = chat.resumeStream();
  await until(() => chat.status !== 'ready');
  piece('Hello', 0);
  answer('Hello!');
  await resumed;
  assert.deepEqual(texts(chat), [
    ['user', ['Hi']],
    ['assistant', ['Hello!']],
  ]);
  await chat.resumeStream(); // nothing is waited for
  assert.equal(chat.messages.length, 2);
});
