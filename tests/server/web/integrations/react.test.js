import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { JSDOM } from 'jsdom';

import { ScriptedServer, until, WebSocket } from '../client/scripted-server.js';

const { window } = new JSDOM('<main></main>', { url: 'http://localhost' });
for (const name of ['document', 'localStorage', 'navigator'])
  Object.defineProperty(globalThis, name, { value: window[name], configurable: true });
globalThis.window = window;
for (const name of ['addEventListener', 'removeEventListener']) globalThis[name] = window[name].bind(window);
globalThis.IS_REACT_ACT_ENVIRONMENT = true;

const { act, createElement, StrictMode } = await import('react');
const { createRoot } = await import('react-dom/client');
const { renderToString } = await import('react-dom/server');
const { useChat } = await import('../../../../server/web/chat-react.js');

/** @type {ScriptedServer} */
let server;
let root;
/** What the hook returned last. */
let chat;

function Probe(options) {
  chat = useChat(options);
  return createElement(
    'p',
    null,
    chat.messages.map(({ text, status }) => `${text} ${status ?? ''}`).join('|'),
  );
}

beforeEach(async () => {
  window.localStorage.clear();
  server = await new ScriptedServer().start();
  root = createRoot(window.document.querySelector('main'));
});

afterEach(async () => {
  await act(async () => root.unmount());
  await server.stop();
});

/** Shows the component, and waits until it is connected. */
async function show(options = {}, wrap = (element) => element) {
  const props = { url: server.url, userId: 'kai', conversationId: 'c', WebSocket, ...options };
  await act(async () => root.render(wrap(createElement(Probe, props))));
  await shown(() => chat.state === 'open');
}

async function shown(condition) {
  await act(async () => until(condition));
}

const piece = (text, offset) =>
  server.send({ type: 'AI_RESPONSE_CHUNK', message_id: 'a', sender: 'ai', data: { text, offset, index: 0 } });
const texts = () => chat.messages.map(({ text }) => text);

test('a message is shown at once as sending, then as delivered', async () => {
  let answer;
  const save = server.onMessage.bind(server);
  server.onMessage = (frame, socket) => (answer = () => save(frame, socket));
  await show();
  await act(async () => void chat.sendMessage('Hi'));
  assert.deepEqual(
    chat.messages.map(({ text, own, status }) => [text, own, status]),
    [['Hi', true, 'sending']],
  );
  await shown(() => answer);
  answer();
  await shown(() => chat.messages[0].status === 'delivered');
  assert.equal(chat.messages[0].seq, 1);
  assert.equal(window.document.querySelector('p').textContent, 'Hi delivered');
});

test('a refused message tells why, and can be sent again or given up', async () => {
  const save = server.onMessage.bind(server);
  server.onMessage = ({ message_id }, socket) =>
    socket.send(
      JSON.stringify({ type: 'NACK', message_id, data: 'No', error: { code: 'refused', retryable: false } }),
    );
  await show();
  await act(async () => void [chat.sendMessage('one'), chat.sendMessage('two')]);
  await shown(() => chat.messages.every(({ status }) => status === 'failed'));
  assert.equal(chat.messages[0].error.code, 'refused');
  await act(async () => chat.discard(chat.messages[0].id));
  server.onMessage = save;
  await act(async () => void chat.retry(chat.messages[0].id));
  await shown(() => chat.messages[0]?.status === 'delivered');
  assert.deepEqual(texts(), ['two']);
});

test('an answer grows in place, and its end says why it is not whole', async () => {
  await show();
  piece('Hel', 0);
  await shown(() => texts()[0] === 'Hel');
  assert.equal(chat.messages[0].streaming, true);
  piece('lo', 3);
  await shown(() => texts()[0] === 'Hello');
  server.send({ ...server.save('Hello'), message_id: 'a', sender: 'ai', finish: 'cancelled' });
  await shown(() => chat.messages[0].finish === 'cancelled');
  assert.equal(chat.messages.length, 1);
  assert.ok(!chat.messages[0].streaming);
});

test('an answer that is aborted, or that nobody writes after a reconnection, is gone', async () => {
  await show();
  piece('Hel', 0);
  await shown(() => chat.messages.length);
  server.send({ type: 'AI_RESPONSE_CHUNK', message_id: 'a', data: { aborted: true } });
  await shown(() => !chat.messages.length);
  piece('Hel', 0);
  await shown(() => chat.messages.length);
  for (const socket of server.sockets) socket.terminate();
  await shown(() => server.connections.length === 2 && chat.state === 'open');
  assert.deepEqual(texts(), []);
});

test('the newest messages are there from the start, in order, and what comes joins them', async () => {
  for (const text of ['one', 'two']) server.save(text);
  await show();
  await shown(() => chat.messages.length === 2);
  await act(async () => void (await chat.sendMessage('three')));
  await shown(() => chat.messages.length === 3);
  assert.deepEqual(texts(), ['one', 'two', 'three']);
  assert.equal(chat.hasEarlier, false);
});

test('who types, how many devices there are and that the AI cannot answer is told', async () => {
  server.welcome = { ai: { id: 'ai', name: 'Alex', status: 'online' }, devices: 1 };
  await show();
  assert.equal(chat.ai.name, 'Alex');
  server.send({ type: 'TYPING_INDICATOR', sender: 'ai', data: { is_typing: true } });
  server.send({ type: 'SYSTEM', data: { event: 'devices', devices: 2 } });
  server.send({ type: 'AI_STATUS', data: { ai_id: 'ai', status: 'away' } });
  server.send({ type: 'SYSTEM', data: { event: 'no_answer', text: 'The AI is ill', retry_in: 5 } });
  await shown(() => chat.noAnswer);
  assert.deepEqual([chat.typing, chat.devices, chat.ai.status], [['ai'], 2, 'away']);
  assert.deepEqual(chat.noAnswer, { text: 'The AI is ill', retry_in: 5 });
  piece('Here', 0);
  await shown(() => chat.noAnswer === null);
});

test('another conversation begins anew, and the first is left', async () => {
  await show();
  await act(async () => void (await chat.sendMessage('here')));
  await show({ conversationId: 'd' });
  await shown(() => server.sockets.size === 1);
  assert.equal(server.connections.at(-1).searchParams.get('conversation_id'), 'd');
});

test('in strict mode, which mounts twice, there is one connection and each message once', async () => {
  await show({}, (element) => createElement(StrictMode, null, element));
  await act(async () => void (await chat.sendMessage('Hi')));
  await shown(() => chat.messages[0]?.status === 'delivered');
  assert.deepEqual(texts(), ['Hi']);
  await shown(() => server.sockets.size === 1);
});

test('unmounting leaves the conversation', async () => {
  await show();
  await act(async () => root.unmount());
  await until(() => server.sockets.size === 0);
});

test('a server renders it without a connection', () => {
  const props = { url: server.url, userId: 'kai', conversationId: 'c' };
  assert.equal(renderToString(createElement(Probe, props)), '<p></p>');
});
