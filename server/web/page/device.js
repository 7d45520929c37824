/** Which device this tab is. */

import { ofTab } from './keep.js';

/**
 * Gives the tab's client_id, the same one after a reload. It is in the storage only while no page is there: so a
 * tab that is duplicated, or opened by this one, which gets a copy of the storage, is a device of its own.
 */
export function clientIdOfTab() {
  const kept = ofTab('chat/client');
  const id = kept.get() ?? newId();
  addEventListener('pageshow', () => kept.set('')); // once it is loaded, and when it comes back from a cache
  addEventListener('pagehide', () => kept.set(id));
  return id;
}

/** crypto.randomUUID is not there over plain http. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
