/** The chat page: puts the client's events on the screen, and a person's actions into the client. */

import { ChatManager } from '../chat-client.js';
import { Composer } from './composer.js';
import { ConnectionBanner } from './connection.js';
import { ConversationList } from './conversations.js';
import { el, find, icon, paintAvatar, spoken } from './dom.js';
import { nameOf, plural, short, toPeople } from './format.js';
import { Older } from './history.js';
import { ofTab } from './keep.js';
import { MessageList } from './messages.js';
import { Notices } from './notices.js';
import { askWho } from './start.js';
import { offerThemes } from './themes.js';
import { token, userOf } from './token.js';

/** @typedef {import('../chat-client.js').Frame} Frame */
/** @typedef {import('../chat-client.js').ChatError} ChatError */
/** @typedef {import('../chat-client.js').Status} Status */

// Where the server is, with the path below which a proxy may offer it.
const HOME = new URL('../..', import.meta.url);
// What happens in other conversations is asked for: a connection tells only of its own.
const LIST_EVERY = 5_000;
const STATUS_WORDS = /** @type {Record<string, string>} */ ({
  online: 'Online',
  away: 'Away',
  offline: 'Offline',
});

class ChatPage {
  #user;
  #chat;
  #conversations = new ConversationList(
    find('[data-testid=conversations]'),
    (id) => address(this.#user, id),
    (id) => this.open(id),
  );
  #notices = new Notices(find('[data-part=toasts]'), find('[data-part=notices]'));
  #composer = new Composer(
    (text) => this.#send(text),
    (on) => this.#chat.setTyping(on),
  );
  #banner = new ConnectionBanner(
    find('[data-testid=connection]'),
    find('[data-part=connection-said]'),
    () => this.#chat.connect(),
    () => token() !== '',
  );
  #messages = new MessageList(find('[data-testid=messages]'), find('.scroller'), {
    retry: (id) => this.#retry(id),
    discard: (id) => this.#discard(id),
    stop: (id) => this.#stop(id),
  });
  #older = new Older(find('[data-part=older]'), find('.scroller'), {
    load: (before, limit) => this.#loadOlder(before, limit),
    above: (change) => this.#messages.above(change),
    write: (text) => this.#composer.write(text),
  });
  /** The log that is shown. @type {string | null} */
  #epoch = null;
  /** Up to where this user has read. */
  #readSeq = 0;
  /** New messages that nobody has looked at. */
  #unseen = 0;
  /** What is said of who types, by sender. @type {Map<string, string>} */
  #typing = new Map();

  /** @param {string} user @param {string} conversation */
  constructor(user, conversation) {
    this.#user = user;
    const device = ofTab('chat/client');
    this.#chat = new ChatManager({
      url: HOME.href,
      userId: user,
      conversationId: conversation,
      clientId: device.get() ?? undefined,
      getToken: token,
    });
    device.set(this.#chat.clientId);
    find('[data-part=me-name]').textContent = user;
    paintAvatar(find('[data-part=me-avatar]'), { id: user, name: user });
    this.#listen();
    this.#watchPage();
  }

  /** The user's conversations, newest first; none where the server does not say. */
  async known() {
    await this.#refreshList();
    return this.#conversations.ids;
  }

  /** Shows a conversation and connects to it. @param {string} id @param {'push' | 'replace' | 'keep'} [place] what becomes of the address */
  open(id, place = 'push') {
    document.body.dataset.view = 'chat';
    if (place === 'push' && id === this.#chat.conversationId && this.#chat.state === 'open')
      return this.#composer.focus();
    if (place === 'push') history.pushState(null, '', address(this.#user, id));
    if (place === 'replace') history.replaceState(null, '', address(this.#user, id));
    this.#forget();
    if (!this.#conversations.get(id)) this.#conversations.update(id, { ai: { id, name: nameOf(id) } });
    this.#conversations.current = id;
    this.#composer.open(`chat/draft/${this.#user}/${id}`);
    this.#showAI();
    if (id === this.#chat.conversationId) this.#chat.connect();
    else this.#chat.switchConversation(id);
    this.#composer.focus();
  }

  /** Nothing is known of the conversation that is opened now. */
  #forget() {
    this.#epoch = null;
    this.#readSeq = 0;
    this.#messages.clear();
    this.#older.reset();
    this.#type(null);
    this.#countUnseen(0);
  }

  #listen() {
    const chat = this.#chat;
    chat.on('state', (state, detail) => this.#state(state, detail));
    chat.on('system', (frame) => this.#system(frame));
    chat.on('message', (frame) => this.#arrived(frame));
    chat.on('status', (id, status, error) => this.#ownStatus(id, status, error));
    chat.on('chunk', (frame, text) => this.#chunk(frame, text));
    chat.on('typing', ({ sender = '', data }) => this.#type(sender, data.is_typing));
    chat.on('receipt', (frame) => this.#receipt(frame));
    chat.on('aiStatus', ({ data }) => this.#aiStatus(data.ai_id, data.status));
    chat.on('match', ({ data }) => this.#notices.match(data.ai, () => this.open(data.conversation_id)));
    for (const name of /** @type {const} */ (['match', 'conversation']))
      chat.on(name, ({ data }) => this.#added(data));
    chat.on('error', (error) => console.warn(error.code, error.message)); // nothing a person could do about it
  }

  #watchPage() {
    const scroller = find('.scroller');
    scroller.addEventListener('scroll', () => this.#messages.following && this.#caughtUp(), {
      passive: true,
    });
    document.addEventListener('visibilitychange', () => this.#caughtUp());
    addEventListener('popstate', () =>
      this.open(
        new URLSearchParams(location.search).get('conversation') ?? this.#chat.conversationId,
        'keep',
      ),
    );
    addEventListener('hashchange', () =>
      this.#chat.state === 'open' ? this.#chat.refreshToken() : this.#chat.connect(),
    );
    find('[data-part=jump]').onclick = () => this.#messages.toEnd();
    find('[data-part=back]').onclick = () => (document.body.dataset.view = 'list');
    find('[data-part=new-chat]').onclick = async () => {
      const who = await askWho(this.#user);
      if (who) this.open(who.conversation);
    };
    setInterval(() => document.visibilityState === 'visible' && this.#refreshList(), LIST_EVERY);
  }

  /** @param {import('../chat-client.js').State} state @param {import('../chat-client.js').StateDetail} detail */
  #state(state, detail) {
    this.#banner.show(state, detail);
    this.#type(null); // who types is told anew
  }

  /** @param {Frame} frame */
  #system({ data }) {
    if (data.event === 'connected') this.#welcomed(data);
    if (data.event === 'announcement') this.#notices.announcement(data.text);
    if (data.devices) this.#devices(data.devices);
  }

  /** @param {any} welcome */
  #welcomed({ epoch, last_seq, ai, max_text_length }) {
    this.#composer.limit = max_text_length;
    this.#conversations.update(this.#chat.conversationId, { ai });
    this.#showAI();
    // An answer that is still being written comes again, with all of it so far.
    for (const { id, streaming } of [...this.#messages.items]) if (streaming) this.#messages.delete(id);
    if (this.#epoch === null) void this.#older.from(last_seq + 1);
    else if (this.#epoch !== epoch) this.#messages.clear(); // another log, which the client reads from its start
    this.#epoch = epoch;
    void this.#refreshList();
  }

  /** @param {{conversation_id: string, ai: {id: string, name: string}}} conversation a new one */
  #added({ conversation_id: id, ai }) {
    this.#conversations.update(id, { ai, at: new Date() });
    void this.#refreshList();
  }

  /** A saved message. @param {Frame} frame */
  #arrived(frame) {
    const item = this.#item(frame);
    this.#messages.set(item);
    this.#type(frame.sender ?? '', false);
    this.#conversations.update(this.#chat.conversationId, {
      last: item.sender === 'user' ? `You: ${item.text}` : item.text,
      at: item.at,
    });
    if (item.sender === 'ai' && !this.#looking) this.#countUnseen(this.#unseen + 1);
    this.#caughtUp();
  }

  /** @param {Frame} frame @returns {import('./timeline.js').Item} */
  #item({ type, message_id: id = '', data, timestamp = '', seq, finish }) {
    const own = type === 'CHAT_MESSAGE';
    return {
      id,
      sender: own ? 'user' : 'ai',
      text: String(data),
      at: new Date(timestamp),
      seq,
      status: own ? (this.#chat.pendingMessages.has(id) ? 'sending' : 'delivered') : undefined,
      stopped: finish === 'cancelled',
    };
  }

  /** @param {Frame} frame @param {string} text */
  #chunk({ message_id: id = '', timestamp, data }, text) {
    if (data.aborted) return this.#messages.delete(id);
    this.#messages.set({ id, sender: 'ai', text, at: new Date(timestamp ?? Date.now()), streaming: true });
  }

  /** @param {string} id @param {Status} status @param {ChatError} [error] */
  #ownStatus(id, status, error) {
    const frame = (this.#chat.pendingMessages.get(id) ?? this.#chat.failedMessages.get(id))?.frame;
    const known = this.#messages.get(id);
    if (frame)
      this.#messages.set({
        id,
        sender: 'user',
        text: frame.data,
        at: new Date(frame.timestamp ?? Date.now()),
        status,
        error,
      });
    else if (known) this.#messages.set({ ...known, status, error });
    if (status === 'sending') this.#messages.toEnd();
    if (status === 'delivered' && known) this.#composer.delivered(known.text);
    // What had failed before is only shown again.
    if (error && known?.status === 'sending') this.#notices.toast(explain(error));
  }

  /** Sends a text, or again the failed message it still stands for. @param {string} text */
  #send(text) {
    const failed = [...this.#chat.failedMessages.values()].findLast(({ frame }) => frame.data === text);
    return failed ? this.#again(failed.frame.message_id) : this.#chat.sendMessage(text);
  }

  /** @param {string} id */
  #retry(id) {
    const text = this.#messages.get(id)?.text.trim() ?? '';
    void this.#composer.follow(text, this.#again(id));
    this.#composer.focus();
  }

  /** @param {string} id */
  #again(id) {
    this.#messages.delete(id);
    return this.#chat.retry(id);
  }

  /** @param {string} id */
  #discard(id) {
    this.#chat.discard(id);
    this.#messages.delete(id);
    this.#composer.focus();
  }

  /** @param {string} id */
  #stop(id) {
    this.#chat
      .cancelResponse(id)
      .catch((error) => this.#messages.get(id)?.streaming && this.#notices.toast(explain(error)));
  }

  /** @param {number} before @param {number} limit */
  async #loadOlder(before, limit) {
    const conversation = this.#chat.conversationId;
    const { items, has_more } = await this.#chat.history({ beforeSeq: before, limit });
    if (conversation !== this.#chat.conversationId) return false;
    this.#messages.prepend(items.map((frame) => this.#item(frame)));
    if (items[0]?.seq) this.#older.shown(items[0].seq);
    this.#caughtUp();
    return has_more;
  }

  /** @param {Frame} frame */
  #receipt({ sender, data }) {
    if (sender !== this.#user) return this.#messages.readUpTo(data.seq);
    this.#readSeq = Math.max(this.#readSeq, data.seq);
    void this.#refreshList();
  }

  /** Whether a person has the newest message before their eyes. */
  get #looking() {
    return document.visibilityState === 'visible' && this.#messages.following;
  }

  /** Whatever is in view has been read. */
  #caughtUp() {
    if (!this.#looking) return;
    this.#countUnseen(0);
    const newest = [...this.#messages.items]
      .filter(({ sender, seq }) => sender === 'ai' && seq)
      .reduce(
        (a, b) => ((a?.seq ?? 0) > (b.seq ?? 0) ? a : b),
        /** @type {import('./timeline.js').Item | null} */ (null),
      );
    if (!newest?.seq || newest.seq <= this.#readSeq) return;
    this.#readSeq = newest.seq;
    this.#chat.markRead(newest.id).catch(() => {}); // the next one says it too
  }

  /** @param {number} count */
  #countUnseen(count) {
    this.#unseen = count;
    this.#showUnread();
    const jump = find('[data-part=jump]');
    jump.hidden = count === 0 || this.#messages.following;
    find('[data-part=jump] span').textContent = plural(count, 'new message', 'new messages');
  }

  /** @param {string | null} sender null: nobody types @param {boolean} [on] */
  #type(sender, on = false) {
    if (sender === null) this.#typing.clear();
    else if (on)
      this.#typing.set(
        sender,
        sender === this.#user ? 'You are typing on another device…' : `${this.#ai.name} is typing…`,
      );
    else this.#typing.delete(sender);
    const line = find('[data-testid=typing]');
    line.hidden = this.#typing.size === 0;
    const dots = el('span', { class: 'dots', 'aria-hidden': 'true' }, el('i'), el('i'), el('i'));
    line.replaceChildren(dots, el('span', {}, [...this.#typing.values()].join(' ')));
    if (!line.hidden && this.#messages.following) this.#messages.toEnd();
  }

  /** @param {number} count */
  #devices(count) {
    const chip = find('[data-testid=devices]');
    chip.hidden = false;
    chip.title = `${plural(count, 'device', 'devices')} in this chat`;
    chip.replaceChildren(icon('devices'), String(count), spoken(count === 1 ? ' device' : ' devices'));
  }

  get #ai() {
    return this.#conversations.get(this.#chat.conversationId)?.ai ?? { id: 'ai', name: 'AI' };
  }

  /** @param {string} id @param {string} status */
  #aiStatus(id, status) {
    this.#conversations.setStatus(id, status);
    this.#showAI();
  }

  /** The header, and every other place where the other side is named. */
  #showAI() {
    const ai = this.#ai;
    this.#messages.ai = ai;
    this.#older.ai = ai;
    this.#composer.to = ai.name;
    paintAvatar(find('[data-part=ai-avatar]'), ai);
    find('[data-part=ai-name]').textContent = ai.name;
    find('[data-part=ai-status]').textContent = STATUS_WORDS[ai.status ?? ''] ?? '';
    this.#showUnread();
  }

  #showUnread() {
    const elsewhere = this.#conversations.unreadElsewhere;
    const unread = elsewhere + this.#unseen;
    document.title = `${unread ? `(${unread}) ` : ''}${this.#ai.name}`;
    const badge = find('[data-part=elsewhere]');
    badge.hidden = elsewhere === 0;
    badge.replaceChildren(short(elsewhere), spoken(' unread'));
  }

  async #refreshList() {
    try {
      const list = await this.#chat.conversations();
      this.#conversations.replace(
        list.map((item) => ({
          id: item.conversation_id,
          ai: item.ai,
          last: item.last_message
            ? `${item.last_message.type === 'CHAT_MESSAGE' ? 'You: ' : ''}${item.last_message.data}`
            : undefined,
          at: item.last_message ? new Date(item.last_message.timestamp) : undefined,
          unread: item.unread,
        })),
      );
      this.#showUnread();
    } catch {
      // the list stays as it is: the banner tells of a connection that is lost
    }
  }
}

/** @param {ChatError} error */
function explain({ message, retryAfter }) {
  const why = toPeople(message);
  return retryAfter === undefined
    ? why
    : `${why.replace(/\.$/, '')}. Try again in ${Math.ceil(retryAfter)} s.`;
}

/** The address of a conversation. @param {string} user @param {string} conversation */
function address(user, conversation) {
  return `${HOME.pathname}app?${new URLSearchParams({ user, conversation })}${location.hash}`;
}

async function start() {
  offerThemes(find('[data-part=theme]'));
  const query = new URLSearchParams(location.search);
  const known = query.get('user') ?? userOf(token());
  const who = known ? { user: known, conversation: query.get('conversation') } : await askWho(null);
  if (!who) return;
  const page = new ChatPage(who.user, who.conversation ?? `conv_${who.user}_ai_alex`);
  const [latest = `conv_${who.user}_ai_alex`] = who.conversation ? [who.conversation] : await page.known();
  find('.app').hidden = false;
  page.open(latest, 'replace');
}

void start();
