/** What goes on beside the saved messages: who types, an answer that is being written, one that does not come. */

import { el, find } from './dom.js';
import { plural } from './format.js';
import { explain } from './outgoing.js';

/** @typedef {import('../chat-client.js').Frame} Frame */

export class Activity {
  #chat;
  #messages;
  #notices;
  #line = find('[data-testid=typing]');
  #stop = find('[data-testid=stop]');
  #noAnswer = find('[data-testid=no-answer]');
  /** Who types, by sender. @type {Map<string, {words: string, isOwn: boolean}>} */
  #typing = new Map();
  /** The other side. */
  ai = { name: 'AI' };

  /**
   * @param {import('../chat-client.js').ChatManager} chat
   * @param {import('./messages.js').MessageList} messages holds what is being written
   * @param {import('./notices.js').Notices} notices
   */
  constructor(chat, messages, notices) {
    this.#chat = chat;
    this.#messages = messages;
    this.#notices = notices;
    this.#stop.addEventListener('click', () => this.#cancel());
    chat.on('state', () => this.reset()); // who types is told anew
    chat.on('typing', (frame) => this.#type(frame));
    chat.on('chunk', (frame, text) => this.#grow(frame, text));
    chat.on('system', ({ data }) => {
      if (data.event === 'connected') this.#begin();
      if (data.event === 'no_answer') this.#excuse(data);
    });
  }

  /** Forgets who types. */
  reset() {
    this.#typing.clear();
    this.#draw();
  }

  /** Call it when a saved message is shown. @param {Frame} frame */
  arrived({ type, sender = '' }) {
    this.#typing.delete(sender);
    if (type !== 'CHAT_MESSAGE') this.answered();
    this.#draw();
  }

  /** Takes back why there was no answer. */
  answered() {
    this.#noAnswer.hidden = true;
  }

  /** An answer that is still being written comes again, with all of it so far. */
  #begin() {
    for (const { id, streaming } of [...this.#messages.items]) if (streaming) this.#messages.delete(id);
    this.#draw();
  }

  /** @param {Frame} frame */
  #type({ sender = '', data }) {
    const isOwn = sender === this.#chat.userId;
    const words = isOwn ? 'You are typing on another device…' : `${this.ai.name} is typing…`;
    if (data.is_typing) this.#typing.set(sender, { words, isOwn });
    else this.#typing.delete(sender);
    this.#draw();
    if (data.is_typing && this.#messages.following) this.#messages.toEnd();
  }

  /** @param {Frame} frame @param {string} text all of it so far */
  #grow({ message_id: id = '', timestamp, data }, text) {
    const at = new Date(timestamp ?? Date.now());
    if (data.aborted) this.#messages.delete(id);
    else this.#messages.set({ id, sender: 'ai', text, at, streaming: true });
    this.answered();
    this.#draw();
  }

  /** @param {{text: string, retry_in: number | null}} noAnswer */
  #excuse({ text, retry_in }) {
    const seconds = retry_in === null ? '' : plural(Math.ceil(retry_in), 'second', 'seconds');
    this.#noAnswer.textContent = seconds ? `${text} The next attempt is in ${seconds}.` : text;
    this.#noAnswer.hidden = false;
  }

  /** Stops the newest answer that is being written; without one, whatever is being prepared. */
  async #cancel() {
    const answer = this.#writing;
    try {
      await this.#chat.cancelResponse(answer);
    } catch (error) {
      const isOver = answer && !this.#messages.get(answer)?.streaming;
      if (!isOver) this.#notices.toast(explain(/** @type {import('../chat-client.js').ChatError} */ (error)));
    }
  }

  get #writing() {
    return [...this.#messages.items].findLast(({ streaming }) => streaming)?.id;
  }

  #draw() {
    const typing = [...this.#typing.values()];
    this.#line.hidden = typing.length === 0;
    const dots = el('span', { class: 'dots', 'aria-hidden': 'true' }, el('i'), el('i'), el('i'));
    this.#line.replaceChildren(dots, el('span', {}, typing.map(({ words }) => words).join(' ')));
    const isAnswering = this.#writing !== undefined || typing.some(({ isOwn }) => !isOwn);
    this.#stop.hidden = this.#chat.state !== 'open' || !isAnswering;
  }
}
