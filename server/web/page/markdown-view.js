/** Shows a Markdown tree as elements, built one by one: nothing is read as HTML. */

import { el } from './dom.js';
import { parse } from './markdown.js';

/** @typedef {import('./markdown.js').Block} Block */
/** @typedef {import('./markdown.js').Inline} Inline */

/** From what an element was made. @type {WeakMap<Element, string>} */
const sources = new WeakMap();

/** Shows a text that may have grown: the blocks that are the same stay, and what a person has selected in them. @param {HTMLElement} place @param {string} text */
export function showMarkdown(place, text) {
  const blocks = parse(text);
  blocks.forEach((block, index) => {
    const there = place.children[index];
    if (there && sources.get(there) === block.source) return;
    const element = blockOf(block);
    sources.set(element, block.source);
    if (there) there.replaceWith(element);
    else place.append(element);
  });
  while (place.children.length > blocks.length) place.lastElementChild?.remove();
}

/** @param {Block} block @returns {HTMLElement} */
function blockOf(block) {
  switch (block.kind) {
    case 'paragraph':
      return el('p', {}, ...inlines(block.inline));
    case 'heading':
      // Not a heading of the page: a message is no part of its outline.
      return el('p', { class: `heading h${block.level}` }, ...inlines(block.inline));
    case 'code':
      return el(
        'pre',
        { tabindex: 0 },
        block.language && el('span', { class: 'language' }, block.language),
        el('code', {}, block.text),
      );
    case 'rule':
      return el('hr');
    case 'quote':
      return el('blockquote', {}, ...block.blocks.map(blockOf));
    case 'list':
      return listOf(block.start, block.items);
    case 'table':
      return tableOf(block.head, block.rows);
  }
}

/** @param {number | null} start @param {Block[][]} items */
function listOf(start, items) {
  const entries = items.map((blocks) => el('li', {}, ...blocks.map(blockOf)));
  return start === null ? el('ul', {}, ...entries) : el('ol', { start }, ...entries);
}

/** @param {Inline[][]} head @param {Inline[][][]} rows */
function tableOf(head, rows) {
  const row = (/** @type {'th' | 'td'} */ tag, /** @type {Inline[][]} */ cells) =>
    el('tr', {}, ...cells.map((cell) => el(tag, {}, ...inlines(cell))));
  const table = el(
    'table',
    {},
    el('thead', {}, row('th', head)),
    el('tbody', {}, ...rows.map((cells) => row('td', cells))),
  );
  return el('div', { class: 'wide', tabindex: 0 }, table);
}

/** @param {Inline[]} nodes @returns {(Node | string)[]} */
function inlines(nodes) {
  return nodes.map((node) => {
    if (typeof node === 'string') return node;
    if (node.kind === 'code') return el('code', {}, node.text);
    const children = inlines(node.inline);
    if (node.kind !== 'link') return el(node.kind, {}, ...children);
    return el('a', { href: node.href, target: '_blank', rel: 'noopener noreferrer' }, ...children);
  });
}
