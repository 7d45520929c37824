/** The list of conversations: with whom, the last words, how many unread; one tab stop, arrow keys, a filter. */

import { el, find, paintAvatar, spoken } from './dom.js';
import { dayKey, plural, short, shortTime } from './format.js';

/**
 * @typedef {object} Conversation
 * @property {string} id
 * @property {{id: string, name: string, status?: string}} ai
 * @property {string} [last] the last message's text
 * @property {Date} [at] and its time; of one without messages, when it was made, where that is known
 * @property {number} unread
 */

/** @type {Record<string, (index: number, count: number) => number>} */
const STEPS = {
  ArrowDown: (index, count) => Math.min(index + 1, count - 1),
  ArrowUp: (index) => Math.max(index - 1, 0),
  Home: () => 0,
  End: (_, count) => count - 1,
};

export class ConversationList {
  /** @type {Map<string, Conversation>} */
  #conversations = new Map();
  #list = find('[data-testid=conversations]');
  /** @type {HTMLInputElement} */
  #search = find('[data-testid=search]');
  #nothing = find('[data-part=nothing-found]');
  #link;
  #open;
  #current = '';
  #currentUnread = 0;
  /** What is drawn now. */
  #drawn = '';

  /**
   * @param {(id: string) => string} link the address of a conversation
   * @param {(id: string) => void} open
   */
  constructor(link, open) {
    this.#link = link;
    this.#open = open;
    this.#search.addEventListener('input', () => this.redraw());
    this.#list.addEventListener('keydown', (event) => this.#key(event));
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

  /** Unread messages everywhere. */
  get unread() {
    return this.unreadElsewhere + this.#currentUnread;
  }

  /** @param {string} id the open one */
  set current(id) {
    this.#current = id;
    this.#currentUnread = 0;
    this.redraw();
    this.#entry(id)?.scrollIntoView({ block: 'nearest' });
  }

  /** @param {number} count of the open one, which this device knows better than the server's list */
  set currentUnread(count) {
    this.#currentUnread = count;
    this.redraw();
  }

  /** Takes the server's list; the open one stays whatever it says. @param {Conversation[]} conversations */
  replace(conversations) {
    const known = this.#conversations;
    const open = known.get(this.#current);
    const isListed = conversations.some(({ id }) => id === this.#current);
    this.#conversations = new Map(open && !isListed ? [[open.id, open]] : []);
    for (const conversation of conversations) {
      const { ai, at } = known.get(conversation.id) ?? {};
      // The list does not say who is online, nor when a conversation was made.
      const status = conversation.ai.status ?? ai?.status;
      this.#conversations.set(conversation.id, {
        ...conversation,
        ai: { ...conversation.ai, status },
        at: conversation.at ?? at,
      });
    }
    const isFirst = known.size <= 1;
    this.redraw();
    if (isFirst) this.#entry(this.#current)?.scrollIntoView({ block: 'nearest' });
  }

  /** Changes what is known of one. @param {string} id @param {Partial<Conversation>} change */
  update(id, change) {
    const known = this.#conversations.get(id) ?? { id, ai: { id: 'ai', name: id }, unread: 0 };
    this.#conversations.set(id, { ...known, ...change });
    this.redraw();
  }

  /** @param {string} id of one that is not the user's */
  remove(id) {
    this.#conversations.delete(id);
    this.redraw();
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
    // Those that nobody has touched come last, as the server lists them.
    const time = (/** @type {Conversation} */ { at }) => Number(at ?? 0);
    return [...this.#conversations.values()].sort((a, b) => time(b) - time(a));
  }

  redraw() {
    const words = this.#search.value.trim().toLowerCase();
    const shown = this.#newestFirst.filter(({ ai, last = '' }) =>
      `${ai.name} ${last}`.toLowerCase().includes(words),
    );
    const drawn = JSON.stringify([this.#current, this.#currentUnread, shown, dayKey(new Date())]);
    if (drawn === this.#drawn) return; // a redraw would take the focus from a person who is in the list
    this.#drawn = drawn;
    this.#nothing.hidden = shown.length > 0 || !words;
    const focused = this.#focused?.dataset.conversationId;
    const stop = shown.find(({ id }) => id === (focused ?? this.#current)) ?? shown[0];
    this.#list.replaceChildren(
      ...shown.map((conversation) => el('li', {}, this.#newEntry(conversation, conversation === stop))),
    );
    if (focused) this.#entry(focused)?.focus();
  }

  /** @param {Conversation} conversation @param {boolean} isTabStop */
  #newEntry({ id, ai, last, at, unread }, isTabStop) {
    const isCurrent = id === this.#current;
    const count = isCurrent ? this.#currentUnread : unread;
    return el(
      'a',
      {
        class: 'conversation',
        href: this.#link(id),
        tabindex: isTabStop ? 0 : -1,
        'data-conversation-id': id,
        'data-unread': count,
        'aria-current': isCurrent && 'true',
        onclick: (event) => this.#clicked(event, id),
      },
      paintAvatar(el('span', { class: 'avatar', 'aria-hidden': 'true' }), ai),
      el('span', { class: 'conversation-name' }, ai.name, ai.status && spoken(`, ${ai.status}`)),
      el('span', { class: 'conversation-time' }, at && last ? shortTime(at, new Date()) : ''),
      el('span', { class: 'conversation-last', dir: 'auto' }, last ?? 'Say hello'),
      count > 0 &&
        el(
          'span',
          { class: 'badge' },
          el('span', { 'aria-hidden': 'true' }, short(count)),
          spoken(plural(count, 'unread message', 'unread messages')),
        ),
    );
  }

  /** A plain click opens it here; any other does what links do. @param {MouseEvent} event @param {string} id */
  #clicked(event, id) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    this.#open(id);
  }

  /** The list is one tab stop; within it one moves with the arrow keys. @param {KeyboardEvent} event */
  #key(event) {
    const step = STEPS[event.key];
    const focused = this.#focused;
    if (!step || !focused) return;
    event.preventDefault();
    const entries = /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll('[data-conversation-id]')]);
    const next = entries[step(entries.indexOf(focused), entries.length)];
    focused.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  /** The entry that has the focus. */
  get #focused() {
    const entry = document.activeElement?.closest('[data-conversation-id]');
    return /** @type {HTMLElement | null | undefined} */ (entry);
  }

  /** @param {string} id @returns {HTMLElement | null} */
  #entry(id) {
    return this.#list.querySelector(`[data-conversation-id="${CSS.escape(id)}"]`);
  }
}
