/**
 * A transport for the AI SDK's `useChat`: what it sends goes to a conversation of chat-client.js, and the AI's
 * answer streams back. It needs nothing of the SDK but its types.
 */

import { ChatError } from './chat-client.js';

/** @import {ChatTransport, UIMessage, UIMessageChunk} from 'ai' */
/** @import {Ack, ChatManager, ChunkFrame, Finish, SavedMessage, State, StateDetail, SystemFrame} from './chat-client.js' */

/** @typedef {'stop' | 'length' | 'content-filter' | 'other'} FinishReason */
/** Why an answer ended, in the SDK's words. @type {Record<Exclude<Finish, 'cancelled'>, FinishReason>} */
const REASONS = { length: 'length', content_filter: 'content-filter', incomplete: 'other' };

/**
 * A saved message as the SDK has it, for the `messages` that its `useChat` begins with.
 * @param {SavedMessage} frame
 * @returns {UIMessage}
 */
export function toUIMessage({ type, message_id, data }) {
  const role = type === 'CHAT_MESSAGE' ? 'user' : 'assistant';
  return { id: message_id, role, parts: [{ type: 'text', text: data }] };
}

/**
 * One conversation. Whoever makes the manager connects and disconnects it.
 * @implements {ChatTransport<UIMessage>}
 */
export class ChatManagerTransport {
  /** An answer that is taken up again comes with all of its text. */
  resumeStreamIsReplay = true;
  #chat;

  /** @param {ChatManager} chat */
  constructor(chat) {
    this.#chat = chat;
  }

  /**
   * Sends the last message; its text alone counts. `regenerate` sends one again that was not delivered.
   * @param {Parameters<ChatTransport<UIMessage>['sendMessages']>[0]} options
   * @returns {Promise<ReadableStream<UIMessageChunk>>} rejected with a `ChatError`
   */
  async sendMessages({ trigger, messages, abortSignal }) {
    const last = messages.at(-1);
    if (!last) throw new ChatError('not_found', 'There is no message to send');
    const hasFailed = this.#chat.failedMessages.has(last.id);
    if (trigger === 'regenerate-message' && !hasFailed)
      throw new ChatError('not_supported', 'Each message is answered once: send another one');
    const answer = new Answer(this.#chat);
    try {
      const sent = hasFailed ? this.#chat.retry(last.id) : this.#chat.sendMessage(textOf(last), last.id);
      answer.expect(abortSignal, await sent);
      return answer.stream;
    } catch (error) {
      answer.leave();
      throw error;
    }
  }

  /**
   * Takes up the answer that the last message still waits for, if there is one.
   * @param {Parameters<ChatTransport<UIMessage>['reconnectToStream']>[0]} options
   * @returns {Promise<ReadableStream<UIMessageChunk> | null>}
   */
  async reconnectToStream({ abortSignal }) {
    const answer = new Answer(this.#chat);
    answer.expect(abortSignal);
    const { items } = await this.#chat.history({ limit: 1, signal: abortSignal }).catch((error) => {
      answer.leave();
      throw error;
    });
    if (items.at(-1)?.type === 'CHAT_MESSAGE') return answer.stream;
    answer.leave();
    return null;
  }
}

/** The AI's answer to one message, as a stream for the SDK. */
class Answer {
  /** @type {ReadableStream<UIMessageChunk>} */
  stream;
  /** @type {ReadableStreamDefaultController<UIMessageChunk>} */
  // @ts-expect-error: a stream calls `start` at once
  #to;
  #chat;
  /** The message is saved: what comes now answers it. */
  #isExpected = false;
  #isStopped = false;
  /** Ids of answers that were being written before. @type {Set<string>} */
  #others = new Set();
  /** Which answer is being shown, and how much of it. */
  #id = '';
  #shown = '';
  /** Of the SDK's part with that text. */
  #part = '';
  #parts = 0;
  /** @type {(() => void)[]} */
  #listening;

  /** @param {ChatManager} chat */
  constructor(chat) {
    this.#chat = chat;
    this.stream = new ReadableStream({ start: (to) => void (this.#to = to), cancel: () => this.leave() });
    this.#listening = [
      chat.on('message', (frame) => this.#saved(frame)),
      chat.on('chunk', (frame, text) => this.#piece(frame, text)),
      chat.on('system', (frame) => this.#system(frame)),
      chat.on('state', (state, detail) => this.#state(state, detail)),
    ];
  }

  /** @param {AbortSignal | undefined} signal its abort stops the answer @param {Ack} [ack] of the message */
  expect(signal, ack) {
    this.#isExpected = true;
    if (ack?.duplicate && ack.seq) void this.#lookUp(ack.seq);
    const stop = () => void this.#stop();
    if (signal?.aborted) return stop();
    signal?.addEventListener('abort', stop);
    this.#listening.push(() => signal?.removeEventListener('abort', stop));
  }

  leave() {
    for (const unlisten of this.#listening.splice(0)) unlisten();
  }

  /** It had been saved before, and perhaps been answered. @param {number} afterSeq */
  async #lookUp(afterSeq) {
    const { items } = await this.#chat.history({ afterSeq }).catch(() => ({ items: [] }));
    for (const frame of items) this.#saved(frame);
  }

  async #stop() {
    this.#isStopped = true;
    // What was written so far is saved and comes as the answer, which ends this.
    await this.#chat.cancelResponse(this.#id || undefined).catch(() => this.#end({ type: 'abort' }));
  }

  /** @param {SavedMessage} frame */
  #saved(frame) {
    const { type, message_id: id, sender, data, finish } = frame;
    if (sender === this.#chat.userId) this.#isExpected = true; // comes before its ACK, and an answer may come with it
    if (type !== 'AI_RESPONSE' || !this.#isMine(id) || !this.#listening.length) return;
    this.#grow(id, data);
    if (finish === 'cancelled') this.#end({ type: 'abort' });
    else this.#end({ type: 'finish', finishReason: finish ? REASONS[finish] : 'stop' });
  }

  /** @param {ChunkFrame} frame @param {string} text */
  #piece({ message_id: id, data }, text) {
    if (!this.#isExpected) this.#others.add(id);
    if (!this.#isMine(id)) return;
    if (!data.aborted) return this.#grow(id, text);
    if (this.#isStopped || !text) this.#end({ type: 'abort' });
    else this.#end({ type: 'error', errorText: 'The answer broke off' });
  }

  /** @param {SystemFrame} frame */
  #system({ data }) {
    if (data.event === 'no_answer' && data.retry_in === null && this.#isExpected)
      this.#end({ type: 'error', errorText: data.text });
  }

  /** @param {State} state @param {StateDetail} detail */
  #state(state, { reason }) {
    if (state === 'closed') this.#end({ type: 'error', errorText: reason || 'The connection is closed' });
  }

  /** @param {string} id */
  #isMine(id) {
    return this.#isExpected && !this.#others.has(id);
  }

  /** @param {string} id @param {string} text all of it so far */
  #grow(id, text) {
    if (!this.#parts) this.#to.enqueue({ type: 'start', messageId: id });
    if (id !== this.#id || !text.startsWith(this.#shown)) this.#endPart(); // what was said cannot be taken back
    if (!this.#part) this.#beginPart(id);
    const delta = text.slice(this.#shown.length);
    this.#shown = text;
    if (delta) this.#to.enqueue({ type: 'text-delta', id: this.#part, delta });
  }

  /** @param {string} id */
  #beginPart(id) {
    this.#id = id;
    this.#shown = '';
    this.#part = `${id}/${++this.#parts}`;
    this.#to.enqueue({ type: 'text-start', id: this.#part });
  }

  #endPart() {
    if (this.#part) this.#to.enqueue({ type: 'text-end', id: this.#part });
    this.#part = '';
  }

  /** @param {UIMessageChunk} last */
  #end(last) {
    if (!this.#listening.length) return;
    this.leave();
    this.#endPart();
    this.#to.enqueue(last);
    this.#to.close();
  }
}

/** @param {UIMessage} message */
function textOf({ parts }) {
  return parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
}
