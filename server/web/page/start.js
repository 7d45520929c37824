/** The dialog that asks who is there and whom to talk to. */

import { el, find } from './dom.js';
import { slug } from './format.js';

const COMPANIONS = ['Alex', 'Sam', 'Mia', 'Noah'];

/**
 * Asks for what is not known yet.
 * @param {string | null} userId null: the name is asked for too
 * @returns {Promise<{user: string, conversation: string} | null>} null: cancelled
 */
export function askWho(userId) {
  /** @type {HTMLDialogElement} */
  const dialog = find('.start');
  /** @type {HTMLFormElement} */
  const form = find('[data-part=start-form]');
  /** @type {HTMLInputElement} */
  const name = find('#start-name');
  /** @type {HTMLInputElement} */
  const companion = find('#start-with');
  const known = userId !== null;
  find('#start-title').textContent = known ? 'New chat' : 'Welcome';
  find('.start-lead').textContent = known
    ? 'They are only a message away.'
    : 'A companion to talk to, on all your devices at once.';
  find('[data-part=name-field]').hidden = known;
  find('[data-part=start-cancel]').hidden = !known;
  name.disabled = known;
  companion.value = known ? '' : COMPANIONS[0];
  const pick = (/** @type {string} */ who) => {
    companion.value = who;
    companion.focus();
  };
  find('.start .picks').replaceChildren(
    ...COMPANIONS.map((who) => el('button', { type: 'button', onclick: () => pick(who) }, who)),
  );

  return new Promise((resolve) => {
    form.onsubmit = () => {
      const user = userId ?? slug(name.value, `guest-${Math.random().toString(36).slice(2, 8)}`);
      resolve({ user, conversation: `conv_${user}_ai_${slug(companion.value, 'ai')}` });
    };
    find('[data-part=start-cancel]').onclick = () => dialog.close();
    dialog.oncancel = (event) => known || event.preventDefault();
    dialog.onclose = () => resolve(null); // after a submit it is settled already
    dialog.showModal();
    (known ? companion : name).focus();
  });
}
