/** Own messages that failed: sent again all at once, and by themselves when the rate limit has room for them. */

import { find } from './dom.js';
import { plural } from './format.js';

/** @typedef {import('../chat-client.js').Failed} Failed */

export class Failures {
  #bar = find('[data-part=failures]');
  #failed;
  #again;
  /** Wait for the rate limit, by message_id. @type {Set<string>} */
  #waiting = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {() => ReadonlyMap<string, Failed>} failed by message_id
   * @param {(id: string) => Promise<unknown>} again sends one of them
   */
  constructor(failed, again) {
    this.#failed = failed;
    this.#again = again;
    find('[data-testid=retry-all]').addEventListener('click', () => this.#sendAll(() => true));
  }

  /** Another conversation is opened: what waits here waits for a person. */
  reset() {
    clearTimeout(this.#timer);
    this.#waiting.clear();
    this.show();
  }

  show() {
    const count = this.#failed().size;
    this.#bar.hidden = count < 2;
    find('[data-part=failures] span').textContent = `${plural(count, 'message', 'messages')} not delivered`;
  }

  /** The rate limit refused a message. @param {string} id @param {number} seconds until there is room */
  wait(id, seconds) {
    this.#waiting.add(id);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#sendAll((waiting) => this.#waiting.has(waiting)), seconds * 1000);
  }

  /** One after the other, as they were written, up to the first that still has to wait. @param {(id: string) => boolean} isMeant */
  async #sendAll(isMeant) {
    const failed = [...this.#failed()].filter(([id]) => isMeant(id));
    const asWritten = failed.sort(([, a], [, b]) => writtenAt(a) - writtenAt(b));
    for (const [id] of asWritten) {
      if (!this.#failed().has(id)) continue; // meanwhile sent, or given up
      this.#waiting.delete(id);
      const error = await this.#again(id).then(
        () => null,
        (/** @type {import('../chat-client.js').ChatError} */ reason) => reason,
      );
      if (error?.retryable) return;
    }
  }
}

/** @param {Failed} failed */
function writtenAt({ frame }) {
  return Date.parse(frame.timestamp ?? '');
}
