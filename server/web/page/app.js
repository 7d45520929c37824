/** Starts the chat page: finds out who is there and with whom they talk. */

import { ChatPage } from './chat-page.js';
import { find } from './dom.js';
import { ofBrowser } from './keep.js';
import { idOf, isIdentifier } from './names.js';
import { asked } from './place.js';
import { askWho } from './start.js';
import { offerThemes } from './themes.js';
import { token, userOf } from './token.js';

async function start() {
  offerThemes(find('[data-part=theme]'));
  const { user, conversation } = asked();
  const known = user ?? userOf(token());
  const who = known === null ? await askWho(false) : null;
  const name = known ?? who?.name ?? '';
  const page = new ChatPage(known && isIdentifier(known) ? known : named(name));
  find('.app').hidden = false;
  if (who) await page.openWith(who.companion, 'replace');
  else if (conversation) page.open(conversation, 'replace');
  else await page.openNewest();
}

/** The user with this name, which is shown here from now on. @param {string} name */
function named(name) {
  const user = idOf(name);
  ofBrowser(`chat/name/${user}`).set(name);
  return user;
}

void start();
