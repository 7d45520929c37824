/** Older messages, loaded as a person scrolls up, and what stands above the first one. */

import { el, paintAvatar } from './dom.js';

const PAGE = 50;
/** What no other attempt will change: the server shows the history to others alone. */
export const FORBIDDEN = ['unauthorized', 'forbidden', 'not_authorized'];
const OPENERS = ['Hi, how are you?', 'Tell me about your day', 'What makes you laugh?'];

/**
 * @typedef {object} Options
 * @property {(before: number, limit: number) => Promise<boolean>} load shows what is below a seq, and tells whether there is more
 * @property {(change: () => void) => void} above makes a change above the messages
 * @property {(text: string) => void} write suggests a first message
 */

export class Older {
  #top;
  #options;
  #observer;
  /** The lowest seq that is shown; null before the first page. @type {number | null} */
  #before = null;
  #more = false;
  #loading = false;
  /** Which conversation this is about: what is still under way for another is dropped. */
  #visit = 0;
  /** @type {{id: string, name: string}} */
  ai = { id: 'ai', name: 'AI' };

  /**
   * @param {HTMLElement} top
   * @param {HTMLElement} scroller
   * @param {Options} options
   */
  constructor(top, scroller, options) {
    this.#top = top;
    this.#options = options;
    this.#observer = new IntersectionObserver((entries) => entries.at(-1)?.isIntersecting && this.next(), {
      root: scroller,
      rootMargin: '600px 0px 0px',
    });
    this.#observer.observe(top);
  }

  /** Another conversation, of which nothing is shown yet. */
  reset() {
    this.#visit += 1;
    this.#before = null;
    this.#more = false;
    this.#loading = false;
    this.#top.replaceChildren();
  }

  /** What is below this seq is to be shown. @param {number} before */
  async from(before) {
    this.#before = before;
    this.#more = before > 1;
    if (this.#more) await this.next();
    else this.#beginning();
  }

  /** @param {number} seq is shown now */
  shown(seq) {
    this.#before = Math.min(this.#before ?? seq, seq);
  }

  async next() {
    if (!this.#more || this.#loading || this.#before === null) return;
    const visit = this.#visit;
    this.#loading = true;
    this.#show(el('span', { class: 'spinner', role: 'status', 'aria-label': 'Loading earlier messages' }));
    const more = await this.#options.load(this.#before, PAGE).catch((error) => this.#failed(visit, error));
    if (visit !== this.#visit) return;
    this.#loading = false;
    if (more === undefined) return;
    this.#more = more;
    if (more) this.#show();
    else this.#beginning();
    this.#lookAgain();
  }

  /** A person who holds on to the upper end is there still: that is no change, which alone would be told. */
  #lookAgain() {
    this.#observer.unobserve(this.#top);
    this.#observer.observe(this.#top);
  }

  /** @param {number} visit @param {Partial<import('../chat-client.js').ChatError>} error */
  #failed(visit, { code = '' }) {
    if (visit !== this.#visit) return;
    this.#more = false;
    if (FORBIDDEN.includes(code)) return this.#show(el('p', {}, 'Earlier messages cannot be shown here.'));
    const again = () => {
      this.#more = true;
      void this.next();
    };
    this.#show(
      el('p', {}, 'Earlier messages could not be loaded.'),
      el('button', { class: 'plain small', type: 'button', onclick: again }, 'Try again'),
    );
  }

  #beginning() {
    const openers = OPENERS.map((text) =>
      el('button', { type: 'button', onclick: () => this.#options.write(text) }, text),
    );
    this.#show(
      paintAvatar(el('span', { class: 'avatar large', 'aria-hidden': 'true' }), {
        id: this.ai.id,
        name: this.ai.name,
      }),
      el('p', { class: 'beginning' }, `This is the beginning of your chat with ${this.ai.name}.`),
      el('div', { class: 'picks openers', role: 'group', 'aria-label': 'Ways to begin' }, ...openers),
    );
  }

  /** @param {Node[]} children */
  #show(...children) {
    this.#options.above(() => this.#top.replaceChildren(...children));
  }
}
