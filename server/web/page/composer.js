/** Where a message is written. The text stays until it is delivered. */

import { find } from './dom.js';
import { lengthOf } from './format.js';
import { ofTab } from './keep.js';

// Somebody who has not touched a key for this long has stopped typing.
const TYPING_PAUSE = 3_000;
// From this part of the allowed length on, the count is shown.
const SHOW_COUNT_FROM = 0.8;

export class Composer {
  #form = find('[data-part=composer]');
  /** @type {HTMLTextAreaElement} */
  #text = find('[data-testid=composer]');
  /** @type {HTMLButtonElement} */
  #send = find('[data-testid=send]');
  #counter = find('[data-part=counter]');
  /** Texts that are on their way. @type {Set<string>} */
  #underway = new Set();
  #onTyping;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pause;
  /** Where the text survives a reload. */
  #draft = ofTab('chat/draft');
  #limit = Infinity;

  /**
   * @param {(text: string) => Promise<unknown>} onSend settles with the message
   * @param {(on: boolean) => void} onTyping
   */
  constructor(onSend, onTyping) {
    this.#onTyping = onTyping;
    const submit = () => this.#submit(onSend);
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      submit();
    });
    // The button does not take the focus: on a phone that would close the keyboard.
    this.#send.addEventListener('mousedown', (event) => event.preventDefault());
    this.#text.addEventListener('input', () => this.#changed());
    addEventListener('resize', () => this.#fit());
    this.#text.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || onPhone()) return;
      event.preventDefault();
      submit();
    });
  }

  /** @param {number} limit in code points */
  set limit(limit) {
    this.#limit = limit;
    this.#draw();
  }

  /** @param {string} name of whoever is written to */
  set to(name) {
    this.#text.placeholder = `Message ${name}`;
  }

  /** Takes up the text that was left in a conversation. @param {string} key */
  open(key) {
    clearTimeout(this.#pause);
    this.#draft = ofTab(key);
    this.#text.value = this.#draft.get() ?? '';
    this.#draw();
  }

  /** Puts the cursor there; on a phone that would open the keyboard. */
  focus() {
    if (!onPhone()) this.#text.focus({ preventScroll: true });
  }

  /** Suggests a text. @param {string} text */
  write(text) {
    this.#text.value = text;
    this.#keep();
    this.#text.focus();
  }

  /** The message with this text is delivered: it need not stay, unless it was changed since. @param {string} text */
  delivered(text) {
    if (this.#text.value.trim() !== text.trim()) return;
    this.#text.value = '';
    this.#keep();
  }

  /** A message with this text is on its way, until the promise settles. @param {string} text @param {Promise<unknown>} answer */
  async follow(text, answer) {
    this.#underway.add(text);
    this.#draw();
    await answer.catch(() => {}); // told where the message stands
    this.#underway.delete(text);
    this.#draw();
  }

  /** @param {(text: string) => Promise<unknown>} onSend */
  #submit(onSend) {
    const text = this.#text.value.trim();
    if (!text || this.#underway.has(text)) return;
    clearTimeout(this.#pause);
    void this.follow(text, onSend(text));
    this.focus();
  }

  #changed() {
    this.#keep();
    clearTimeout(this.#pause);
    const typing = this.#text.value.trim() !== '';
    this.#onTyping(typing);
    if (typing) this.#pause = setTimeout(() => this.#onTyping(false), TYPING_PAUSE);
  }

  #keep() {
    this.#draft.set(this.#text.value);
    this.#draw();
  }

  #draw() {
    const text = this.#text.value.trim();
    const sending = this.#underway.has(text);
    this.#send.disabled = !text || sending;
    this.#send.setAttribute('aria-busy', String(sending));
    this.#send.setAttribute('aria-label', sending ? 'Sending' : 'Send');
    const length = lengthOf(text);
    this.#counter.hidden = length < this.#limit * SHOW_COUNT_FROM;
    this.#counter.textContent = `${length} / ${this.#limit}`;
    this.#counter.classList.toggle('over', length > this.#limit);
    this.#fit();
  }

  /** As high as the text; the style sheet sets the bounds. */
  #fit() {
    // Lower while it is measured, it would let the conversation above scroll.
    this.#form.style.height = `${this.#form.offsetHeight}px`;
    this.#text.style.height = 'auto';
    this.#text.style.height = `${this.#text.scrollHeight}px`;
    this.#form.style.height = '';
  }
}

/** On a touch screen Enter makes a new line, as everywhere there. */
function onPhone() {
  return matchMedia('(pointer: coarse)').matches;
}
