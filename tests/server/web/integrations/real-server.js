/**
 * The AI SDK at a real server, whose origin is the argument, with an AI that answers every message: one answer to its
 * end, one that is stopped at its first words. Writes a line: what the SDK showed, and what the server saved.
 */
import { Chat } from '@ai-sdk/react';
import { WebSocket } from 'ws';

import { ChatManagerTransport } from '../../../../server/web/chat-ai-sdk.js';
import { ChatManager } from '../../../../server/web/chat-client.js';
import { pause, speak } from '../client/speaker.js';

setTimeout(() => process.exit(1), 25_000).unref();
const [url] = process.argv.slice(2);
const conversationId = 'conv_kai_ai_alex';
const manager = new ChatManager({ url, userId: 'kai', conversationId, WebSocket });
let isStopped = false;
async function* words() {
  for (let number = 0; number < 20 && !isStopped; number++) {
    yield `${number} `;
    await pause(50);
  }
}
manager.on('message', ({ type, seq }) => {
  if (type === 'CHAT_MESSAGE') void speak(url, conversationId, `answer-${seq}`, words());
});
manager.connect();

const chat = new Chat({ transport: new ChatManagerTransport(manager) });
const shown = () => chat.messages.map(({ parts }) => parts.map(({ text = '' }) => text).join(''));
const lengths = new Set();
const whole = chat.sendMessage({ text: 'Hello' }).then(() => 'whole');
while ((await Promise.race([whole, pause(10)])) !== 'whole') lengths.add(shown()[1]?.length);

const stopped = chat.sendMessage({ text: 'And more?' });
while (!shown()[3]) await pause(10);
await chat.stop();
await stopped;
let saved = [];
while (saved.length < 4) {
  saved = (await manager.history()).items.map(({ data, finish = null }) => [data, finish]);
  await pause(10);
}
isStopped = true;
console.log(JSON.stringify({ steps: lengths.size, shown: shown(), saved, status: chat.status }));
manager.disconnect();
