/** What a program in strict TypeScript writes with React and with the AI SDK: compiled, never run. */

import { useChat as useSdkChat } from '@ai-sdk/react';

import { ChatManagerTransport, toUIMessage } from '../../../../server/web/chat-ai-sdk.js';
import { ChatManager } from '../../../../server/web/chat-client.js';
import { useChat } from '../../../../server/web/chat-react.js';

const options = { url: 'http://127.0.0.1:8000', userId: 'kai', conversationId: 'conv_ai_alex' };

export function Messages(): string[] {
  const { messages, sendMessage, retry, cancelResponse, typing, noAnswer } = useChat(options);
  void sendMessage('Hey').then((ack) => ack.seq?.toFixed());
  void cancelResponse();
  noAnswer?.retry_in satisfies number | null | undefined;
  for (const { id, status } of messages) if (status === 'failed') void retry(id);
  // @ts-expect-error: nobody but the hook changes the list
  messages.push(messages[0]);
  return [...typing, ...messages.map(({ text, at, finish }) => `${text} ${at.getTime()} ${finish ?? ''}`)];
}

export function Sdk(): string {
  const manager = new ChatManager(options);
  const { messages, sendMessage, status } = useSdkChat({
    transport: new ChatManagerTransport(manager),
    resume: true,
  });
  void sendMessage({ text: 'Hey' });
  void manager.history().then(({ items }) => items.map(toUIMessage));
  return `${status} ${messages.length}`;
}
