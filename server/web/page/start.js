/** The dialog that asks who is there and whom to talk to. */

import { el, find } from './dom.js';

const COMPANIONS = ['Alex', 'Sam', 'Mia', 'Noah'];

/**
 * Asks for what is not known yet, in names as people write them.
 * @param {boolean} isKnown who is there: their name is not asked for
 * @returns {Promise<{name: string, companion: string} | null>} null: cancelled
 */
export function askWho(isKnown) {
  /** @type {HTMLDialogElement} */
  const dialog = find('.start');
  /** @type {HTMLFormElement} */
  const form = find('[data-part=start-form]');
  /** @type {HTMLInputElement} */
  const name = find('#start-name');
  /** @type {HTMLInputElement} */
  const companion = find('#start-with');
  find('#start-title').textContent = isKnown ? 'New chat' : 'Welcome';
  find('.start-lead').textContent = isKnown
    ? 'They are only a message away.'
    : 'A companion to talk to, on all your devices at once.';
  find('[data-part=name-field]').hidden = isKnown;
  find('[data-part=start-cancel]').hidden = !isKnown;
  name.disabled = isKnown;
  companion.value = isKnown ? '' : COMPANIONS[0];
  const pick = (/** @type {string} */ who) => {
    companion.value = who;
    companion.focus();
  };
  find('.start .picks').replaceChildren(
    ...COMPANIONS.map((who) => el('button', { type: 'button', onclick: () => pick(who) }, who)),
  );
  // A name of white space alone is none.
  for (const input of [name, companion])
    input.oninput = () => input.setCustomValidity(input.value.trim() ? '' : 'Write a name');

  return new Promise((resolve) => {
    let isChosen = false;
    form.onsubmit = () => (isChosen = true);
    find('[data-part=start-cancel]').onclick = () => dialog.close();
    const show = () => {
      dialog.showModal();
      (isKnown ? companion : name).focus();
    };
    // Closed it gives the focus back to where that was: only then it can go elsewhere.
    dialog.onclose = () => {
      // Escape closes it, which a page cannot always prevent: but without a name there is nothing behind it.
      if (!isChosen && !isKnown) return show();
      resolve(isChosen ? { name: name.value.trim(), companion: companion.value.trim() } : null);
    };
    show();
  });
}
