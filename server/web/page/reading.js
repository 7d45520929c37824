/** Up to where a person has read the open conversation, here or on another device. */

/**
 * @typedef {object} Options
 * @property {() => Iterable<import('./timeline.js').Item>} items the messages that are shown
 * @property {() => boolean} following whether the newest one is in view
 * @property {(id: string) => void} read tells the server that all up to this message is read
 * @property {(count: number) => void} unseen tells how many new messages nobody has looked at
 */

export class Reading {
  #options;
  /** Messages beyond it are new. */
  #seen = 0;
  /** What the server knows of. */
  #told = 0;
  #isKnown = false;

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    document.addEventListener('visibilitychange', () => this.look());
    addEventListener('focus', () => this.look());
  }

  /** Nothing is known of the conversation that is opened. */
  reset() {
    this.#seen = this.#told = 0;
    this.#isKnown = false;
    this.#options.unseen(0);
  }

  /** Until more is known, what was there when it was opened is not new. @param {number} lastSeq */
  begin(lastSeq) {
    this.#seen = lastSeq;
  }

  /** What the server says at first. @param {number | undefined} seq */
  known(seq) {
    if (this.#isKnown || seq === undefined) return;
    this.#isKnown = true;
    this.#seen = this.#told = Math.max(seq, this.#told);
    this.look();
  }

  /** Another device of this user has read up to there. @param {number} seq */
  elsewhere(seq) {
    this.#seen = Math.max(this.#seen, seq);
    this.#told = Math.max(this.#told, seq);
    this.look();
  }

  /** Takes what is before somebody's eyes as read. Call it after every change of what is shown. */
  look() {
    const saved = [...this.#options.items()].filter(({ sender, seq }) => sender === 'ai' && seq);
    const newest = saved.reduce((a, b) => ((a?.seq ?? 0) > (b.seq ?? 0) ? a : b), saved[0]);
    if (newest?.seq && this.#isLooking()) {
      this.#seen = Math.max(this.#seen, newest.seq);
      if (newest.seq > this.#told) this.#options.read(newest.id);
      this.#told = Math.max(this.#told, newest.seq);
    }
    this.#options.unseen(saved.filter(({ seq = 0 }) => seq > this.#seen).length);
  }

  /** A window without the focus, or a tab behind others, has nobody before it. */
  #isLooking() {
    return document.visibilityState === 'visible' && document.hasFocus() && this.#options.following();
  }
}
