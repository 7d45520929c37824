import { ChatSession } from '../../../../server/web/chat-client.js';

/** A session with a clock that the test moves, and all that it wanted done so far. */
export class Bench {
  clock = 0;
  /** @type {import('../../../../server/web/chat-client.js').Effect[]} */
  done = [];

  constructor(options = {}) {
    this.session = new ChatSession({
      userId: 'kai',
      conversationId: 'conv_ai_alex',
      clientId: 'phone',
      now: () => this.clock,
      random: () => 1,
      ...options,
    });
  }

  /** Moves the clock, and takes what the session wants. */
  after(ms = 0) {
    this.clock += ms;
    this.session.tick();
    for (let effect; (effect = this.session.take());) this.done.push(effect);
    return this;
  }

  clear() {
    this.after().done = [];
    return this;
  }

  count(kind) {
    return this.after().done.filter((effect) => effect.kind === kind).length;
  }

  get sent() {
    return this.after()
      .done.filter(({ kind }) => kind === 'send')
      .map(({ frame }) => frame);
  }

  told(name) {
    return this.after()
      .done.filter((effect) => effect.kind === 'emit' && effect.name === name)
      .map(({ args }) => args);
  }

  welcome(data = {}) {
    this.session.received({
      type: 'SYSTEM',
      message_id: 'w',
      data: {
        event: 'connected',
        client_id: 'phone',
        session_id: 's1',
        epoch: 'e1',
        last_seq: 0,
        gap: null,
        heartbeat_timeout: 60,
        ...data,
      },
    });
    return this;
  }

  open(data) {
    this.session.connect();
    return this.welcome(data).clear();
  }

  saved(seq, more = {}) {
    this.session.received({ type: 'AI_RESPONSE', message_id: `m${seq}`, seq, data: `text ${seq}`, ...more });
    return this;
  }

  submit(message_id, text = 'hi') {
    this.session.submit({ type: 'CHAT_MESSAGE', message_id, data: text }, { resolve() {}, reject() {} });
    return this;
  }

  get seqs() {
    return this.told('message').map(([frame]) => frame.seq);
  }

  get path() {
    return new URL(this.session.path, 'http://host');
  }
}
