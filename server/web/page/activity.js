/** What goes on beside the messages: who types, an answer that can be stopped, one that did not come. */

import { el, find } from './dom.js';

export class Activity {
  #line = find('[data-testid=typing]');
  #stop = find('[data-testid=stop]');
  #noAnswer = find('[data-testid=no-answer]');
  /** Who types, by sender. @type {Map<string, {words: string, isStoppable: boolean}>} */
  #typing = new Map();
  /** The answer that is being written. @type {string | undefined} */
  #answer;

  /** @param {(answer: string | undefined) => void} stop without an id: whatever is being prepared */
  constructor(stop) {
    this.#stop.addEventListener('click', () => stop(this.#answer));
  }

  /** Nothing is known of who types and what is written. */
  reset() {
    this.#typing.clear();
    this.#answer = undefined;
    this.#draw();
  }

  /** @param {string} sender @param {string} words @param {boolean} isStoppable it is an answer that is being prepared */
  typing(sender, words, isStoppable) {
    this.#typing.set(sender, { words, isStoppable });
    this.#draw();
  }

  /** @param {string} sender */
  typingEnds(sender) {
    if (this.#typing.delete(sender)) this.#draw();
  }

  /** @param {string | undefined} answer the newest that is being written */
  writes(answer) {
    this.#answer = answer;
    this.#draw();
  }

  /** Why there is no answer, until one comes. @param {string} words */
  noAnswer(words) {
    this.#noAnswer.textContent = words;
    this.#noAnswer.hidden = false;
  }

  answered() {
    this.#noAnswer.hidden = true;
  }

  #draw() {
    this.#line.hidden = this.#typing.size === 0;
    const dots = el('span', { class: 'dots', 'aria-hidden': 'true' }, el('i'), el('i'), el('i'));
    const typing = [...this.#typing.values()];
    this.#line.replaceChildren(dots, el('span', {}, typing.map(({ words }) => words).join(' ')));
    this.#stop.hidden = this.#answer === undefined && !typing.some(({ isStoppable }) => isStoppable);
  }
}
