/** What a program in strict TypeScript may rely on, and what it may not: compiled, never run. */

import { ChatError, ChatManager } from '../../../../server/web/chat-client.js';
import type { Ack, Finish } from '../../../../server/web/chat-client.js';

const chat = new ChatManager({ url: 'http://127.0.0.1:8000', userId: 'kai', conversationId: 'conv_ai_alex' });

chat.on('message', (frame) => {
  const present: [number, ...string[]] = [
    frame.seq,
    frame.sender,
    frame.message_id,
    frame.data,
    frame.timestamp,
  ];
  const finish: Finish | undefined = frame.finish;
  // @ts-expect-error: an answer cannot end so
  const other: 'stopped' | undefined = frame.finish;
  void [present, finish, other];
});

chat.on('chunk', (frame, text) => void [frame.message_id.length, text.length, frame.data.offset?.toFixed()]);
chat.on('typing', (frame) => frame.data.is_typing satisfies boolean);
chat.on('receipt', (frame) => frame.data.seq satisfies number);
chat.on('match', (frame) => frame.data.ai.name satisfies string);
chat.on('state', (state, { retryIn }) => (state === 'reconnecting' ? retryIn?.toFixed() : undefined));
chat.on('status', (id, status, error) => void [id.length, status === 'failed', error?.retryAfter]);
// @ts-expect-error: there is no such event
chat.on('massage', () => {});

chat.on('system', ({ data }) => {
  switch (data.event) {
    case 'connected':
      return data.max_text_length satisfies number;
    case 'no_answer':
      return data.retry_in satisfies number | null;
    case 'announcement':
      return data.text satisfies string;
    default:
      return undefined;
  }
});

export async function use(): Promise<string[]> {
  try {
    const ack: Ack = await chat.sendMessage('Hey');
    ack.seq satisfies number | undefined;
    await chat.cancelResponse();
    await chat.cancelResponse(ack.message_id);
  } catch (error) {
    if (error instanceof ChatError) error.code satisfies string;
  }
  const { items } = await chat.history({ limit: 10 });
  const [first] = items;
  // @ts-expect-error: an empty page has no first message
  first.seq;
  const list = await chat.conversations();
  // @ts-expect-error: it is typed
  list[0]?.unknown;
  return list.map(
    ({ conversation_id, unread, last_message, ai }) =>
      `${conversation_id} ${ai.name} ${unread + 1} ${last_message?.data}`,
  );
}
