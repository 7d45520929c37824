/**
 * `useChat`: a conversation as a React component shows it, kept by chat-client.js. React is the page's own: its
 * import map or its bundler says what 'react' is.
 */

import { useEffect, useMemo, useSyncExternalStore } from 'react';

import { ChatManager } from './chat-client.js';

/** @import {Ack, AI, ChatError, ChatOptions, ChunkFrame, Finish, Frame, SavedMessage, State, StateDetail, Status, SystemFrame, Welcome} from './chat-client.js' */

/**
 * A message as it is shown.
 * @typedef {object} ChatItem
 * @property {string} id
 * @property {string} sender
 * @property {boolean} own
 * @property {string} text
 * @property {Date} at
 * @property {number} [seq] of a saved one
 * @property {Status} [status] of an own one
 * @property {ChatError} [error] why it failed
 * @property {boolean} [streaming] it is still being written
 * @property {Finish} [finish] why it is not whole
 */

/**
 * @typedef {object} ChatView
 * @property {readonly ChatItem[]} messages saved ones by seq, then what is being written, then what is on its way or failed
 * @property {State} state of the connection
 * @property {StateDetail} detail
 * @property {AI | null} ai
 * @property {readonly string[]} typing who types
 * @property {number} devices
 * @property {boolean} hasEarlier there is more for `loadEarlier`
 * @property {{text: string, retry_in: number | null} | null} noAnswer the AI could not answer, until it does
 */

/**
 * What a component can do. Failures are seen in `messages` too: nobody has to catch these promises.
 * @typedef {object} ChatActions
 * @property {(text: string) => Promise<Ack>} sendMessage
 * @property {(messageId: string) => Promise<Ack>} retry
 * @property {(messageId: string) => void} discard gives a failed one up
 * @property {(messageId?: string) => Promise<Ack>} cancelResponse without an id: whatever is being written or prepared
 * @property {(isTyping: boolean) => void} setTyping
 * @property {(messageId: string) => Promise<Ack>} markRead
 * @property {() => Promise<void>} loadEarlier
 * @property {() => void} connect attempts at once, or anew after `closed`
 */

const PAGE = 50;

/** @type {ChatView} */
const EMPTY = {
  messages: [],
  state: 'closed',
  detail: {},
  ai: null,
  typing: [],
  devices: 0,
  hasEarlier: false,
  noAnswer: null,
};

/**
 * Joins a conversation while the component is mounted. Another `url`, `userId`, `conversationId` or `clientId`
 * begins anew; of the other options those of the first render count.
 * @param {ChatOptions} options
 * @returns {ChatView & ChatActions}
 */
export function useChat(options) {
  const { url, userId, conversationId, clientId } = options;
  const store = useMemo(() => new ChatStore(options), [url, userId, conversationId, clientId]);
  useEffect(() => {
    store.chat.connect();
    return () => store.chat.disconnect();
  }, [store]);
  const view = useSyncExternalStore(store.subscribe, store.getView, store.getView);
  return useMemo(() => ({ ...view, ...store.actions }), [view, store]);
}

/** Keeps what is shown of one conversation, as a value that changes as a whole. */
class ChatStore {
  #options;
  /** @type {ChatManager | undefined} */
  #chat;
  #view = EMPTY;
  /** @type {Map<string, ChatItem>} */
  #items = new Map();
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {string | undefined} */
  #epoch;
  /** What `loadEarlier` reads comes before it. */
  #beforeSeq = 0;

  /** @param {ChatOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** Made when it is needed: a server that renders the component has no use for one. */
  get chat() {
    return (this.#chat ??= this.#listen(new ChatManager(this.#options)));
  }

  /** @param {() => void} listener */
  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  getView = () => this.#view;

  /** @type {ChatActions} */
  actions = {
    sendMessage: (text) => this.chat.sendMessage(text),
    retry: (id) => this.#retry(id),
    discard: (id) => this.#discard(id),
    cancelResponse: (id) => this.chat.cancelResponse(id),
    setTyping: (on) => this.chat.setTyping(on),
    markRead: (id) => this.chat.markRead(id),
    loadEarlier: () => this.#loadEarlier(),
    connect: () => this.chat.connect(),
  };

  /** @param {ChatManager} chat */
  #listen(chat) {
    chat.on('message', (frame) => this.#saved(frame));
    chat.on('status', (id, status, error) => this.#status(id, status, error));
    chat.on('chunk', (frame, text) => this.#piece(frame, text));
    chat.on('system', (frame) => this.#system(frame));
    chat.on('state', (state, detail) => this.#change({ state, detail, typing: [] }));
    chat.on('typing', ({ sender, data }) => this.#types(sender, data.is_typing));
    chat.on(
      'aiStatus',
      ({ data }) => this.#view.ai && this.#change({ ai: { ...this.#view.ai, status: data.status } }),
    );
    return chat;
  }

  /** @param {SavedMessage} frame */
  #saved(frame) {
    this.#items.set(frame.message_id, this.#itemOf(frame));
    this.#types(frame.sender, false);
    this.#show(frame.type === 'AI_RESPONSE' ? { noAnswer: null } : {});
  }

  /** @param {SavedMessage} frame @returns {ChatItem} */
  #itemOf({ message_id: id, sender, data: text, timestamp, seq, finish }) {
    const own = sender === this.#options.userId;
    /** @type {Status} */
    const status = this.chat.pendingMessages.has(id) ? 'sending' : 'delivered';
    return { id, sender, own, text, at: new Date(timestamp), seq, finish, status: own ? status : undefined };
  }

  /** @param {string} id @param {Status} status @param {ChatError} [error] */
  #status(id, status, error) {
    const frame = (this.chat.pendingMessages.get(id) ?? this.chat.failedMessages.get(id))?.frame;
    const item = this.#items.get(id) ?? (frame && this.#unsent(id, frame));
    if (!item) return;
    this.#items.set(id, { ...item, status, error });
    this.#show();
  }

  /** @param {string} id @param {Frame} frame @returns {ChatItem} */
  #unsent(id, { data, timestamp }) {
    return {
      id,
      sender: this.#options.userId,
      own: true,
      text: data,
      at: timestamp ? new Date(timestamp) : new Date(),
    };
  }

  /** @param {ChunkFrame} frame @param {string} text */
  #piece({ message_id: id, sender, timestamp, data }, text) {
    const at = this.#items.get(id)?.at ?? new Date(timestamp);
    if (data.aborted) this.#items.delete(id);
    else this.#items.set(id, { id, sender, own: false, text, at, streaming: true });
    this.#show(data.aborted ? {} : { noAnswer: null });
  }

  /** @param {SystemFrame} frame */
  #system({ data }) {
    if (data.event === 'connected') this.#welcomed(data);
    if (data.event === 'devices') this.#change({ devices: data.devices });
    if (data.event === 'no_answer') this.#change({ noAnswer: { text: data.text, retry_in: data.retry_in } });
  }

  /** @param {Welcome} welcome */
  #welcomed({ ai, devices, epoch, last_seq }) {
    const replaced = this.#epoch !== undefined && this.#epoch !== epoch;
    for (const [id, { streaming, seq }] of this.#items)
      if (streaming || (replaced && seq)) this.#items.delete(id);
    const isFirst = this.#epoch === undefined;
    this.#epoch = epoch;
    if (isFirst) this.#beforeSeq = last_seq + 1;
    if (replaced) this.#beforeSeq = 0; // the client brings the new log from its start
    this.#show({ ai, devices, hasEarlier: this.#beforeSeq > 1 });
    if (isFirst && last_seq) this.#loadEarlier().catch(() => {}); // `hasEarlier` says that it can be asked for again
  }

  async #loadEarlier() {
    const [beforeSeq, epoch] = [this.#beforeSeq, this.#epoch];
    if (beforeSeq <= 1) return;
    const { items, has_more } = await this.chat.history({ beforeSeq, limit: PAGE });
    if (beforeSeq !== this.#beforeSeq || epoch !== this.#epoch) return; // read twice, or of another log
    for (const frame of items) this.#items.set(frame.message_id, this.#itemOf(frame));
    this.#beforeSeq = has_more && items[0] ? items[0].seq : 0;
    this.#show({ hasEarlier: this.#beforeSeq > 1 });
  }

  /** @param {string} id */
  #retry(id) {
    if (this.chat.failedMessages.has(id)) this.#items.delete(id); // it may come back with another id
    return this.chat.retry(id);
  }

  /** @param {string} id */
  #discard(id) {
    if (!this.chat.failedMessages.has(id)) return;
    this.chat.discard(id);
    this.#items.delete(id);
    this.#show();
  }

  /** @param {string} sender @param {boolean} on */
  #types(sender, on) {
    const { typing } = this.#view;
    if (on !== typing.includes(sender))
      this.#change({ typing: on ? [...typing, sender] : typing.filter((each) => each !== sender) });
  }

  /** @param {Partial<ChatView>} [change] */
  #show(change = {}) {
    this.#change({ messages: [...this.#items.values()].sort((a, b) => rank(a) - rank(b)), ...change });
  }

  /** @param {Partial<ChatView>} change */
  #change(change) {
    this.#view = { ...this.#view, ...change };
    for (const listener of this.#listeners) listener();
  }
}

/** @param {ChatItem} item */
function rank({ seq, streaming }) {
  return seq ?? (streaming ? Number.MAX_SAFE_INTEGER - 1 : Number.MAX_SAFE_INTEGER);
}
