/**
 * Two devices of one user at a real server, whose origin is the argument. One of them sends MESSAGES messages, the
 * next when the last was ACKed, and writes a line for each; at the end it writes what both devices saw.
 */
import { WebSocket } from 'ws';

import { ChatManager } from '../../../../server/web/chat-client.js';

const MESSAGES = 12;
setTimeout(() => process.exit(1), 20_000).unref(); // who waits for a line sees the end
const [url] = process.argv.slice(2);
const devices = ['phone', 'tablet'].map((clientId) => {
  const chat = new ChatManager({
    url,
    userId: 'kai',
    conversationId: 'conv_kai_ai_alex',
    clientId,
    WebSocket,
  });
  const seen = [];
  chat.on('message', ({ seq, data }) => seen.push([seq, data]));
  const complete = new Promise((resolve) =>
    chat.on('message', () => seen.length === MESSAGES && resolve(seen)),
  );
  const open = new Promise((resolve) => chat.on('state', (state) => state === 'open' && resolve(chat)));
  chat.connect();
  return { chat, complete, open };
});
const [phone] = await Promise.all(devices.map(({ open }) => open));
for (let number = 1; number <= MESSAGES; number++) {
  const { seq } = await phone.sendMessage(`text ${number}`);
  console.log(seq);
}
console.log(JSON.stringify(await Promise.all(devices.map(({ complete }) => complete))));
for (const { chat } of devices) chat.disconnect();
