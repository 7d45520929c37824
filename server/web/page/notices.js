/** What is told beside the conversation: toasts for faults, notices for news. */

import { el, icon, paintAvatar } from './dom.js';

const TOAST_FOR = 8_000;
// More would hide the conversation.
const MOST = 3;

export class Notices {
  #toasts;
  #notices;

  /** @param {HTMLElement} toasts @param {HTMLElement} notices */
  constructor(toasts, notices) {
    this.#toasts = toasts;
    this.#notices = notices;
  }

  /**
   * Shows a fault; one of the same kind makes room for it.
   * @param {string} text
   * @param {string} [kind]
   */
  toast(text, kind = text) {
    for (const other of this.#toasts.querySelectorAll(`[data-kind="${CSS.escape(kind)}"]`)) other.remove();
    const toast = el(
      'div',
      { class: 'toast', role: 'alert', 'data-testid': 'toast', 'data-kind': kind },
      icon('info'),
      el('span', {}, text),
    );
    toast.append(closeButton(toast));
    show(this.#toasts, toast);
    goAfter(toast, TOAST_FOR);
  }

  /** Something the server says to everybody. @param {string} text */
  announcement(text) {
    this.#notice('announcement', icon('info'), el('span', { class: 'notice-text', tabindex: 0 }, text));
  }

  /** @param {{id: string, name: string}} ai @param {() => void} open */
  match(ai, open) {
    const notice = this.#notice(
      'match',
      paintAvatar(el('span', { class: 'avatar', 'aria-hidden': 'true' }), ai),
      el(
        'span',
        { class: 'notice-text' },
        el('strong', {}, 'A new match'),
        el('span', {}, `${ai.name} would like to talk to you.`),
      ),
    );
    const go = () => {
      notice.remove();
      open();
    };
    notice.insertBefore(
      el('button', { class: 'primary small', type: 'button', onclick: go }, 'Say hello'),
      notice.lastElementChild,
    );
  }

  /** @param {string} testid @param {Node[]} children */
  #notice(testid, ...children) {
    const notice = el('div', { class: 'notice', role: 'status', 'data-testid': testid }, ...children);
    notice.append(closeButton(notice));
    show(this.#notices, notice);
    return notice;
  }
}

/** The newest few stay. @param {HTMLElement} place @param {HTMLElement} element */
function show(place, element) {
  place.append(element);
  while (place.children.length > MOST) place.firstElementChild?.remove();
}

/** @param {HTMLElement} owner */
function closeButton(owner) {
  return el(
    'button',
    { class: 'close', type: 'button', 'aria-label': 'Dismiss', onclick: () => owner.remove() },
    icon('cross'),
  );
}

/** Removes the element after a while in which nobody points at it or has the focus in it. @param {HTMLElement} element @param {number} ms */
function goAfter(element, ms) {
  setTimeout(() => (element.matches(':hover, :focus-within') ? goAfter(element, ms) : element.remove()), ms);
}
