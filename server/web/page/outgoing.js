/** Own messages from the composer to the list: sending, delivered or failed, and what can be done about a failure. */

import { Composer } from './composer.js';
import { find } from './dom.js';
import { Failures } from './failures.js';
import { toPeople } from './format.js';

/** @typedef {import('../chat-client.js').ChatManager} ChatManager */
/** @typedef {import('../chat-client.js').ChatError} ChatError */
/** @typedef {import('../chat-client.js').Status} Status */

export class Outgoing {
  #chat;
  #messages;
  #notices;
  #failures;
  composer = new Composer({
    send: (text, again) => this.#send(text, again),
    typing: (on) => this.#chat.setTyping(on),
  });

  /**
   * @param {ChatManager} chat
   * @param {import('./messages.js').MessageList} messages
   * @param {import('./notices.js').Notices} notices
   */
  constructor(chat, messages, notices) {
    this.#chat = chat;
    this.#messages = messages;
    this.#notices = notices;
    this.#failures = new Failures(
      () => chat.failedMessages,
      (id) => this.#again(id),
    );
    chat.on('status', (id, status, error) => this.#changed(id, status, error));
    find('[data-part=skip]').onclick = () => find('[data-testid=composer]').focus();
  }

  /** Another conversation is shown. @param {string} draft the key of what was left unsent there */
  open(draft) {
    this.composer.open(draft);
    this.#failures.reset();
  }

  /** @param {string} id */
  retry(id) {
    this.#again(id).catch(() => {}); // told where the message stands
    this.composer.focus();
  }

  /** Gives a failed message back to the composer. @param {string} id */
  edit(id) {
    const text = this.#textOf(id);
    this.discard(id);
    this.composer.write(text);
  }

  /** Gives a failed message up. @param {string} id */
  discard(id) {
    this.composer.gone(this.#textOf(id));
    this.#chat.discard(id);
    this.#messages.delete(id);
    this.#failures.show();
    this.composer.focus();
  }

  /** @param {string} text @param {boolean} again it failed before */
  #send(text, again) {
    const all = again ? [...this.#chat.failedMessages.values()] : [];
    const failed = all.findLast(({ frame }) => frame.data === text);
    return failed ? this.#again(failed.frame.message_id) : this.#chat.sendMessage(text);
  }

  /** @param {string} id */
  #again(id) {
    const text = this.#textOf(id);
    this.#messages.delete(id);
    const answer = this.#chat.retry(id);
    this.composer.retried(text, answer);
    return answer;
  }

  /** @param {string} id @param {Status} status @param {ChatError} [error] */
  #changed(id, status, error) {
    const frame = (this.#chat.pendingMessages.get(id) ?? this.#chat.failedMessages.get(id))?.frame;
    const known = this.#messages.get(id);
    if (frame) {
      const at = new Date(frame.timestamp ?? Date.now());
      this.#messages.set({ id, sender: 'user', text: frame.data, at, status, error });
    } else if (known) this.#messages.set({ ...known, status, error });
    if (status === 'sending') this.#messages.toEnd();
    if (status === 'delivered' && known) this.composer.gone(known.text);
    // What had failed before is only shown again.
    if (error && known?.status === 'sending') this.#tell(id, error);
    this.#failures.show();
  }

  /** @param {string} id @param {ChatError} error */
  #tell(id, error) {
    const { code, retryAfter } = error;
    const words = explain(error);
    if (code !== 'rate_limited' || retryAfter === undefined) return this.#notices.toast(words);
    this.#notices.toast(words, code); // of all that wait, the newest tells how long
    this.#failures.wait(id, retryAfter);
  }

  /** @param {string} id */
  #textOf(id) {
    return this.#messages.get(id)?.text ?? '';
  }
}

/** Why something failed, and when to go on. @param {ChatError} error */
export function explain({ code, message, retryAfter }) {
  const why = toPeople(message);
  if (retryAfter === undefined) return why;
  const what = code === 'rate_limited' ? 'It is sent again' : 'Try again';
  return `${why.replace(/\.$/, '')}. ${what} in ${Math.ceil(retryAfter)} s.`;
}
