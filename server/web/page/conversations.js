/** The list of conversations: with whom, the last words, how many unread. */

import { el, paintAvatar, spoken } from './dom.js';
import { plural, short, shortTime } from './format.js';

/**
 * @typedef {object} Conversation
 * @property {string} id
 * @property {{id: string, name: string, status?: string}} ai
 * @property {string} [last] the last message's text
 * @property {Date} [at] and its time
 * @property {number} unread
 */

export class ConversationList {
  /** @type {Map<string, Conversation>} */
  #conversations = new Map();
  #list;
  #link;
  #open;
  #current = '';
  /** What is drawn now. */
  #drawn = '';

  /**
   * @param {HTMLElement} list
   * @param {(id: string) => string} link the address of a conversation
   * @param {(id: string) => void} open
   */
  constructor(list, link, open) {
    this.#list = list;
    this.#link = link;
    this.#open = open;
  }

  /** @param {string} id */
  get(id) {
    return this.#conversations.get(id);
  }

  /** Unread messages outside the open conversation. */
  get unreadElsewhere() {
    return [...this.#conversations.values()].reduce(
      (sum, { id, unread }) => sum + (id === this.#current ? 0 : unread),
      0,
    );
  }

  /** @param {string} id the open one */
  set current(id) {
    this.#current = id;
    this.#draw();
  }

  /** Takes the server's list; the open one stays whatever it says. @param {Conversation[]} conversations */
  replace(conversations) {
    const known = this.#conversations;
    const open = known.get(this.#current);
    this.#conversations = new Map(open && [[open.id, open]]);
    for (const conversation of conversations) {
      // The list does not say who is online.
      const status = conversation.ai.status ?? known.get(conversation.id)?.ai.status;
      this.#conversations.set(conversation.id, { ...conversation, ai: { ...conversation.ai, status } });
    }
    this.#draw();
  }

  /** Changes what is known of one. @param {string} id @param {Partial<Conversation>} change */
  update(id, change) {
    const known = this.#conversations.get(id) ?? { id, ai: { id: 'ai', name: id }, unread: 0 };
    this.#conversations.set(id, { ...known, ...change });
    this.#draw();
  }

  /** The AI may be in several conversations. @param {string} aiId @param {string} status */
  setStatus(aiId, status) {
    for (const { id, ai } of this.#conversations.values())
      if (ai.id === aiId) this.update(id, { ai: { ...ai, status } });
  }

  /** Of all, newest first. */
  get ids() {
    return this.#newestFirst.map(({ id }) => id);
  }

  get #newestFirst() {
    // One without a message is new.
    const time = (/** @type {Conversation} */ { at }) => (at ? Number(at) : Infinity);
    return [...this.#conversations.values()].sort((a, b) => (time(a) === time(b) ? 0 : time(b) - time(a)));
  }

  #draw() {
    const newestFirst = this.#newestFirst;
    const drawn = JSON.stringify([this.#current, newestFirst]);
    if (drawn === this.#drawn) return; // a redraw would take the focus from a person who is in the list
    this.#drawn = drawn;
    const focused = document.activeElement
      ?.closest('[data-conversation-id]')
      ?.getAttribute('data-conversation-id');
    this.#list.replaceChildren(...newestFirst.map((conversation) => el('li', {}, this.#entry(conversation))));
    if (focused)
      /** @type {HTMLElement | null} */ (
        this.#list.querySelector(`[data-conversation-id="${CSS.escape(focused)}"]`)
      )?.focus();
  }

  /** @param {Conversation} conversation */
  #entry({ id, ai, last, at, unread }) {
    const current = id === this.#current;
    const shown = current ? 0 : unread;
    return el(
      'a',
      {
        class: 'conversation',
        href: this.#link(id),
        'data-conversation-id': id,
        'data-unread': shown,
        'aria-current': current && 'true',
        onclick: (event) => this.#clicked(event, id),
      },
      paintAvatar(el('span', { class: 'avatar', 'aria-hidden': 'true' }), ai),
      el('span', { class: 'conversation-name' }, ai.name, ai.status && spoken(`, ${ai.status}`)),
      el('span', { class: 'conversation-time' }, at ? shortTime(at, new Date()) : ''),
      el('span', { class: 'conversation-last', dir: 'auto' }, last ?? 'Say hello'),
      shown > 0 &&
        el(
          'span',
          { class: 'badge' },
          el('span', { 'aria-hidden': 'true' }, short(shown)),
          spoken(plural(shown, 'unread message', 'unread messages')),
        ),
    );
  }

  /** A plain click opens it here; any other does what links do. @param {MouseEvent} event @param {string} id */
  #clicked(event, id) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    this.#open(id);
  }
}
