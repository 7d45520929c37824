import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ChatSession } from '../../../../server/web/chat-client.js';

const RUNS = 1_500;
const STEPS = 80;
const MAX_REPLAY = 4; // small, so that gaps occur
const PAGE = 3;
const ANSWER = [...'H\u{1F600}\u{1F600}llo aaaa \u{1F468}\u200D\u{1F469} w\u00f6rld']; // by code points

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
function randomOf(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A correct server with one conversation and one connection. */
class Server {
  log = [];
  epoch = 1;
  connected = false;
  refusesWith = null;
  toClient = [];
  toServer = [];

  save(message_id, sender) {
    const known = this.log.find((frame) => frame.message_id === message_id);
    if (known) return known.seq;
    const frame = { type: 'CHAT_MESSAGE', message_id, sender, data: 'text', seq: this.log.length + 1 };
    this.log.push(frame);
    this.#push(frame);
    return frame.seq;
  }

  handle({ type, message_id, data }) {
    if (type === 'CANCEL_RESPONSE') return this.#cancel(message_id, data.message_id);
    const duplicate = this.log.some((frame) => frame.message_id === message_id);
    if (this.refusesWith && !duplicate) {
      this.#push({
        type: 'NACK',
        message_id,
        data: 'no',
        error: { code: this.refusesWith, retryable: true },
      });
    } else this.#push({ type: 'ACK', message_id, seq: this.save(message_id, 'kai'), duplicate });
  }

  /** Answers being written, by message_id: how many code points there are. @type {Map<string, number>} */
  writing = new Map();
  /** Which may begin again. @type {string[]} */
  aborted = [];

  begin(id) {
    this.writing.set(id, 0);
  }

  write(id, count) {
    const offset = this.writing.get(id);
    const text = ANSWER.slice(offset, offset + count).join('');
    this.writing.set(id, Math.min(offset + count, ANSWER.length));
    if (text) this.#piece(id, { text, offset, index: offset });
  }

  /** Saves it, or not if there is nothing. */
  finish(id, finish) {
    const length = this.writing.get(id);
    this.writing.delete(id);
    if (!length) return this.#piece(id, { aborted: true });
    const seq = this.log.length + 1;
    const data = ANSWER.slice(0, length).join('');
    const frame = { type: 'AI_RESPONSE', message_id: id, sender: 'ai', data, finish, seq };
    this.log.push(frame);
    this.#push(frame);
  }

  abort(id) {
    this.writing.delete(id);
    this.aborted.push(id);
    this.#piece(id, { aborted: true });
  }

  #cancel(message_id, id) {
    const stopped = [...this.writing.keys()].filter((each) => id === undefined || each === id);
    for (const each of stopped) this.finish(each, 'cancelled');
    if (stopped.length) return this.#push({ type: 'ACK', message_id, data: 'ok' });
    const error = { code: 'validation_failed', retryable: false };
    this.#push({ type: 'NACK', message_id, data: 'Nothing is being written', error });
  }

  #piece(id, data) {
    this.#push({ type: 'AI_RESPONSE_CHUNK', message_id: id, sender: 'ai', data });
  }

  /** @param {number | null} lastSeq @param {string | null} epoch which the client brings */
  welcome(lastSeq, epoch) {
    this.lose();
    this.connected = true;
    const newest = this.log.length;
    const isReplaced = lastSeq !== null && (![null, `e${this.epoch}`].includes(epoch) || lastSeq > newest);
    const missed = lastSeq === null ? [] : this.log.slice(isReplaced ? 0 : lastSeq);
    const hasGap = isReplaced ? newest > 0 : missed.length > MAX_REPLAY;
    const gap = hasGap ? { from: newest - missed.length + 1, to: newest } : null;
    const data = {
      event: 'connected',
      client_id: 'phone',
      session_id: 's',
      epoch: `e${this.epoch}`,
      last_seq: newest,
      gap,
      heartbeat_timeout: 1e6,
    };
    this.#push({ type: 'SYSTEM', data });
    if (!gap) for (const frame of missed) this.#push(frame);
    for (const [id, length] of this.writing)
      if (length) this.#piece(id, { text: ANSWER.slice(0, length).join(''), offset: 0, index: length });
  }

  /** An old backup takes the log's place; returns what is not in it. */
  restore(length) {
    this.epoch += 1;
    return this.log.splice(length);
  }

  lose() {
    this.connected = false;
    this.toClient = [];
    this.toServer = [];
  }

  #push(frame) {
    if (this.connected) this.toClient.push(frame);
  }
}

/** A session and that server, in a world where anything may happen in any order. */
class World {
  now = 0;
  server = new Server();
  ids = 0;
  shown = [];
  /** What had been said before the session first came. */
  begunAt = 0;
  status = new Map();
  /** Texts of answers that are shown as being written, by message_id. */
  unfinished = new Map();
  /** Ids of the messages that were shown. */
  saved = new Set();
  /** Messages that a restored backup did not have. */
  gone = new Set();
  epoch = 'e1';
  wantsConnection = false;
  fills = [];

  constructor(random) {
    this.pick = (count) => Math.floor(random() * count);
    this.session = new ChatSession({
      userId: 'kai',
      conversationId: 'c',
      clientId: 'phone',
      now: () => this.now,
      random,
    });
    this.session.connect();
    this.settle();
  }

  happenings = {
    send: () =>
      this.session.submit({ type: 'CHAT_MESSAGE', message_id: this.newId(), data: 'text' }, this.handles),
    anotherDeviceSends: () => this.server.save(this.newId(), 'kai'),
    connectionIsMade: () => {
      if (!this.wantsConnection) return;
      this.wantsConnection = false;
      const brought = new URLSearchParams(this.session.path.split('?')[1]);
      const lastSeq = brought.has('last_seq') ? Number(brought.get('last_seq')) : null;
      if (lastSeq === null) [this.begunAt, this.epoch] = [this.server.log.length, `e${this.server.epoch}`];
      this.server.welcome(lastSeq, brought.get('epoch'));
    },
    connectionFails: () => {
      if (this.wantsConnection) this.session.lost(1006, '');
      this.wantsConnection = false;
    },
    connectionIsLost: () => {
      if (!this.server.connected) return;
      this.server.lose();
      this.session.lost([1001, 1006, 4002][this.pick(3)], '');
    },
    backupIsRestored: () => {
      if (this.pick(8)) return; // now and then
      for (const { message_id } of this.server.restore(this.pick(this.server.log.length + 1)))
        this.gone.add(message_id);
      this.happenings.connectionIsLost();
    },
    frameArrivesAtClient: () => {
      if (this.server.toClient.length) this.session.received(this.server.toClient.shift());
    },
    anAnswerBegins: () => this.server.begin(this.server.aborted.pop() ?? this.newId()),
    answersGrow: () => {
      for (let round = 0; round < 3; round++)
        for (const id of this.server.writing.keys()) this.server.write(id, 1 + this.pick(3));
    },
    anAnswerEnds: () => this.#anAnswer((id) => this.server.finish(id)),
    anAnswerIsAborted: () => this.#anAnswer((id) => this.server.abort(id)),
    whatIsWrittenDiesWithItsProcess: () => {
      if (this.pick(4)) return;
      this.server.writing.clear();
      this.happenings.connectionIsLost();
    },
    userCancels: () => {
      const [id] = this.unfinished.keys();
      const data = id && this.pick(2) ? { message_id: id } : {};
      this.session.submit({ type: 'CANCEL_RESPONSE', message_id: this.newId(), data }, this.handles);
    },
    aPieceIsLostOrDoubledOrLate: () => {
      const frames = this.server.toClient;
      const at = frames.findIndex(({ data }) => data?.text !== undefined);
      if (at < 0) return;
      const [piece] = frames.splice(at, 1);
      // After an abort the same answer may begin again: no client could know the piece for a late one.
      const aborted = frames.findIndex(
        ({ message_id, data }) => message_id === piece.message_id && data?.aborted,
      );
      const last = aborted < 0 ? frames.length : aborted;
      for (let copies = this.pick(3); copies > 0; copies--)
        frames.splice(at + this.pick(last - at + 1), 0, piece);
    },
    frameArrivesAtServer: () => {
      if (this.server.toServer.length) this.server.handle(this.server.toServer.shift());
    },
    frameVanishesInAFaultyProxy: () => this.pick(3) || this.server.toServer.shift(),
    timePasses: () => {
      this.now += [1_000, 6_000, 11_000][this.pick(3)];
      this.session.tick();
    },
    serverChangesItsMood: () =>
      (this.server.refusesWith = [null, null, 'rate_limited', 'outcome_unknown'][this.pick(4)]),
    pageOfTheHistoryArrives: () => {
      if (!this.fills.length || !this.server.connected) return;
      const after = this.fills.shift();
      this.session.filled(this.server.log.slice(after, after + PAGE));
    },
    userRetries: () => {
      const failed = [...this.session.failed.keys()];
      if (!failed.length) return;
      const { frame, sent } = this.session.takeFailed(failed[this.pick(failed.length)], this.newId());
      this.session.submit(frame, this.handles, sent);
    },
  };

  handles = { resolve() {}, reject() {} };

  #anAnswer(happen) {
    const ids = [...this.server.writing.keys()];
    if (ids.length) happen(ids[this.pick(ids.length)]);
  }

  step() {
    const names = Object.keys(this.happenings);
    this.happenings[names[this.pick(names.length)]]();
    this.settle();
  }

  /** Does what the session wants, and checks what it tells. */
  settle() {
    for (let effect; (effect = this.session.take());) {
      if (effect.kind === 'open') this.wantsConnection = true;
      else if (effect.kind === 'drop') this.#drop();
      else if (effect.kind === 'fill') this.fills.push(effect.after);
      else if (effect.kind === 'send' && this.server.connected) this.server.toServer.push(effect.frame);
      else if (effect.kind === 'emit') this.#told(effect.name, effect.args);
    }
    if (!this.server.connected) this.fills = [];
  }

  /** Everything works again: what must have come of it all? */
  becomeQuiet() {
    this.server.refusesWith = null;
    this.letEverythingThrough();
    this.happenings.connectionIsLost();
    this.letEverythingThrough();
    const texts = [...this.server.writing].map(([id, length]) => [id, ANSWER.slice(0, length).join('')]);
    assert.deepEqual(
      this.unfinished,
      new Map(texts.filter(([, text]) => text)),
      'a new connection has all of it',
    );
    for (const id of this.server.writing.keys()) this.server.finish(id);
    this.letEverythingThrough();
    assert.equal(this.session.state, 'open');
    assert.equal(this.shown.length, this.server.log.length - this.begunAt);
    assert.equal(this.session.pending.size, 0);
    assert.deepEqual([...this.unfinished], [], 'nobody writes it any more');
    for (const [id, status] of this.status) {
      if (!this.gone.has(id)) assert.equal(status, this.#isSaved(id) ? 'delivered' : 'failed', id);
    }
  }

  letEverythingThrough() {
    const { connectionIsMade, frameArrivesAtClient, frameArrivesAtServer, pageOfTheHistoryArrives } =
      this.happenings;
    for (let round = 0; round < 100; round++) {
      this.now += 1_000;
      this.session.tick();
      this.settle();
      do {
        for (const happen of [
          connectionIsMade,
          frameArrivesAtClient,
          frameArrivesAtServer,
          pageOfTheHistoryArrives,
        ]) {
          happen();
          this.settle();
        }
      } while (this.server.toClient.length + this.server.toServer.length + this.fills.length);
    }
  }

  newId() {
    this.ids += 1;
    return `m${this.ids}`;
  }

  #drop() {
    this.server.lose();
    this.wantsConnection = false;
  }

  #told(name, args) {
    if (name === 'chunk') return this.#toldPiece(...args);
    if (name === 'system') this.unfinished.clear();
    if (name === 'message') {
      this.unfinished.delete(args[0].message_id);
      this.saved.add(args[0].message_id);
      this.shown.push(args[0].seq);
      assert.equal(args[0].seq, this.begunAt + this.shown.length);
    } else if (name === 'system' && args[0].data.epoch !== this.epoch) {
      [this.epoch, this.shown, this.begunAt] = [args[0].data.epoch, [], 0]; // all of it is news
    } else if (name === 'status') {
      const [id, status] = args;
      assert.ok(status !== 'delivered' || this.#isSaved(id) || this.gone.has(id), `${id} is not saved`);
      this.status.set(id, status);
    }
  }

  #toldPiece({ message_id: id, data }, text) {
    if (data.aborted) return this.unfinished.delete(id);
    const before = this.unfinished.get(id) ?? '';
    assert.ok(ANSWER.join('').startsWith(text), `${id}: ${text}`);
    assert.ok(text.length > before.length, `${id}: ${before} became ${text}`);
    assert.ok(!this.saved.has(id), `${id} was shown whole`);
    return this.unfinished.set(id, text);
  }

  #isSaved(id) {
    return this.server.log.some((frame) => frame.message_id === id);
  }
}

test('whatever happens, each message is shown once and in order, its status is the truth in the end, and no answer is shown but as it is written', () => {
  for (let seed = 1; seed <= RUNS; seed++) {
    const world = new World(randomOf(seed));
    try {
      for (let step = 0; step < STEPS; step++) world.step();
      world.becomeQuiet();
    } catch (error) {
      error.message = `seed ${seed}: ${error.message}`;
      throw error;
    }
  }
});
