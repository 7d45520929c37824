/** The message list: one element a message, kept in order and up to date. */

import { el } from './dom.js';
import { dayLabel } from './format.js';
import { newMessage, updateMessage } from './message.js';
import { rows } from './timeline.js';

/** @typedef {import('./timeline.js').Item} Item */
/** @typedef {import('./timeline.js').Row} Row */

// Closer to the end than this a person is reading the newest.
const AT_END = 80;

export class MessageList {
  /** @type {Map<string, Item>} */
  #items = new Map();
  /** @type {Map<string, HTMLElement>} */
  #elements = new Map();
  #list;
  #scroller;
  #actions;
  /** Up to where the AI has read. */
  #readSeq = 0;
  #drawing = false;
  /** Whether the newest stays in view. */
  #following = true;
  /** How far down that was. */
  #top = 0;
  /** The other side. @type {{id: string, name: string, status?: string}} */
  ai = { id: 'ai', name: 'AI' };

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} scroller
   * @param {import('./message.js').Actions} actions
   */
  constructor(list, scroller, actions) {
    this.#list = list;
    this.#scroller = scroller;
    this.#actions = actions;
    scroller.addEventListener('scroll', () => this.#look(), { passive: true });
    const resized = new ResizeObserver(() => this.#following && this.toEnd());
    for (const element of [scroller, list]) resized.observe(element);
  }

  get items() {
    return this.#items.values();
  }

  /** Whether a person sees the newest message. */
  get following() {
    this.#look(); // the event of a scroll comes only with the next frame
    return this.#following;
  }

  /** @param {string} id */
  get(id) {
    return this.#items.get(id);
  }

  /** Adds a message, or changes what is known of it. @param {Item} item */
  set(item) {
    this.#items.set(item.id, item);
    this.#drawSoon();
  }

  /** @param {string} id */
  delete(id) {
    if (this.#items.delete(id)) this.#drawSoon();
  }

  clear() {
    this.#items.clear();
    this.#readSeq = 0;
    this.#following = true;
    this.#drawSoon();
  }

  /** Puts a page of the history above. @param {Item[]} items */
  prepend(items) {
    // What is in the list already tells more than the history does.
    for (const item of items) if (!this.#items.get(item.id)?.seq) this.#items.set(item.id, item);
    this.#list.setAttribute('aria-busy', 'true');
    this.above(() => this.#draw());
    this.#list.removeAttribute('aria-busy');
  }

  /** Changes what is above, and leaves what is in view where it is. @param {() => void} change */
  above(change) {
    this.#look();
    const below = this.#scroller.scrollHeight - this.#scroller.scrollTop;
    change();
    if (this.#following) this.toEnd();
    else this.#scroller.scrollTop = this.#scroller.scrollHeight - below;
  }

  /** @param {number} seq up to where the AI has read */
  readUpTo(seq) {
    this.#readSeq = Math.max(this.#readSeq, seq);
    this.#drawSoon();
  }

  /** Says anew what depends on the day that it is. */
  redraw() {
    this.#drawSoon();
  }

  toEnd() {
    this.#following = true;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#top = this.#scroller.scrollTop;
  }

  /** Where a person is reading. It is not they who move away from the end when the composer grows. */
  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < AT_END;
    this.#following = isAtEnd || (this.#following && scrollTop >= this.#top);
    this.#top = scrollTop;
  }

  /** Once for all changes of one moment. */
  #drawSoon() {
    if (this.#drawing) return;
    this.#drawing = true;
    queueMicrotask(() => this.#draw());
  }

  #draw() {
    this.#drawing = false;
    this.#look();
    const wanted = rows(this.#items.values());
    const keys = new Set(wanted.map(({ key }) => key));
    for (const [key, element] of this.#elements) {
      if (keys.has(key)) continue;
      element.remove();
      this.#elements.delete(key);
    }
    this.#place(wanted);
    this.#markRead(wanted);
    if (this.#following) this.toEnd();
  }

  /** Every element at its place; those that are there already are not touched. @param {Row[]} wanted */
  #place(wanted) {
    let next = this.#list.firstElementChild;
    for (const row of wanted) {
      const element = this.#elementOf(row);
      if (element === next) next = next.nextElementSibling;
      else this.#list.insertBefore(element, next);
    }
  }

  /** @param {Row} row */
  #elementOf(row) {
    let element = this.#elements.get(row.key);
    if ('day' in row) {
      element ??= el('h3', { class: 'day' }, el('span'));
      const label = /** @type {HTMLElement} */ (element.firstElementChild);
      const words = dayLabel(row.day, new Date());
      if (label.textContent !== words) label.textContent = words;
    } else {
      element ??= newMessage(row.item, this.ai, this.#list.hasAttribute('aria-busy'));
      updateMessage(element, row, this.#actions);
    }
    this.#elements.set(row.key, element);
    return element;
  }

  /** The last own message that the AI has read says so. @param {Row[]} wanted */
  #markRead(wanted) {
    const read = wanted.findLast(
      (row) => 'item' in row && row.item.sender === 'user' && (row.item.seq ?? Infinity) <= this.#readSeq,
    );
    for (const [key, element] of this.#elements) element.classList.toggle('read', key === read?.key);
  }
}
