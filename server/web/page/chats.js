/** The user's conversations as the server knows them: asked for again and again, and made anew. */

import { FORBIDDEN } from './history.js';
import { ofBrowser } from './keep.js';
import { conversationOf, idOf } from './names.js';
import { SERVER } from './place.js';
import { token } from './token.js';

/** @typedef {import('../chat-client.js').ChatManager} ChatManager */
/** @typedef {import('./conversations.js').ConversationList} ConversationList */

// What happens in other conversations is asked for: a connection tells only of its own. A page that nobody
// sees has a title that somebody may.
const ASK_EVERY = 5_000;
const ASK_EVERY_UNSEEN = 30_000;

export class Chats {
  #chat;
  #list;
  #told;
  #askedAt = -Infinity;
  #isForbidden = false;

  /**
   * @param {ChatManager} chat
   * @param {ConversationList} list shows them
   * @param {(readUpTo: (id: string) => number | undefined) => void} told is called after every answer
   */
  constructor(chat, list, told) {
    this.#chat = chat;
    this.#list = list;
    this.#told = told;
  }

  /** Asks if it is time. */
  tick() {
    const every = document.visibilityState === 'visible' ? ASK_EVERY : ASK_EVERY_UNSEEN;
    if (performance.now() - this.#askedAt >= every - ASK_EVERY / 2) void this.refresh();
  }

  async refresh() {
    if (this.#isForbidden) return;
    this.#askedAt = performance.now();
    try {
      const known = await this.#chat.conversations();
      this.#list.replace(known.map(shown));
      this.#told((id) => known.find((item) => item.conversation_id === id)?.last_read_seq);
    } catch (error) {
      // Else the list stays as it is: the banner tells of a connection that is lost.
      this.#isForbidden = FORBIDDEN.includes(/** @type {{code?: string}} */ (error).code ?? '');
    }
  }

  /** Makes the conversation with a companion whose name somebody wrote, and gives its id. @param {string} name */
  async create(name) {
    const companion = idOf(name);
    const id = conversationOf(this.#chat.userId, companion);
    const ai = { id: `ai_${companion}`, name };
    const made = await post({ user_id: this.#chat.userId, conversation_id: id, ai }).catch(() => false);
    // Who may not make it makes it by joining it: then the name is known here alone.
    if (!made) ofBrowser(`chat/name/${ai.id}`).set(name);
    return id;
  }
}

/** The name of somebody whom a person here has named, else the one given. @param {string} id @param {string} otherwise */
export function nameHere(id, otherwise) {
  return ofBrowser(`chat/name/${id}`).get() ?? otherwise;
}

/** @param {object} body @returns {Promise<boolean>} whether the server took it */
async function post(body) {
  const headers = {
    'Content-Type': 'application/json',
    ...(token() && { Authorization: `Bearer ${token()}` }),
  };
  const response = await fetch(new URL('api/conversations', SERVER), {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  return response.ok;
}

/** A conversation of the server's list as it is shown. @param {import('../chat-client.js').Conversation} item @returns {import('./conversations.js').Conversation} */
function shown({ conversation_id: id, ai, last_message: last, unread }) {
  return {
    id,
    ai: { ...ai, name: nameHere(ai.id, ai.name) },
    last: last ? `${last.type === 'CHAT_MESSAGE' ? 'You: ' : ''}${last.data}` : undefined,
    at: last ? new Date(last.timestamp) : undefined,
    unread,
  };
}
