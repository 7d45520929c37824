/**
 * What stands in the composer: a draft, or a text that was sent and stays at hand until it is delivered.
 * Pure: each function gives the next state.
 *
 * @typedef {{text: string, sent?: 'underway' | 'failed'}} Draft `sent` on a text that was sent; it can be sent
 *   again, but never becomes part of the next message
 */

/** @type {Draft} */
export const EMPTY = { text: '' };

/** Begins the next message: what was sent makes room, a draft stays. @param {Draft} draft */
export function begun(draft) {
  return draft.sent ? EMPTY : draft;
}

/** Takes a text out of the draft that is shown, or sends a failed one again. @param {Draft} draft @returns {Draft} */
export function submitted({ text }) {
  return { text, sent: 'underway' };
}

/** A message with this text is under way again. @param {Draft} draft @param {string} text @returns {Draft} */
export function retried(draft, text) {
  return draft.sent && trimmed(draft.text) === text ? submitted(draft) : draft;
}

/** The message for which the draft stands has failed. @param {Draft} draft @returns {Draft} */
export function failed({ text }) {
  return { text, sent: 'failed' };
}

/** A failed message with this text was delivered after all, or given up. @param {Draft} draft @param {string} text */
export function gone(draft, text) {
  return draft.sent === 'failed' && trimmed(draft.text) === text ? EMPTY : draft;
}

/** Whether it can be sent now. @param {Draft} draft */
export function sendable(draft) {
  return draft.sent !== 'underway' && !isBlank(draft.text);
}

// What the server calls empty: white space and characters that show nothing.
const BLANK = /^[\s\p{Cf}\p{Variation_Selector}\u115F\u1160\u2800\u3164\uFFA0]*$/u;

/** @param {string} text */
export function isBlank(text) {
  return BLANK.test(text);
}

/** The text as it is sent: without blank lines around it, but with the indentation of its first line. @param {string} text */
export function trimmed(text) {
  return text.replace(/^(?:[^\S\n]*\n)+/, '').trimEnd();
}
