/** The choice between the system's theme, light and dark. */

import { find, icon } from './dom.js';
import { ofBrowser } from './keep.js';

const THEMES = [
  { name: 'auto', label: 'System theme' },
  { name: 'light', label: 'Light theme' },
  { name: 'dark', label: 'Dark theme' },
];
const ICONS = /** @type {Record<string, string>} */ ({ auto: 'auto', light: 'sun', dark: 'moon' });

/** @param {HTMLElement} button goes through them */
export function offerThemes(button) {
  let index = Math.max(
    0,
    THEMES.findIndex(({ name }) => name === document.documentElement.dataset.theme),
  );
  const show = () => {
    const { name, label } = THEMES[index];
    if (name === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.querySelector('svg')?.replaceWith(icon(ICONS[name]));
    find('[data-part=theme] span').textContent = label;
  };
  button.addEventListener('click', () => {
    index = (index + 1) % THEMES.length;
    show();
    ofBrowser('chat/theme').set(index ? THEMES[index].name : '');
  });
  show();
}
