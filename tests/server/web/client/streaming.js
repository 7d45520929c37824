/**
 * Two devices of one user at a real server, whose origin is the argument, and an AI that writes two answers: one to
 * its end, one until the phone stops it. Writes a line: for each device the texts that it was shown and the messages.
 */
import { WebSocket } from 'ws';

import { ChatManager } from '../../../../server/web/chat-client.js';
import { pause, speak } from './speaker.js';

setTimeout(() => process.exit(1), 20_000).unref();
const [url] = process.argv.slice(2);
const conversationId = 'conv_kai_ai_alex';

function device(clientId) {
  const chat = new ChatManager({ url, userId: 'kai', conversationId, clientId, WebSocket });
  const seen = { texts: [], messages: [], errors: [] };
  chat.on('chunk', ({ message_id }, text) => seen.texts.push([message_id, text]));
  chat.on('message', ({ message_id, data, finish }) =>
    seen.messages.push([message_id, data, finish ?? null]),
  );
  chat.on('error', ({ code }) => seen.errors.push(code));
  chat.connect();
  return { chat, seen };
}

async function until(condition) {
  while (!condition()) await pause(5);
}

async function* words() {
  for (let number = 0; number < 20; number++) {
    yield `\u{1F600} ${number} `;
    await pause(10);
  }
}

const phone = device('phone');
const tablet = device('tablet');
await until(() => phone.chat.state === 'open' && tablet.chat.state === 'open');
await speak(url, conversationId, 'whole', words());

let stopped = false;
async function* untilStopped() {
  while (!stopped) {
    yield 'on and ';
    await pause(10);
  }
}
const spoken = speak(url, conversationId, 'stopped', untilStopped());
await until(() => tablet.seen.texts.filter(([id]) => id === 'stopped').length > 2);
await phone.chat.cancelResponse();
stopped = true;
await spoken;
await until(() => phone.seen.messages.length === 2 && tablet.seen.messages.length === 2);
const nothing = await phone.chat.cancelResponse('stopped').catch(({ code }) => code);
console.log(JSON.stringify({ devices: [phone.seen, tablet.seen], nothing }));
for (const { chat } of [phone, tablet]) chat.disconnect();
