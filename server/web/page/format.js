/** Names, ids and times as people read them. Pure. */

/**
 * The name to show for an id until the server tells a better one: `conv_kai_ai_alex` is with Alex.
 * @param {string} id of an AI, or of a conversation
 */
export function nameOf(id) {
  const last = id.split(/(?:^|[^a-z0-9])ai_/i).at(-1) ?? id;
  return last.charAt(0).toUpperCase() + last.slice(1);
}

/** @param {number} count @param {string} one @param {string} many */
export function plural(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}

/** A number in a small place. @param {number} count */
export function short(count) {
  return count > 99 ? '99+' : String(count);
}

/** Why a message was refused, without names of fields and settings, which say nothing to a person. @param {string} reason */
export function toPeople(reason) {
  const words = reason.replace(/^data: /, '').replace(/ \([a-z_]+(?:\.[a-z_]+)?\)$/, '');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Unicode code points, which is how the server counts. @param {string} text */
export function lengthOf(text) {
  return [...text].length;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const DATE = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const DATE_AND_YEAR = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });

/** @param {Date} date */
export function clockTime(date) {
  return CLOCK.format(date);
}

/** @param {Date} date */
export function fullTime(date) {
  return FULL.format(date);
}

/** @param {Date} date @returns {string} the same for all times of one local day */
export function dayKey(date) {
  return `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
}

/** Today, Yesterday, Monday, 3 March. @param {Date} date @param {Date} today */
export function dayLabel(date, today) {
  const midnight = (/** @type {Date} */ day) => Date.UTC(day.getFullYear(), day.getMonth(), day.getDate());
  const days = Math.round((midnight(today) - midnight(date)) / 86_400_000);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  if (days > 1 && days < 7) return WEEKDAY.format(date);
  return (date.getFullYear() === today.getFullYear() ? DATE : DATE_AND_YEAR).format(date);
}

/** The time on a conversation: of today the clock, else the day. @param {Date} date @param {Date} today */
export function shortTime(date, today) {
  return dayKey(date) === dayKey(today) ? clockTime(date) : dayLabel(date, today);
}
