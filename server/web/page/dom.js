/** Building elements. Text only ever becomes text: nothing here reads HTML. */

/** @typedef {Node | string | null | false | undefined} Child */

/**
 * An element with attributes; a function is a listener (`onclick`), `true` an empty attribute, and what is
 * false or undefined is left out.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | undefined | ((event: any) => void)>} [attributes]
 * @param {Child[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false)
      element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(
    ...children.filter((child) => child || child === '').map((child) => /** @type {Node | string} */ (child)),
  );
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** One of the page's icons, which says nothing to a screen reader. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Text for screen readers only. @param {string} text */
export function spoken(text) {
  return el('span', { class: 'sr-only' }, text);
}

/**
 * The page's own element that `selector` names.
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @returns {T}
 */
export function find(selector) {
  const element = document.querySelector(selector);
  if (!element) throw new Error(`The page has no ${selector}`);
  return /** @type {T} */ (/** @type {unknown} */ (element));
}

/**
 * Makes a span the avatar of somebody: initials on a colour of their own.
 * @param {HTMLElement} span
 * @param {{id: string, name: string, status?: string}} who
 */
export function paintAvatar(span, { id, name, status }) {
  span.textContent = initials(name);
  span.style.setProperty('--hue', String(hue(id)));
  if (status) span.dataset.status = status;
  else delete span.dataset.status;
  return span;
}

/** @param {string} name */
function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words[words.length - 1] : ''].map(
    (word) => [...word][0] ?? '',
  );
  return letters.join('').toUpperCase();
}

/** A colour for somebody, always the same: an angle. @param {string} id */
function hue(id) {
  let sum = 0;
  for (const char of id) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return sum;
}
