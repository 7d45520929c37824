/** The bars above the list and the conversation, and the tab's title: who is there, with whom, how much is new. */

import { find, icon, paintAvatar, spoken } from './dom.js';
import { plural, short } from './format.js';

const STATUS_WORDS = /** @type {Record<string, string>} */ ({
  online: 'Online',
  away: 'Away',
  offline: 'Offline',
});

/** @param {string} id @param {string} name @param {string | null} elsewhere where they may say that they are somebody else */
export function showUser(id, name, elsewhere) {
  find('[data-part=me-name]').textContent = name;
  paintAvatar(find('[data-part=me-avatar]'), { id, name });
  /** @type {HTMLAnchorElement} */
  const link = find('[data-part=somebody-else]');
  link.hidden = elsewhere === null;
  if (elsewhere) link.href = elsewhere;
}

/** @param {{id: string, name: string, status?: string}} ai */
export function showAI(ai) {
  paintAvatar(find('[data-part=ai-avatar]'), ai);
  find('[data-part=ai-name]').textContent = ai.name;
  find('[data-part=ai-status]').textContent = STATUS_WORDS[ai.status ?? ''] ?? '';
}

/** @param {number} count */
export function showDevices(count) {
  const chip = find('[data-testid=devices]');
  chip.hidden = false;
  chip.title = `${plural(count, 'device', 'devices')} in this chat`;
  chip.replaceChildren(icon('devices'), String(count), spoken(count === 1 ? ' device' : ' devices'));
}

/** @param {string} name with whom one talks @param {number} unread everywhere @param {number} elsewhere in other conversations */
export function showUnread(name, unread, elsewhere) {
  document.title = `${unread ? `(${unread}) ` : ''}${name}`;
  const badge = find('[data-part=elsewhere]');
  badge.hidden = elsewhere === 0;
  badge.replaceChildren(short(elsewhere), spoken(' unread'));
}

/** The way down to new messages. @param {number} unseen @param {boolean} following the newest is in view */
export function showJump(unseen, following) {
  const jump = find('[data-part=jump]');
  jump.hidden = unseen === 0 || following;
  find('[data-part=jump] span').textContent = plural(unseen, 'new message', 'new messages');
}
