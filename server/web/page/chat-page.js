/** The page while somebody is there: the client's events on the screen, a person's actions into the client. */

import { ChatManager } from '../chat-client.js';
import { Activity } from './activity.js';
import { Chats, nameHere } from './chats.js';
import { ConnectionBanner } from './connection.js';
import { ConversationList } from './conversations.js';
import { clientIdOfTab } from './device.js';
import { find } from './dom.js';
import { dayKey, nameOf } from './format.js';
import { showAI, showDevices, showJump, showUnread, showUser } from './header.js';
import { Older } from './history.js';
import { MessageList } from './messages.js';
import { conversationOf } from './names.js';
import { Notices } from './notices.js';
import { Outgoing } from './outgoing.js';
import { PAGE, SERVER, addressOf, asked } from './place.js';
import { Reading } from './reading.js';
import { askWho } from './start.js';
import { token } from './token.js';

/** @typedef {import('../chat-client.js').Frame} Frame */
/** @typedef {import('./timeline.js').Item} Item */

const TICK = 5_000;

export class ChatPage {
  #user;
  #chat;
  #chats;
  #list = new ConversationList(
    (id) => addressOf(this.#user, id),
    (id) => this.open(id),
  );
  #notices = new Notices(find('[data-part=toasts]'), find('[data-part=notices]'));
  #banner = new ConnectionBanner({
    connect: () => this.#chat.connect(),
    home: () => this.#home(),
    rename: () => location.assign(PAGE),
    hasToken: () => token() !== '',
  });
  #messages = new MessageList(find('[data-testid=messages]'), find('.scroller'), {
    retry: (id) => this.#outgoing.retry(id),
    edit: (id) => this.#outgoing.edit(id),
    discard: (id) => this.#outgoing.discard(id),
  });
  #older = new Older(find('[data-part=older]'), find('.scroller'), {
    load: (before, limit) => this.#loadOlder(before, limit),
    above: (change) => this.#messages.above(change),
    write: (text) => this.#outgoing.composer.write(text),
  });
  #reading = new Reading({
    items: () => this.#messages.items,
    following: () => this.#messages.following,
    read: (id) => this.#chat.markRead(id).catch(() => {}), // the next one says it too
    unseen: (count) => this.#countUnseen(count),
  });
  #activity;
  #outgoing;
  /** The log that is shown. @type {string | null} */
  #epoch = null;
  /** The day on which it was drawn. */
  #day = dayKey(new Date());

  /** @param {string} user */
  constructor(user) {
    this.#user = user;
    this.#chat = new ChatManager({
      url: SERVER.href,
      userId: user,
      conversationId: conversationOf(user, 'alex'),
      clientId: clientIdOfTab(),
      getToken: token,
    });
    this.#activity = new Activity(this.#chat, this.#messages, this.#notices);
    this.#outgoing = new Outgoing(this.#chat, this.#messages, this.#notices);
    this.#chats = new Chats(this.#chat, this.#list, (readUpTo) => {
      this.#reading.known(readUpTo(this.#chat.conversationId));
      this.#showUnread();
    });
    showUser(user, nameHere(user, user), token() ? null : PAGE); // a token says whose it is
    this.#listen();
    this.#watchPage();
  }

  /** Opens the user's newest conversation, or one with the first companion. */
  async openNewest() {
    await this.#chats.refresh();
    this.open(this.#list.ids[0] ?? conversationOf(this.#user, 'alex'), 'replace');
  }

  /** Makes a conversation with a companion of this name and opens it. @param {string} companion @param {'push' | 'replace'} [place] */
  async openWith(companion, place) {
    this.open(await this.#chats.create(companion), place);
  }

  /** Shows a conversation and connects to it. @param {string} id @param {'push' | 'replace' | 'keep'} [place] what becomes of the address */
  open(id, place = 'push') {
    document.body.dataset.view = 'chat';
    if (place === 'push' && id === this.#chat.conversationId && this.#chat.state === 'open')
      return this.#outgoing.composer.focus();
    if (place === 'push') history.pushState(null, '', addressOf(this.#user, id));
    if (place === 'replace') history.replaceState(null, '', addressOf(this.#user, id));
    this.#forget();
    if (!this.#list.get(id)) this.#list.update(id, { ai: { id, name: nameOf(id) } });
    this.#list.current = id;
    this.#showAI();
    if (id === this.#chat.conversationId) this.#chat.connect();
    else this.#chat.switchConversation(id);
    this.#outgoing.open(`chat/draft/${this.#user}/${id}`);
    this.#outgoing.composer.focus();
  }

  /** Nothing is known of the conversation that is opened now. */
  #forget() {
    this.#epoch = null;
    this.#messages.clear();
    this.#older.reset();
    this.#activity.reset();
    this.#activity.answered();
    this.#reading.reset();
  }

  #listen() {
    const chat = this.#chat;
    chat.on('state', (state, detail) => this.#banner.show(state, detail));
    chat.on('system', (frame) => this.#system(frame));
    chat.on('message', (frame) => this.#arrived(frame));
    chat.on('receipt', (frame) => this.#receipt(frame));
    chat.on('aiStatus', ({ data }) => this.#aiStatus(data.ai_id, data.status));
    chat.on('match', ({ data }) => this.#notices.match(data.ai, () => this.open(data.conversation_id)));
    for (const name of /** @type {const} */ (['match', 'conversation']))
      chat.on(name, ({ data }) => this.#added(data));
    chat.on('error', (error) => console.warn(error.code, error.message)); // nothing a person could do about it
  }

  #watchPage() {
    find('.scroller').addEventListener('scroll', () => this.#messages.following && this.#reading.look(), {
      passive: true,
    });
    addEventListener('popstate', () => this.open(asked().conversation ?? this.#chat.conversationId, 'keep'));
    addEventListener('hashchange', () =>
      this.#chat.state === 'open' ? this.#chat.refreshToken() : this.#chat.connect(),
    );
    document.addEventListener('visibilitychange', () => this.#tick());
    setInterval(() => this.#tick(), TICK);
    find('[data-part=jump]').onclick = () => this.#messages.toEnd();
    find('[data-part=back]').onclick = () => (document.body.dataset.view = 'list');
    find('[data-part=new-chat]').onclick = () => this.#newChat();
  }

  /** What changes by itself: the day, and what happens in other conversations. */
  #tick() {
    this.#chats.tick();
    if (this.#day === dayKey(new Date())) return;
    this.#day = dayKey(new Date());
    this.#messages.redraw();
    this.#list.redraw();
  }

  async #newChat() {
    const who = await askWho(true);
    if (who) await this.openWith(who.companion);
  }

  /** A way out of a conversation that cannot be opened. */
  async #home() {
    this.#list.remove(this.#chat.conversationId);
    await this.#chats.refresh();
    const [latest] = this.#list.ids;
    if (latest) this.open(latest);
    else await this.#newChat();
  }

  /** @param {Frame} frame */
  #system({ data }) {
    if (data.event === 'connected') this.#welcomed(data);
    if (data.event === 'announcement') this.#notices.announcement(data.text);
    if ('devices' in data) showDevices(data.devices);
  }

  /** @param {import('../chat-client.js').Welcome} welcome */
  #welcomed({ epoch, last_seq, ai, max_text_length }) {
    this.#outgoing.composer.limit = max_text_length;
    this.#list.update(this.#chat.conversationId, { ai: { ...ai, name: nameHere(ai.id, ai.name) } });
    this.#showAI();
    if (this.#epoch === null) {
      this.#reading.begin(last_seq);
      void this.#older.from(last_seq + 1);
    } else if (this.#epoch !== epoch) {
      this.#messages.clear(); // another log, which the client reads from its start
      this.#reading.reset();
    }
    this.#epoch = epoch;
    void this.#chats.refresh();
  }

  /** @param {{conversation_id: string, ai: {id: string, name: string}}} conversation a new one */
  #added({ conversation_id: id, ai }) {
    this.#list.update(id, { ai, at: new Date() });
    void this.#chats.refresh();
  }

  /** A saved message. @param {Frame} frame */
  #arrived(frame) {
    const item = this.#item(frame);
    this.#messages.set(item);
    this.#activity.arrived(frame);
    this.#list.update(this.#chat.conversationId, {
      last: item.sender === 'user' ? `You: ${item.text}` : item.text,
      at: item.at,
    });
    this.#reading.look();
  }

  /** @param {Frame} frame @returns {Item} */
  #item({ type, message_id: id = '', data, timestamp = '', seq, finish }) {
    const own = type === 'CHAT_MESSAGE';
    return {
      id,
      sender: own ? 'user' : 'ai',
      text: String(data),
      at: new Date(timestamp),
      seq,
      status: own ? (this.#chat.pendingMessages.has(id) ? 'sending' : 'delivered') : undefined,
      finish,
    };
  }

  /** @param {number} before @param {number} limit */
  async #loadOlder(before, limit) {
    const conversation = this.#chat.conversationId;
    const { items, has_more } = await this.#chat.history({ beforeSeq: before, limit });
    if (conversation !== this.#chat.conversationId) return false;
    this.#messages.prepend(items.map((frame) => this.#item(frame)));
    if (items[0]?.seq) this.#older.shown(items[0].seq);
    this.#reading.look();
    return has_more;
  }

  /** @param {Frame} frame */
  #receipt({ sender, data }) {
    if (sender !== this.#user) return this.#messages.readUpTo(data.seq);
    this.#reading.elsewhere(data.seq);
    void this.#chats.refresh();
  }

  get #ai() {
    return this.#list.get(this.#chat.conversationId)?.ai ?? { id: 'ai', name: 'AI' };
  }

  /** @param {string} id @param {string} status */
  #aiStatus(id, status) {
    this.#list.setStatus(id, status);
    this.#showAI();
  }

  /** The header, and every other place where the other side is named. */
  #showAI() {
    const ai = this.#ai;
    this.#messages.ai = ai;
    this.#older.ai = ai;
    this.#activity.ai = ai;
    this.#outgoing.composer.to = ai.name;
    showAI(ai);
    this.#showUnread();
  }

  /** @param {number} count of new messages that nobody has looked at */
  #countUnseen(count) {
    this.#list.currentUnread = count;
    this.#showUnread();
    showJump(count, this.#messages.following);
  }

  #showUnread() {
    showUnread(this.#ai.name, this.#list.unread, this.#list.unreadElsewhere);
  }
}
