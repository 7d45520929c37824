/** The message list: one element a message, kept in order and up to date. */

import { el, icon, paintAvatar, spoken } from './dom.js';
import { clockTime, dayLabel, fullTime, toPeople } from './format.js';
import { rows } from './timeline.js';

/** @typedef {import('./timeline.js').Item} Item */
/** @typedef {import('./timeline.js').Row} Row */

/**
 * @typedef {object} Actions what a person can do with a message
 * @property {(id: string) => void} retry
 * @property {(id: string) => void} discard
 * @property {(id: string) => void} stop
 */

const STATUS_ICONS = { sending: 'check', delivered: 'checks', failed: 'cross' };
const STATUS_WORDS = { sending: 'Sending', delivered: 'Delivered', failed: 'Not delivered' };
// Closer to the end than this a person is reading the newest.
const AT_END = 80;
const JUMBO =
  /^(?:\p{Extended_Pictographic}[\p{EMod}\uFE0F]?(?:\u200D\p{Extended_Pictographic}\uFE0F?)*\s?){1,3}$/u;

export class MessageList {
  /** @type {Map<string, Item>} */
  #items = new Map();
  /** @type {Map<string, HTMLElement>} */
  #elements = new Map();
  /** What each element shows now. @type {WeakMap<HTMLElement, Extract<Row, {item: Item}>>} */
  #rows = new WeakMap();
  /** What the parts below its text say. @type {WeakMap<HTMLElement, string>} */
  #drawn = new WeakMap();
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
   * @param {Actions} actions
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

  get size() {
    return this.#items.size;
  }

  /** Whether a person sees the newest message. */
  get following() {
    this.#look(); // the event of a scroll comes only with the next frame
    return this.#following;
  }

  /** @param {string} id */
  has(id) {
    return this.#items.has(id);
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
      setText(/** @type {HTMLElement} */ (element.firstElementChild), dayLabel(row.day, new Date()));
    } else {
      element ??= this.#newMessage(row.item);
      this.#update(element, row);
    }
    this.#elements.set(row.key, element);
    return element;
  }

  /** @param {Item} item */
  #newMessage({ id, sender }) {
    const avatar =
      sender === 'ai' &&
      paintAvatar(el('span', { class: 'avatar small', 'aria-hidden': 'true' }), {
        ...this.ai,
        status: undefined,
      });
    const isOld = this.#list.hasAttribute('aria-busy'); // from the history: it does not come in with a motion
    return el(
      'div',
      { class: isOld ? 'message' : 'message new', 'data-message-id': id, 'data-sender': sender },
      avatar,
      el(
        'div',
        { class: 'bubble' },
        spoken(sender === 'ai' ? `${this.ai.name}: ` : 'You: '),
        el('span', { class: 'text', dir: 'auto' }),
        el('span', { class: 'meta' }),
      ),
      el('div', { class: 'actions' }),
    );
  }

  /** @param {HTMLElement} element @param {Extract<Row, {item: Item}>} row */
  #update(element, row) {
    const { item, first, last } = row;
    const before = this.#rows.get(element);
    if (before?.item === item && before.first === first && before.last === last) return;
    this.#rows.set(element, row);
    element.classList.toggle('first', first);
    element.classList.toggle('last', last);
    element.classList.toggle('streaming', Boolean(item.streaming));
    element.classList.toggle('jumbo', JUMBO.test(item.text));
    setText(part(element, '.text'), item.text);
    // What is still being written is read out once it is whole.
    if (item.streaming) element.setAttribute('aria-busy', 'true');
    else element.removeAttribute('aria-busy');
    const state = [item.status, item.streaming, item.stopped, item.error?.message, Number(item.at)].join();
    if (this.#drawn.get(element) === state) return; // or a button would be replaced under a finger
    this.#drawn.set(element, state);
    if (item.status) element.dataset.status = item.status;
    part(element, '.meta').replaceChildren(...meta(item));
    part(element, '.actions').replaceChildren(...this.#controls(item));
  }

  /** @param {Item} item @returns {Node[]} */
  #controls({ id, status, streaming, error }) {
    if (streaming) return [button('stop', 'stop', 'Stop', () => this.#actions.stop(id))];
    if (status !== 'failed') return [];
    return [
      el('span', { class: 'reason' }, toPeople(error?.message ?? 'Not delivered')),
      button('retry', 'retry', 'Retry', () => this.#actions.retry(id)),
      button('discard', 'bin', 'Delete', () => this.#actions.discard(id)),
    ];
  }

  /** The last own message that the AI has read says so. @param {Row[]} wanted */
  #markRead(wanted) {
    const read = wanted.findLast(
      (row) => 'item' in row && row.item.sender === 'user' && (row.item.seq ?? Infinity) <= this.#readSeq,
    );
    for (const [key, element] of this.#elements) element.classList.toggle('read', key === read?.key);
  }
}

/** @param {Item} item @returns {Node[]} */
function meta({ at, status, streaming, stopped }) {
  if (streaming) return [];
  const time = el('time', { datetime: at.toISOString(), title: fullTime(at) }, clockTime(at));
  const end = stopped ? [el('span', { class: 'stopped' }, 'Stopped')] : [];
  if (!status) return [...end, time];
  return [
    time,
    el('span', { class: 'read-mark' }, 'Read'),
    el('span', { class: 'tick' }, icon(STATUS_ICONS[status]), spoken(STATUS_WORDS[status])),
  ];
}

/** @param {string} testid @param {string} picture @param {string} label @param {() => void} onclick */
function button(testid, picture, label, onclick) {
  return el('button', { type: 'button', 'data-testid': testid, onclick }, icon(picture), label);
}

/** @param {HTMLElement} element @param {string} selector */
function part(element, selector) {
  return /** @type {HTMLElement} */ (element.querySelector(selector));
}

/** A text that grows keeps its node, and with it what a person has selected. @param {HTMLElement} element @param {string} text */
function setText(element, text) {
  const node = element.firstChild;
  if (!(node instanceof Text) || !text.startsWith(node.data)) element.textContent = text;
  else if (text.length > node.data.length) node.appendData(text.slice(node.data.length));
}
