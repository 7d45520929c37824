/**
 * A transport for the AI SDK's `useChat`: what it sends goes to a conversation of chat-client.js, and the AI's
 * answer streams back. It needs nothing of the SDK but its types.
 */
import type { ChatTransport, UIMessage, UIMessageChunk } from 'ai';
import type { ChatManager, SavedMessage } from './chat-client.js';
export type FinishReason = 'stop' | 'length' | 'content-filter' | 'other';
/**
 * A saved message as the SDK has it, for the `messages` that its `useChat` begins with.
 * @param {SavedMessage} frame
 * @returns {UIMessage}
 */
export declare function toUIMessage({ type, message_id, data }: SavedMessage): UIMessage;
/**
 * One conversation. Whoever makes the manager connects and disconnects it.
 * @implements {ChatTransport<UIMessage>}
 */
export declare class ChatManagerTransport implements ChatTransport<UIMessage> {
    #private;
    /** An answer that is taken up again comes with all of its text. */
    resumeStreamIsReplay: boolean;
    /** @param {ChatManager} chat */
    constructor(chat: ChatManager);
    /**
     * Sends the last message; its text alone counts. `regenerate` sends one again that was not delivered.
     * @param {Parameters<ChatTransport<UIMessage>['sendMessages']>[0]} options
     * @returns {Promise<ReadableStream<UIMessageChunk>>} rejected with a `ChatError`
     */
    sendMessages({ trigger, messages, abortSignal }: Parameters<ChatTransport<UIMessage>['sendMessages']>[0]): Promise<ReadableStream<UIMessageChunk>>;
    /**
     * Takes up the answer that the last message still waits for, if there is one.
     * @param {Parameters<ChatTransport<UIMessage>['reconnectToStream']>[0]} options
     * @returns {Promise<ReadableStream<UIMessageChunk> | null>}
     */
    reconnectToStream({ abortSignal }: Parameters<ChatTransport<UIMessage>['reconnectToStream']>[0]): Promise<ReadableStream<UIMessageChunk> | null>;
}
