/** The banner that says when there is no connection, why, and what can be done about it. */

import { el, icon } from './dom.js';
import { toPeople } from './format.js';

/** @typedef {import('../chat-client.js').State} State */
/** @typedef {import('../chat-client.js').StateDetail} StateDetail */

const REPLACED = 4500;
const REFUSED = 1008;
const TOKEN_EXPIRED = 4003;

export class ConnectionBanner {
  #banner;
  #said;
  #connect;
  #hasToken;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #countdown;

  /**
   * @param {HTMLElement} banner
   * @param {HTMLElement} said for screen readers, which are told of no countdown
   * @param {() => void} connect
   * @param {() => boolean} hasToken
   */
  constructor(banner, said, connect, hasToken) {
    this.#banner = banner;
    this.#said = said;
    this.#connect = connect;
    this.#hasToken = hasToken;
  }

  /** @param {State} state @param {StateDetail} detail */
  show(state, detail) {
    clearInterval(this.#countdown);
    if (state === 'open' && this.#said.textContent) this.#said.textContent = 'Connected';
    this.#banner.dataset.state = state === 'connecting' ? 'reconnecting' : state;
    this.#banner.hidden = state === 'open';
    if (state === 'connecting') this.#tell('Connecting…');
    if (state === 'reconnecting') this.#reconnecting(detail);
    if (state === 'closed') this.#closed(detail);
  }

  /** @param {StateDetail} detail */
  #reconnecting({ retryIn }) {
    if (retryIn === undefined) return this.#tell('Connection lost. Connecting again…');
    const at = performance.now() + retryIn;
    const seconds = el('span', { class: 'countdown' });
    const count = () =>
      (seconds.textContent = ` Next attempt in ${Math.max(0, Math.ceil((at - performance.now()) / 1000))}\u00A0s.`);
    count();
    this.#countdown = setInterval(count, 250);
    this.#tell('Connection lost.', seconds, this.#button('Try now'));
  }

  /** @param {StateDetail} detail */
  #closed({ code, reason }) {
    if (code === REPLACED)
      return this.#tell('This chat is open in another tab.', '', this.#button('Use here'));
    this.#tell(this.#explanation(code, reason), '', this.#button('Connect'));
  }

  /** @param {number} [code] @param {string} [reason] */
  #explanation(code, reason) {
    const why = reason ? `${toPeople(reason).replace(/\.$/, '')}.` : 'The connection is closed.';
    if (code !== TOKEN_EXPIRED && (code !== REFUSED || !/token|auth/i.test(why))) return why;
    const what = this.#hasToken()
      ? 'Open this page with a new'
      : 'This server asks for a sign-in: open this page with';
    return `${why} ${what} #token=… at the end of its address.`;
  }

  /** @param {string} label */
  #button(label) {
    return el('button', { class: 'plain small', type: 'button', onclick: () => this.#connect() }, label);
  }

  /** @param {string} text @param {HTMLElement | ''} [more] @param {HTMLElement | ''} [button] */
  #tell(text, more = '', button = '') {
    this.#said.textContent = text;
    this.#banner.replaceChildren(icon('info'), el('p', {}, text, more), button);
  }
}
