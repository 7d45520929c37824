/** The field where messages are written, and its button. What it holds is decided in draft.js. */

import { find } from './dom.js';
import { EMPTY, begun, failed, gone, retried, sendable, submitted, trimmed } from './draft.js';
import { lengthOf } from './format.js';
import { ofTab } from './keep.js';

/** @typedef {import('./draft.js').Draft} Draft */

/**
 * @typedef {object} Options
 * @property {(text: string, again: boolean) => Promise<unknown>} send settles with the message; `again`: it failed before
 * @property {(on: boolean) => void} typing is told at every change
 */

// Somebody who has not touched a key for this long has stopped typing.
const TYPING_PAUSE = 3_000;
// From this part of the allowed length on, the count is shown.
const SHOW_COUNT_FROM = 0.8;
// What a browser says of a key that an input method takes, also of the Enter that ends its work.
const TAKEN_BY_INPUT_METHOD = 229;

export class Composer {
  #form = find('[data-part=composer]');
  /** @type {HTMLTextAreaElement} */
  #text = find('[data-testid=composer]');
  /** @type {HTMLButtonElement} */
  #send = find('[data-testid=send]');
  #counter = find('[data-part=counter]');
  #options;
  /** @type {Draft} */
  #draft = EMPTY;
  /** Where an unsent text survives a reload. */
  #kept = ofTab('chat/draft');
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pause;
  #limit = Infinity;

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    // The button does not take the focus: on a phone that would close the keyboard.
    this.#send.addEventListener('mousedown', (event) => event.preventDefault());
    this.#listenToText();
    addEventListener('resize', () => this.#fit());
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
    this.#kept = ofTab(key);
    this.#show({ text: this.#kept.get() ?? '' });
  }

  /** Puts the cursor there; on a phone that would open the keyboard. */
  focus() {
    if (!onPhone()) this.#text.focus({ preventScroll: true });
  }

  /** Puts a text there that a person may change before it is sent. @param {string} text */
  write(text) {
    this.#show({ text });
    this.#text.focus();
  }

  /** A failed message with this text is sent again. @param {string} text @param {Promise<unknown>} answer */
  retried(text, answer) {
    const draft = retried(this.#draft, text);
    if (draft === this.#draft) return;
    this.#show(draft);
    void this.#follow(answer);
  }

  /** A failed message with this text was delivered after all, or given up. @param {string} text */
  gone(text) {
    this.#show(gone(this.#draft, text));
  }

  #listenToText() {
    this.#text.addEventListener('keydown', (event) => this.#key(event));
    // Whatever changes the text comes through here first: keys, paste, drop, dictation.
    this.#text.addEventListener('beforeinput', ({ isComposing }) => isComposing || this.#begin());
    // An input method that began without a key puts its text in place of what is selected.
    this.#text.addEventListener('compositionstart', () => this.#draft.sent && this.#text.select());
    this.#text.addEventListener('input', (event) => this.#changed(/** @type {InputEvent} */ (event)));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // Safari tells of the Enter that ends a composition when it is over.
    const taken = event.isComposing || event.keyCode === TAKEN_BY_INPUT_METHOD;
    if (taken && !event.isComposing) this.#begin();
    if (event.key !== 'Enter' || event.shiftKey || taken || onPhone()) return;
    event.preventDefault();
    this.#submit();
  }

  /** The first key after sending begins the next message. */
  #begin() {
    if (this.#draft.sent) this.#show(begun(this.#draft));
  }

  #submit() {
    if (!sendable(this.#draft)) return;
    const again = this.#draft.sent === 'failed';
    const answer = this.#options.send(trimmed(this.#draft.text), again);
    this.#show(submitted(this.#draft));
    void this.#follow(answer);
    this.focus();
  }

  /** Waits for what becomes of the message that is shown. @param {Promise<unknown>} answer */
  async #follow(answer) {
    const draft = this.#draft;
    const next = await answer.then(
      () => EMPTY,
      () => failed(draft), // why is told where the message stands
    );
    if (this.#draft === draft) this.#show(next);
  }

  /** @param {InputEvent} event */
  #changed({ data }) {
    // An extension that writes here without a word before: its text is the next message.
    this.#show({ text: (this.#draft.sent && data) || this.#text.value });
    clearTimeout(this.#pause);
    const typing = sendable(this.#draft);
    this.#options.typing(typing);
    if (typing) this.#pause = setTimeout(() => this.#options.typing(false), TYPING_PAUSE);
  }

  /** @param {Draft} draft */
  #show(draft) {
    this.#draft = draft;
    // What was sent is kept with the failed messages.
    this.#kept.set(draft.sent ? '' : draft.text);
    if (this.#text.value !== draft.text) this.#text.value = draft.text;
    this.#draw();
  }

  #draw() {
    const { text, sent } = this.#draft;
    const sending = sent === 'underway';
    this.#text.classList.toggle('sent', sent !== undefined);
    this.#send.disabled = !sendable(this.#draft);
    this.#send.setAttribute('aria-busy', String(sending));
    this.#send.setAttribute('aria-label', sending ? 'Sending' : sent ? 'Send again' : 'Send');
    const length = lengthOf(trimmed(text));
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
