/** What stands in the message list, and in which order. Pure. */

import { dayKey } from './format.js';

/**
 * @typedef {object} Item a message as it is shown
 * @property {string} id
 * @property {'user' | 'ai'} sender
 * @property {string} text
 * @property {Date} at
 * @property {number} [seq] of a saved one
 * @property {'sending' | 'delivered' | 'failed'} [status] of an own one
 * @property {import('../chat-client.js').ChatError} [error] why it failed
 * @property {boolean} [streaming] it is still being written
 * @property {string} [finish] why an answer is not whole
 */

/**
 * @typedef {{key: string, day: Date} | {key: string, item: Item, first: boolean, last: boolean}} Row a day's separator, or a message:
 *   the first or last of those that one side wrote in one go
 */

// Messages of one side further apart than this stand in groups of their own.
const GROUP_GAP = 5 * 60_000;

/** Saved ones by seq, then what is being written, then what is on its way or failed, each as it came. @param {Iterable<Item>} items */
export function inOrder(items) {
  return [...items].sort((a, b) => rank(a) - rank(b));
}

/** @param {Item} item */
function rank({ seq, streaming }) {
  return seq ?? (streaming ? Number.MAX_SAFE_INTEGER : Infinity);
}

/**
 * @param {Iterable<Item>} items
 * @returns {Row[]}
 */
export function rows(items) {
  const list = inOrder(items);
  return list.flatMap((item, index) => {
    const before = list[index - 1];
    const after = list[index + 1];
    /** @type {Row} */
    const row = { key: item.id, item, first: !together(before, item), last: !together(item, after) };
    return sameDay(before, item) ? [row] : [{ key: `day ${dayKey(item.at)}`, day: item.at }, row];
  });
}

/** @param {Item | undefined} a @param {Item | undefined} b */
function sameDay(a, b) {
  return Boolean(a && b && dayKey(a.at) === dayKey(b.at));
}

/** @param {Item | undefined} a @param {Item | undefined} b */
function together(a, b) {
  return Boolean(
    a && b && a.sender === b.sender && sameDay(a, b) && Math.abs(Number(b.at) - Number(a.at)) < GROUP_GAP,
  );
}
