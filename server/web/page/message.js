/** One message as an element. */

import { el, icon, paintAvatar, spoken } from './dom.js';
import { clockTime, fullTime, toPeople } from './format.js';
import { showMarkdown } from './markdown-view.js';

/** @typedef {import('./timeline.js').Item} Item */
/** @typedef {Extract<import('./timeline.js').Row, {item: Item}>} MessageRow */

/**
 * @typedef {object} Actions what a person can do with a failed message
 * @property {(id: string) => void} retry
 * @property {(id: string) => void} edit
 * @property {(id: string) => void} discard
 */

const STATUS_ICONS = { sending: 'check', delivered: 'checks', failed: 'cross' };
const STATUS_WORDS = { sending: 'Sending', delivered: 'Delivered', failed: 'Not delivered' };
const FINISH_WORDS = /** @type {Record<string, string>} */ ({
  cancelled: 'Stopped',
  length: 'Cut off here: it became too long',
  content_filter: 'Ended here by a content filter',
  incomplete: 'Broke off here',
});
const JUMBO =
  /^(?:\p{Extended_Pictographic}[\p{EMod}\uFE0F]?(?:\u200D\p{Extended_Pictographic}\uFE0F?)*\s?){1,3}$/u;

/** What each element shows now. @type {WeakMap<HTMLElement, MessageRow>} */
const shown = new WeakMap();
/** What the parts around its text say. @type {WeakMap<HTMLElement, string>} */
const drawn = new WeakMap();

/**
 * An element for a message, still empty. `isOld`: it is from the history, and comes in without a motion.
 * @param {Item} item @param {{id: string, name: string}} ai @param {boolean} isOld
 */
export function newMessage({ id, sender }, ai, isOld) {
  const avatar =
    sender === 'ai' &&
    paintAvatar(el('span', { class: 'avatar small', 'aria-hidden': 'true' }), { id: ai.id, name: ai.name });
  return el(
    'div',
    { class: isOld ? 'message' : 'message new', 'data-message-id': id, 'data-sender': sender },
    avatar,
    el(
      'div',
      { class: 'bubble' },
      spoken(sender === 'ai' ? `${ai.name}: ` : 'You: '),
      el('div', { class: sender === 'ai' ? 'text markdown' : 'text', dir: 'auto' }),
      el('span', { class: 'meta' }),
    ),
    el('div', { class: 'actions' }),
  );
}

/** Brings an element up to date. @param {HTMLElement} element @param {MessageRow} row @param {Actions} actions */
export function updateMessage(element, row, actions) {
  const { item, first, last } = row;
  const before = shown.get(element);
  if (before?.item === item && before.first === first && before.last === last) return;
  shown.set(element, row);
  element.classList.toggle('first', first);
  element.classList.toggle('last', last);
  element.classList.toggle('streaming', Boolean(item.streaming));
  element.classList.toggle('jumbo', JUMBO.test(item.text));
  if (before?.item.text !== item.text) showText(element, item);
  // What is still being written is read out once it is whole.
  if (item.streaming) element.setAttribute('aria-busy', 'true');
  else element.removeAttribute('aria-busy');
  updateState(element, item, actions);
}

/** @param {HTMLElement} element @param {Item} item */
function showText(element, { sender, text }) {
  const place = part(element, '.text');
  if (sender === 'ai') showMarkdown(place, text);
  else place.textContent = text;
}

/** @param {HTMLElement} element @param {Item} item @param {Actions} actions */
function updateState(element, item, actions) {
  const state = [item.status, item.streaming, item.finish, item.error?.message, Number(item.at)].join();
  if (drawn.get(element) === state) return; // or a button would be replaced under a finger
  drawn.set(element, state);
  if (item.status) element.dataset.status = item.status;
  if (item.finish) element.dataset.finish = item.finish;
  part(element, '.meta').replaceChildren(...meta(item));
  part(element, '.actions').replaceChildren(...below(item, actions));
}

/** @param {Item} item @returns {Node[]} */
function meta({ at, status, streaming }) {
  if (streaming) return [];
  const time = el('time', { datetime: at.toISOString(), title: fullTime(at) }, clockTime(at));
  if (!status) return [time];
  return [
    time,
    el('span', { class: 'read-mark' }, 'Read'),
    el('span', { class: 'tick' }, icon(STATUS_ICONS[status]), spoken(STATUS_WORDS[status])),
  ];
}

/** @param {Item} item @param {Actions} actions @returns {Node[]} */
function below({ id, status, finish, error }, { retry, edit, discard }) {
  if (finish) return [el('span', { class: 'finish' }, FINISH_WORDS[finish] ?? 'Not complete')];
  if (status !== 'failed') return [];
  return [
    el('span', { class: 'reason' }, toPeople(error?.message ?? 'Not delivered')),
    button('retry', 'retry', 'Retry', () => retry(id)),
    button('edit', 'pen', 'Edit', () => edit(id)),
    button('discard', 'bin', 'Delete', () => discard(id)),
  ];
}

/** @param {string} testid @param {string} picture @param {string} label @param {() => void} onclick */
function button(testid, picture, label, onclick) {
  return el('button', { type: 'button', 'data-testid': testid, onclick }, icon(picture), label);
}

/** @param {HTMLElement} element @param {string} selector */
function part(element, selector) {
  return /** @type {HTMLElement} */ (element.querySelector(selector));
}
