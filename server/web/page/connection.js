/** The banner that says when there is no connection, why, and what can be done about it. */

import { el, find, icon } from './dom.js';
import { toPeople } from './format.js';

/** @typedef {import('../chat-client.js').State} State */
/** @typedef {import('../chat-client.js').StateDetail} StateDetail */

/**
 * @typedef {object} Options what a person can do about it
 * @property {() => void} connect
 * @property {() => void} home opens a chat of their own
 * @property {() => void} rename says anew who they are
 * @property {() => boolean} hasToken
 */

const REPLACED = 4500;
const REFUSED = 1008;
const TOKEN_EXPIRED = 4003;
/**
 * What people are told of a refusal, by a sign of it in the server's reason, and what they can do.
 * @type {{sign: RegExp, words: string, offer?: 'home' | 'rename' | 'connect'}[]}
 */
const REFUSALS = [
  { sign: /not your conversation/i, words: 'This conversation belongs to somebody else.', offer: 'home' },
  { sign: /^unknown conversation|^conversation_id/i, words: 'There is no such conversation.', offer: 'home' },
  { sign: /^user_id/i, words: 'Nobody can have this name here.', offer: 'rename' },
  { sign: /allowed_origins/i, words: 'This server takes no connections from a page at this address.' },
  { sign: /^too many connections/i, words: 'Too many chats are open at once: close one.', offer: 'connect' },
];
const OFFERS = { home: 'My chats', rename: 'Choose a name', connect: 'Connect' };

export class ConnectionBanner {
  #banner = find('[data-testid=connection]');
  /** For screen readers, which are told of no countdown. */
  #said = find('[data-part=connection-said]');
  #options;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #countdown;

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
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
  #closed({ code, reason = '' }) {
    if (code === REPLACED)
      return this.#tell('This chat is open in another tab.', '', this.#button('Use here'));
    const refusal = code === REFUSED && REFUSALS.find(({ sign }) => sign.test(reason));
    if (!refusal) return this.#tell(this.#explanation(code, reason), '', this.#button('Connect'));
    const { words, offer } = refusal;
    this.#tell(words, '', offer && this.#button(OFFERS[offer], this.#options[offer]));
  }

  /** @param {number | undefined} code @param {string} reason */
  #explanation(code, reason) {
    const why = reason ? `${toPeople(reason).replace(/\.$/, '')}.` : 'The connection is closed.';
    if (code !== TOKEN_EXPIRED && (code !== REFUSED || !/token|auth/i.test(why))) return why;
    const what = this.#options.hasToken()
      ? 'Open this page with a new'
      : 'This server asks for a sign-in: open this page with';
    return `${why} ${what} #token=… at the end of its address.`;
  }

  /** @param {string} label @param {() => void} [onclick] */
  #button(label, onclick = this.#options.connect) {
    return el('button', { class: 'plain small', type: 'button', onclick: () => onclick() }, label);
  }

  /** @param {string} text @param {HTMLElement | ''} [more] @param {HTMLElement | ''} [button] */
  #tell(text, more = '', button = '') {
    this.#said.textContent = text;
    this.#banner.replaceChildren(icon('info'), el('p', {}, text, more), button);
  }
}
