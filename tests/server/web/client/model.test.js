import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ChatSession } from '../../../../server/web/chat-client.js';

const RUNS = 500;
const STEPS = 80;
const MAX_REPLAY = 4; // small, so that gaps occur
const PAGE = 3;

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

  handle({ message_id }) {
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
    const { connectionIsMade, frameArrivesAtClient, frameArrivesAtServer, pageOfTheHistoryArrives } =
      this.happenings;
    for (let round = 0; round < 200; round++) {
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
    assert.equal(this.session.state, 'open');
    assert.equal(this.shown.length, this.server.log.length - this.begunAt);
    assert.equal(this.session.pending.size, 0);
    for (const [id, status] of this.status) {
      if (!this.gone.has(id)) assert.equal(status, this.#isSaved(id) ? 'delivered' : 'failed', id);
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
    if (name === 'message') {
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

  #isSaved(id) {
    return this.server.log.some((frame) => frame.message_id === id);
  }
}

test('whatever happens, each message is shown once and in order, and its status is the truth in the end', () => {
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
