/**
 * A chat client for browsers and Node 20+. `ChatSession` decides (no socket, no timer, no clock),
 * `ChatManager` acts.
 */

/** @import {Ack, ChatOptions, ChunkFrame, Conversation, Effect, Events, Failed, Frame, Nack, Pending, SavedMessage, SentFrame, ServerFrame, State, StateDetail, Stream, SystemFrame, Welcome} from './types' */

const CONNECT_TIMEOUT = 10_000;
const PROBE_TIMEOUT = 5_000;
// The server ends a typing indicator 4 s (its default) after the last sign of it.
const TYPING_REPEAT = 2_500;
const PROTOCOL = 1;
const MAX_FRAME_BYTES = 65_536; // the server's default
const ACK_TIMEOUT = 10_000;
const MAX_KEPT = 10_000; // failed messages of a conversation in the storage
const ENDED_STREAMS = 100; // whose late pieces are known as such
const NORMAL = 1000;
const GOING_AWAY = 1001;
const PROTOCOL_ERROR = 1002;
const BROKEN = 1006; // what a browser reports when there was no close frame
const TRY_AGAIN_LATER = 1013;
const TOKEN_EXPIRED = 4003;
const FINAL_CODES = [NORMAL, PROTOCOL_ERROR, 1007, 1008, 1009];
const UNDECIDED = ['timeout', 'connection_lost', 'outcome_unknown'];

/** Why a message failed, or what else went wrong. */
export class ChatError extends Error {
  /**
   * @param {string} code the protocol's, `timeout`, `connection_lost`, `not_found` or `invalid_frame`
   * @param {string} message
   * @param {{retryable?: boolean, retryAfter?: number, undecided?: boolean}} [more] seconds, where known
   */
  constructor(code, message, { retryable = false, retryAfter, undecided = UNDECIDED.includes(code) } = {}) {
    super(message);
    this.name = 'ChatError';
    this.code = code;
    this.retryable = retryable;
    this.retryAfter = retryAfter;
    /** Perhaps it was saved: only the same id is safe to send again. */
    this.undecided = undecided;
  }

  /** @param {Pick<Frame, 'data' | 'error'>} frame NACK or ERROR */
  static of({ data, error }) {
    return new ChatError(error?.code ?? 'internal_error', String(data ?? 'Something went wrong'), {
      retryable: error?.retryable ?? false,
      retryAfter: error?.retry_after,
    });
  }
}

/**
 * Whether to reconnect after a close with this code.
 * @param {number} code
 */
export function reconnectsAfter(code) {
  return code >= 4000 ? code < 4500 : !FINAL_CODES.includes(code);
}

/**
 * Exponential backoff with full jitter, in ms; after 1013 never less than 5 s.
 * @param {number} attempt from 0
 * @param {number} code of the last close
 * @param {number} random 0 to 1
 */
export function backoff(attempt, code, random) {
  const [least, first] = code === TRY_AGAIN_LATER ? [5_000, 10_000] : [0, 500];
  return least + random * (Math.min(30_000, first * 2 ** attempt) - least);
}

/**
 * In how many ms to ask for the next token: a little before this one runs out.
 * @param {string | undefined} token a JWT
 * @param {number} wallClock ms since 1970
 */
export function refreshDelay(token, wallClock) {
  try {
    const [, payload = ''] = (token ?? '').split('.');
    const { exp } = JSON.parse(atob(payload.replace(/-/g, '+').replace(/_/g, '/')));
    const left = exp * 1000 - wallClock;
    return Number.isFinite(left) ? Math.max(0, left - Math.min(30_000, left / 5)) : Infinity;
  } catch {
    return Infinity;
  }
}

/**
 * Adds a piece to what there is of an answer.
 * @param {Stream | undefined} stream
 * @param {ChunkFrame['data']} piece
 * @returns {Stream | null} null: it leaves a hole, contradicts what is there, or has nothing new
 */
export function grow(stream = { text: '', length: 0 }, { text = '', offset = stream.length }) {
  if (offset === 0 && !stream.text.startsWith(text)) return { text, length: codePoints(text) }; // all of it, or a new start
  if (offset > stream.length) return null;
  const known = offset === stream.length ? '' : [...stream.text].slice(offset).join('');
  if (text === known || !text.startsWith(known)) return null;
  const news = text.slice(known.length);
  return { text: stream.text + news, length: stream.length + codePoints(news) };
}

/** @param {unknown} value @returns {value is Record<string, any>} */
const isObject = (value) => typeof value === 'object' && value !== null;
/** @param {unknown} value @returns {value is string} */
const isText = (value) => typeof value === 'string';
/** @param {unknown} value */
const isSeq = (value) => Number.isSafeInteger(value) && Number(value) > 0;
/** @param {unknown} value by default what is before the first */
const isPosition = (value = 0) => value === 0 || isSeq(value);
/** @param {Record<string, any>} frame */
const isSaved = ({ message_id, data, seq }) => isText(message_id) && isText(data) && isSeq(seq);
/** @param {Record<string, any>} frame */
const isChunk = ({ message_id, data }) =>
  isText(message_id) && (data.aborted === true || (isText(data.text) && isPosition(data.offset)));
/** @param {Record<string, any>} frame */
const isAnswer = ({ message_id }) => isText(message_id);
/** @param {Record<string, any>} frame */
const isNews = ({ data }) => isObject(data);
/** @param {Record<string, any>} frame */
const isSystem = ({ data: { event, last_seq, gap } }) =>
  event !== 'connected' || (isPosition(last_seq) && (!gap || (isSeq(gap.from) && isSeq(gap.to))));

/** What this client leans on. @type {Map<string, (frame: Record<string, any>) => boolean>} */
const SHAPES = new Map([
  ['CHAT_MESSAGE', isSaved],
  ['AI_RESPONSE', isSaved],
  ['AI_RESPONSE_CHUNK', isChunk],
  ['ACK', isAnswer],
  ['NACK', isAnswer],
  ['SYSTEM', isSystem],
  ['TYPING_INDICATOR', isNews],
  ['READ_RECEIPT', isNews],
  ['NEW_MATCH', isNews],
  ['CONVERSATION_CREATED', isNews],
  ['AI_STATUS', isNews],
]);

/**
 * @param {unknown} payload of a WebSocket message
 * @returns {ServerFrame} of a known type, or of one to be skipped
 * @throws {ChatError} invalid_frame
 */
export function parseFrame(payload) {
  try {
    const frame = isText(payload) && JSON.parse(payload);
    if (isText(frame.type) && (SHAPES.get(frame.type)?.(frame) ?? true)) return frame;
  } catch {
    // no JSON, or not as deep as it should be
  }
  throw new ChatError('invalid_frame', `The server sent what is no frame: ${String(payload).slice(0, 200)}`);
}

/** What one device knows of one conversation; what is to be done is taken with `take()`. Times are in ms. */
export class ChatSession {
  /** @type {State} */
  state = 'closed';
  /** @type {Map<string, Pending>} by message_id, in the order of sending */
  pending = new Map();
  /** @type {Map<string, Failed>} by message_id */
  failed = new Map();
  /** The last seq passed on; null before the first welcome. @type {number | null} */
  lastSeq = null;
  /** After 4003. */
  needsNewToken = false;

  /** @type {string | undefined} */
  #sessionId;
  /** @type {string | undefined} */
  #epoch;
  #attempt = 0;
  /** Seconds, from the shutdown announcement. @type {number | null} */
  #reconnectAfter = null;
  #welcomeSeq = 0;
  #aliveFor = Infinity;
  #aliveBy = Infinity;
  #welcomeBy = Infinity;
  #probeBy = Infinity;
  #retryAt = Infinity;
  #refreshAt = Infinity;
  /** Nothing that is pending has an earlier deadline. */
  #answerBy = Infinity;
  #typing = false;
  #typingAgainAt = 0;
  /** Answers being written, by message_id. @type {Map<string, Stream>} */
  #streams = new Map();
  /** The last answers that are saved. @type {Set<string>} */
  #answers = new Set();
  /** What the server takes, from the welcome. */
  #bounds = { text: Infinity, frame: Infinity };
  /** The end of the gap that is being read. @type {number | null} */
  #gapEnd = null;
  /** What came meanwhile. @type {SavedMessage[]} */
  #held = [];
  /** @type {Effect[]} */
  #effects = [];

  /** @param {Omit<ChatOptions, 'url'> & {clientId: string, now?: () => number, random?: () => number}} options */
  constructor({
    userId,
    conversationId,
    clientId,
    ackTimeout = ACK_TIMEOUT,
    maxAttempts = Infinity,
    now = monotonic,
    random = Math.random,
  }) {
    this.userId = userId;
    this.conversationId = conversationId;
    this.clientId = clientId;
    this.ackTimeout = ackTimeout;
    this.maxAttempts = maxAttempts;
    this.now = now;
    this.random = random;
  }

  take() {
    return this.#effects.shift();
  }

  /** When `tick` is due. */
  get deadline() {
    const answerBy = this.pending.size ? this.#answerBy : Infinity;
    return Math.min(answerBy, this.#aliveBy, this.#welcomeBy, this.#probeBy, this.#retryAt, this.#refreshAt);
  }

  /** Of the next connection. */
  get path() {
    const query = new URLSearchParams({ conversation_id: this.conversationId, client_id: this.clientId });
    if (this.#sessionId) query.set('session_id', this.#sessionId);
    if (this.lastSeq !== null) query.set('last_seq', String(this.lastSeq));
    if (this.#epoch) query.set('epoch', this.#epoch);
    return `/ws/${encodeURIComponent(this.userId)}?${query}`;
  }

  /** Connects, or makes the next attempt now. */
  connect() {
    if (this.state === 'open' || this.#welcomeBy !== Infinity) return;
    if (this.state === 'closed') {
      this.#attempt = 0;
      for (const [id, { error }] of this.failed) this.#emit('status', id, 'failed', error);
    }
    this.#open();
  }

  /** @param {string} [reason] */
  disconnect(reason = 'Disconnected') {
    if (this.state === 'closed') return;
    this.#do({ kind: 'drop' });
    this.end(NORMAL, reason);
  }

  /** Over for good, until `connect`. @param {number} code @param {string} reason */
  end(code, reason) {
    this.#forgetConnection();
    for (const entry of this.pending.values())
      this.#fail(entry, connectionLost(reason || 'The connection is closed'));
    this.#setState('closed', { code, reason });
  }

  /** @param {number} code @param {string} reason */
  lost(code, reason) {
    if (this.state === 'closed') return;
    if (!reconnectsAfter(code) || this.#attempt >= this.maxAttempts) return this.end(code, reason);
    const delay = this.#delay(code);
    this.#forgetConnection();
    this.needsNewToken ||= code === TOKEN_EXPIRED;
    this.#attempt += 1;
    this.#retryAt = this.now() + delay;
    this.#setState('reconnecting', { code, reason, retryIn: delay });
  }

  tick() {
    const now = this.now();
    if (this.#retryAt <= now) this.#open();
    if (this.#welcomeBy <= now) this.#abandon('The server does not answer');
    if (this.#aliveBy <= now || this.#probeBy <= now) this.#abandon('The connection went silent');
    if (this.#refreshAt <= now) {
      this.#refreshAt = Infinity;
      this.#do({ kind: 'refresh' });
    }
    if (this.#answerBy <= now) this.#timeOut(now);
  }

  /** Makes sure of the connection at once. */
  resume() {
    if (this.state === 'reconnecting') this.connect();
    if (this.state !== 'open' || this.#probeBy !== Infinity) return;
    this.#probeBy = this.now() + PROBE_TIMEOUT;
    this.#send({ type: 'PING' });
  }

  /** @param {number} at */
  refreshTokenAt(at) {
    this.#refreshAt = at;
  }

  /**
   * Sends a frame as soon as there is a connection.
   * @param {SentFrame} frame
   * @param {Pick<Pending, 'resolve' | 'reject'>} handles
   * @param {number} [sent] before it failed
   */
  submit(frame, handles, sent = 0) {
    const entry = { ...handles, frame, deadline: 0, resent: false, sent };
    this.pending.set(frame.message_id, entry);
    this.#awaitAnswer(entry);
    if (frame.type === 'CHAT_MESSAGE') {
      this.#typing = false; // the message itself ends it
      // Kept from the start: the page may be closed before the answer.
      const error = connectionLost('The page was closed before it was delivered');
      this.#do({ kind: 'keep', failed: { frame, error }, underWay: true });
      this.#emit('status', frame.message_id, 'sending');
    }
    if (this.state === 'closed') this.#fail(entry, connectionLost('Not connected'));
    else this.#transmit(entry);
  }

  /**
   * Takes a failed message out, to be sent again.
   * @param {string} id
   * @param {string} newId if it needs one
   * @returns {{frame: SentFrame, sent?: number} | undefined}
   */
  takeFailed(id, newId) {
    const failed = this.failed.get(id);
    if (!failed) return undefined;
    this.discard(id);
    const { frame, error, sent } = failed;
    return error.undecided ? { frame, sent } : { frame: { ...frame, message_id: newId } };
  }

  /** One that failed elsewhere. @param {Failed} failed */
  adopt(failed) {
    const id = failed.frame.message_id;
    if (this.pending.has(id) || this.failed.has(id)) return;
    this.failed.set(id, failed);
    this.#emit('status', id, 'failed', failed.error);
  }

  /** Gives a failed message up. @param {string} id */
  discard(id) {
    if (this.failed.delete(id)) this.#do({ kind: 'forget', id });
  }

  /** @param {boolean} on */
  typing(on) {
    if (this.state !== 'open') return;
    if (on === this.#typing && (!on || this.now() < this.#typingAgainAt)) return;
    this.#typing = on;
    this.#typingAgainAt = this.now() + TYPING_REPEAT;
    this.#send({ type: 'TYPING_INDICATOR', data: { is_typing: on } });
  }

  /** @param {ServerFrame} frame as `parseFrame` returns it */
  received(frame) {
    this.#aliveBy = this.now() + this.#aliveFor;
    this.#probeBy = Infinity;
    switch (frame.type) {
      case 'SYSTEM':
        return this.#system(frame);
      case 'TYPING_INDICATOR':
        return this.#emit('typing', frame);
      case 'READ_RECEIPT':
        return this.#emit('receipt', frame);
      case 'NEW_MATCH':
        return this.#emit('match', frame);
      case 'AI_STATUS':
        return this.#emit('aiStatus', frame);
      case 'CONVERSATION_CREATED':
        return this.#emit('conversation', frame);
      case 'CHAT_MESSAGE':
      case 'AI_RESPONSE':
        return this.#saved(frame);
      case 'AI_RESPONSE_CHUNK':
        return this.#chunk(frame);
      case 'ACK':
        return this.#acked(frame);
      case 'NACK':
        return this.#nacked(frame);
      case 'PING':
        return this.#send({ type: 'PONG', message_id: frame.message_id, data: frame.data });
      case 'ERROR':
        return this.#emit('error', ChatError.of(frame));
    }
  }

  /** @param {Ack} frame */
  #acked(frame) {
    const id = frame.message_id;
    const entry = this.pending.get(id);
    if (entry) {
      this.pending.delete(id);
      this.#do({ kind: 'settle', settle: () => entry.resolve(frame) });
      if (entry.frame.type === 'CHAT_MESSAGE') this.#delivered(id);
    } else if (this.failed.delete(id)) this.#delivered(id);
    if (entry && this.#missedOwn(frame)) this.#abandon('A message went missing');
  }

  /** @param {Nack} frame */
  #nacked(frame) {
    const entry = this.pending.get(frame.message_id);
    if (!entry) return;
    const error = ChatError.of(frame);
    entry.sent -= 1;
    error.undecided ||= error.retryable && entry.sent > 0; // of the other ones nothing is known
    this.#fail(entry, error);
  }

  /** A saved message cannot have failed. @param {SavedMessage} frame */
  seen(frame) {
    const id = frame.message_id;
    const entry = this.pending.get(id);
    if (entry) entry.saved = frame;
    if (this.failed.delete(id)) this.#delivered(id);
  }

  /** A page of the gap; an empty one ends it. @param {SavedMessage[]} frames */
  filled(frames) {
    for (const frame of frames) if (frame.seq > (this.lastSeq ?? 0)) this.#pass(frame);
    if (this.#gapEnd === null) return;
    if (frames.length && (this.lastSeq ?? 0) < this.#gapEnd)
      this.#do({ kind: 'fill', after: this.lastSeq ?? 0 });
    else this.#endGap(this.#gapEnd);
  }

  /** Gives the connection up for the next. @param {string} reason */
  #abandon(reason) {
    this.#do({ kind: 'drop' });
    this.lost(BROKEN, reason);
  }

  #open() {
    this.#retryAt = Infinity;
    this.#welcomeBy = this.now() + CONNECT_TIMEOUT;
    this.#setState(this.state === 'closed' ? 'connecting' : this.state, {});
    this.#do({ kind: 'open' });
  }

  /** @param {number} code */
  #delay(code) {
    const random = this.random();
    if (code === GOING_AWAY && this.#reconnectAfter !== null)
      return this.#reconnectAfter * 1000 + random * 500;
    return backoff(this.#attempt, code, random);
  }

  #forgetConnection() {
    this.#aliveBy = this.#welcomeBy = this.#probeBy = this.#retryAt = this.#refreshAt = Infinity;
    this.#aliveFor = Infinity;
    this.#reconnectAfter = null;
    this.#typing = false;
    this.#streams.clear();
    this.#held = [];
    this.#gapEnd = null;
  }

  /** @param {SystemFrame} frame */
  #system(frame) {
    const { data } = frame;
    if (data.event === 'connected') return this.#welcomed(frame, data);
    if (data.event === 'shutdown' && data.reconnect_after >= 0) this.#reconnectAfter = data.reconnect_after;
    this.#emit('system', frame);
  }

  /** @param {SystemFrame} frame @param {Welcome} welcome */
  #welcomed(frame, welcome) {
    const { protocol = PROTOCOL, client_id = this.clientId, session_id, epoch, last_seq = 0, gap } = welcome;
    if (protocol !== PROTOCOL) return this.#refuseProtocol(protocol);
    const replaced = this.lastSeq !== null && (epoch !== this.#epoch || last_seq < this.lastSeq);
    this.lastSeq = replaced ? 0 : (this.lastSeq ?? last_seq);
    this.clientId = client_id;
    this.#sessionId = session_id;
    this.#epoch = epoch;
    this.#welcomeSeq = last_seq;
    this.#bounds = {
      text: welcome.max_text_length ?? Infinity,
      frame: welcome.max_frame_bytes ?? MAX_FRAME_BYTES,
    };
    if (replaced) this.#answers.clear();
    this.needsNewToken = false;
    this.#welcomeBy = Infinity;
    this.#aliveFor = welcome.heartbeat_timeout > 0 ? welcome.heartbeat_timeout * 1000 : Infinity;
    this.#aliveBy = this.now() + this.#aliveFor;
    this.#setState('open', {});
    this.#emit('system', frame);
    if (gap) {
      this.#gapEnd = gap.to;
      this.#do({ kind: 'fill', after: gap.from - 1 });
    } else this.#attempt = 0;
    for (const entry of this.pending.values()) {
      if (replaced) entry.saved = undefined; // was of the old log
      this.#transmit(entry);
    }
  }

  /** @param {unknown} protocol of the server */
  #refuseProtocol(protocol) {
    this.#do({ kind: 'drop' });
    const reason = `The server speaks version ${protocol} of the protocol, this client version ${PROTOCOL}`;
    this.end(PROTOCOL_ERROR, reason);
  }

  /** A saved message, live or replayed. @param {SavedMessage} frame */
  #saved(frame) {
    if (this.#gapEnd !== null) this.#held.push(frame);
    else if (frame.seq > (this.lastSeq ?? 0) + 1) this.#abandon('A message went missing');
    else if (frame.seq > (this.lastSeq ?? 0)) this.#pass(frame);
  }

  /** @param {SavedMessage} frame the next in seq order */
  #pass(frame) {
    this.lastSeq = frame.seq;
    if (frame.type === 'AI_RESPONSE') this.#answered(frame.message_id);
    this.seen(frame);
    this.#emit('message', frame);
  }

  /** What still comes of this answer's stream is late. @param {string} id */
  #answered(id) {
    this.#streams.delete(id);
    this.#answers.add(id);
    const [oldest] = this.#answers;
    if (this.#answers.size > ENDED_STREAMS) this.#answers.delete(oldest);
  }

  /** @param {number} end */
  #endGap(end) {
    const held = this.#held;
    this.#held = [];
    this.#gapEnd = null;
    this.#attempt = 0;
    this.lastSeq = Math.max(this.lastSeq ?? 0, end);
    for (const frame of held) this.#saved(frame);
  }

  /**
   * An own message's broadcast comes before its ACK, or was lost on the way; but this says nothing of
   * duplicates, nor during a replay or a gap.
   * @param {Ack} ack
   */
  #missedOwn({ seq = 0, duplicate }) {
    const lastSeq = this.lastSeq ?? 0;
    return (
      this.state === 'open' &&
      !duplicate &&
      this.#gapEnd === null &&
      lastSeq >= this.#welcomeSeq &&
      seq > lastSeq
    );
  }

  /** Tells of a piece only what continues the text, or begins it. @param {ChunkFrame} frame */
  #chunk(frame) {
    const id = frame.message_id;
    if (this.#answers.has(id)) return;
    const stream = this.#streams.get(id);
    if (frame.data.aborted) {
      this.#streams.delete(id);
      return this.#emit('chunk', frame, stream?.text ?? '');
    }
    const grown = grow(stream, frame.data);
    if (!grown) return;
    this.#streams.set(id, grown);
    this.#emit('chunk', frame, grown.text);
  }

  /** @param {number} now */
  #timeOut(now) {
    this.#answerBy = Infinity;
    for (const entry of this.pending.values()) {
      if (entry.deadline > now) this.#answerBy = Math.min(this.#answerBy, entry.deadline);
      else if (entry.resent)
        this.#fail(entry, new ChatError('timeout', 'The server does not answer', { retryable: true }));
      else this.#resend(entry);
    }
  }

  /** @param {Pending} entry */
  #resend(entry) {
    entry.resent = true;
    this.#awaitAnswer(entry);
    this.#transmit(entry);
  }

  /** @param {Pending} entry */
  #awaitAnswer(entry) {
    entry.deadline = this.now() + this.ackTimeout;
    this.#answerBy = Math.min(this.#answerBy, entry.deadline);
  }

  /** @param {Pending} entry */
  #transmit(entry) {
    const excess = this.#excess(entry.frame);
    if (excess)
      return this.#fail(entry, new ChatError('message_too_long', excess, { undecided: entry.sent > 0 }));
    if (this.state !== 'open') return;
    entry.sent += 1;
    this.#send(entry.frame);
  }

  /** What the server would refuse, or even close the connection for. @param {SentFrame} frame */
  #excess(frame) {
    const characters = frame.type === 'CHAT_MESSAGE' && isText(frame.data) ? codePoints(frame.data) : 0;
    const bytes = byteLength(JSON.stringify(frame));
    const most = this.#bounds;
    if (characters > most.text) return `The text has ${characters} characters, at most ${most.text}`;
    return bytes > most.frame ? `The frame has ${bytes} bytes, at most ${most.frame}` : undefined;
  }

  /** @param {Pending} entry @param {ChatError} error */
  #fail(entry, error) {
    const { frame, saved, sent } = entry;
    if (saved && error.undecided) return this.#acked(ackOf(saved));
    this.pending.delete(frame.message_id);
    this.#do({ kind: 'settle', settle: () => entry.reject(error) });
    if (frame.type !== 'CHAT_MESSAGE') return;
    this.failed.set(frame.message_id, { frame, error, sent });
    this.#do({ kind: 'keep', failed: { frame, error } });
    this.#emit('status', frame.message_id, 'failed', error);
  }

  /** @param {string} id */
  #delivered(id) {
    this.#do({ kind: 'forget', id });
    this.#emit('status', id, 'delivered');
  }

  /** @param {State} state @param {StateDetail} detail */
  #setState(state, detail) {
    this.state = state;
    this.#emit('state', state, detail);
  }

  /** @param {Frame} frame */
  #send(frame) {
    this.#do({ kind: 'send', frame });
  }

  /**
   * @template {keyof Events} K
   * @param {K} name
   * @param {Events[K]} args
   */
  #emit(name, ...args) {
    this.#do({ kind: 'emit', name, args });
  }

  /** @param {Effect} effect */
  #do(effect) {
    this.#effects.push(effect);
  }
}

/** What an ACK that was lost must have said. @param {SavedMessage} saved @returns {Ack} */
function ackOf({ message_id, conversation_id, timestamp, seq }) {
  const data = 'Message processed successfully';
  return { type: 'ACK', message_id, conversation_id, timestamp, sender: 'server', seq, data };
}

/** @param {string} reason */
function connectionLost(reason) {
  return new ChatError('connection_lost', reason, { retryable: true });
}

/**
 * Failed messages of one conversation, in a storage that may be absent, full, forbidden or damaged, and that
 * other tabs write too. Each has a numbered slot; `end` is the number of the first that was never used.
 */
class FailedMessages {
  /** When to load again: another device's message will have been answered or not. In ms, as `monotonic`. */
  loadAt = Infinity;

  #options;
  #key;
  /** By message_id. @type {Map<string, number>} */
  #slots = new Map();
  /** Below it no slot is free. */
  #lowest = 0;

  /** @param {ChatOptions} options @param {string} conversationId */
  constructor(options, conversationId) {
    this.#options = options;
    this.#key = `chat/failed/${options.userId}/${conversationId}/`;
  }

  /** @returns {Failed[]} in the order of their timestamps */
  load() {
    this.loadAt = Infinity;
    const found = [];
    for (let slot = 0; slot < this.#end; slot++) {
      const failed = this.#read(slot);
      if (failed) this.#slots.set(failed.frame.message_id, slot);
      if (failed && !this.#isUnderWay(failed)) found.push(failed);
    }
    return found.sort((a, b) => String(a.frame.timestamp).localeCompare(String(b.frame.timestamp)));
  }

  /** @param {Failed} failed @param {boolean} [underWay] it may have failed when somebody reads this */
  keep({ frame, error }, underWay) {
    const slot = this.#slots.get(frame.message_id) ?? this.#freeSlot();
    if (slot >= MAX_KEPT) return;
    const by = underWay ? this.#options.clientId : undefined;
    this.#write(slot, JSON.stringify({ frame, error: { ...error, message: error.message }, by }));
    this.#slots.set(frame.message_id, slot);
    if (slot >= this.#end) this.#write('end', String(slot + 1));
  }

  /** @param {string} id */
  forget(id) {
    const slot = this.#slots.get(id);
    this.#slots.delete(id);
    if (slot === undefined || this.#read(slot)?.frame.message_id !== id) return; // another tab's by now
    this.#write(slot, null);
    this.#lowest = Math.min(this.#lowest, slot);
    let end = this.#end;
    while (end > 0 && this.#item(end - 1) === null) end -= 1;
    this.#write('end', end ? String(end) : null);
  }

  /** Another device still waits for its answer. @param {Failed & {by?: string}} failed */
  #isUnderWay({ frame, by }) {
    const { clientId, ackTimeout = ACK_TIMEOUT } = this.#options;
    const left = Date.parse(String(frame.timestamp)) + 2 * ackTimeout - Date.now();
    if (!clientId || !by || by === clientId || !(left > 0 && left <= 2 * ackTimeout)) return false;
    this.loadAt = Math.min(this.loadAt, monotonic() + left);
    return true;
  }

  #freeSlot() {
    while (this.#lowest < MAX_KEPT && this.#item(this.#lowest) !== null) this.#lowest += 1;
    return this.#lowest;
  }

  get #end() {
    return Math.min(Number(this.#item('end')) || 0, MAX_KEPT);
  }

  /** @param {number} slot @returns {(Failed & {by?: string}) | undefined} */
  #read(slot) {
    try {
      const { frame, error, by } = JSON.parse(this.#item(slot) ?? '');
      if (!isText(frame.message_id) || !isText(frame.data)) return undefined;
      return {
        frame: { ...frame, type: 'CHAT_MESSAGE' },
        error: new ChatError(error.code, error.message, error),
        by,
      };
    } catch {
      return undefined;
    }
  }

  /** @param {number | string} name */
  #item(name) {
    try {
      return this.#storage?.getItem(this.#key + name) ?? null;
    } catch {
      return null;
    }
  }

  /** @param {number | string} name @param {string | null} value */
  #write(name, value) {
    try {
      if (value === null) this.#storage?.removeItem(this.#key + name);
      else this.#storage?.setItem(this.#key + name, value);
    } catch {
      // not there after a reload, and nothing worse
    }
  }

  get #storage() {
    return this.#options.storage ?? (typeof document === 'undefined' ? undefined : localStorage);
  }
}

/** One conversation at a time; see `Events` for what it tells. */
export class ChatManager {
  #options;
  #Socket;
  #session;
  #failedMessages;
  /** @type {WebSocket | null} */
  #socket = null;
  /** Of one connection. */
  #life = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {string | undefined} */
  #token;
  /** Not told yet. @type {Extract<Effect, {kind: 'emit'}>[]} */
  #news = [];
  #telling = false;
  /** @type {Map<string, Set<Function>>} */
  #listeners = new Map();
  #watching = false;

  /** @param {ChatOptions} options */
  constructor(options) {
    this.#Socket = options.WebSocket ?? globalThis.WebSocket;
    if (!this.#Socket) throw new TypeError('No global WebSocket: pass a class as the option WebSocket');
    this.#options = options;
    [this.#session, this.#failedMessages] = this.#begin(options.conversationId);
  }

  get state() {
    return this.#session.state;
  }

  get userId() {
    return this.#session.userId;
  }

  get conversationId() {
    return this.#session.conversationId;
  }

  get clientId() {
    return this.#session.clientId;
  }

  /** What waits for its answer, by message_id. */
  get pendingMessages() {
    return this.#session.pending;
  }

  /** Own messages that were not delivered, by message_id. */
  get failedMessages() {
    return this.#session.failed;
  }

  /** Connects; while a reconnection waits, makes the attempt now. */
  connect() {
    this.#watchPage(true);
    this.#session.connect();
    this.#run();
  }

  /** Stops every timer and rejects every promise. */
  disconnect() {
    this.#watchPage(false);
    this.#session.disconnect();
    this.#run();
  }

  /**
   * Leaves this conversation for another. What was on its way has failed (`connection_lost`), until the
   * conversation is opened again and it turns out to be saved.
   * @param {string} conversationId
   */
  switchConversation(conversationId) {
    this.#session.disconnect('Another conversation was opened');
    this.#perform();
    [this.#session, this.#failedMessages] = this.#begin(conversationId);
    this.connect();
  }

  /**
   * @param {string} text
   * @param {string} [messageId] makes sure that it is saved once
   * @returns {Promise<Ack>} saved, and on its way to every device; rejected with a `ChatError`
   */
  sendMessage(text, messageId = newId()) {
    return this.sendWithAck({ type: 'CHAT_MESSAGE', message_id: messageId, data: wellFormed(text) });
  }

  /**
   * Sends any frame.
   * @param {Frame} frame
   * @returns {Promise<Ack>}
   */
  sendWithAck(frame) {
    const { conversationId: conversation_id } = this;
    return this.#submit({
      message_id: newId(),
      conversation_id,
      timestamp: new Date().toISOString(),
      ...frame,
    });
  }

  /**
   * Sends a failed message again: with the same id if it may have been saved, else with a new one.
   * @param {string} messageId
   * @returns {Promise<Ack>}
   */
  retry(messageId) {
    const again = this.#session.takeFailed(messageId, newId());
    if (!again) return Promise.reject(new ChatError('not_found', 'No such failed message'));
    return this.#submit(again.frame, again.sent);
  }

  /** Gives a failed message up. @param {string} messageId */
  discard(messageId) {
    this.#session.discard(messageId);
    this.#run();
  }

  /** Call it on every key stroke, with false at the end. @param {boolean} isTyping */
  setTyping(isTyping) {
    this.#session.typing(isTyping);
    this.#run();
  }

  /** All up to this message is read. @param {string} messageId */
  markRead(messageId) {
    return this.sendWithAck({ type: 'READ_RECEIPT', data: { message_id: messageId } });
  }

  /**
   * Stops an answer: what was written so far is saved, with `finish: 'cancelled'`.
   * @param {string} [messageId] of its chunks; without one whatever is being written or prepared
   */
  cancelResponse(messageId) {
    return this.sendWithAck({
      type: 'CANCEL_RESPONSE',
      data: messageId === undefined ? {} : { message_id: messageId },
    });
  }

  /** Asks `getToken` for a new token and gives it to the open connection. */
  async refreshToken() {
    const { getToken } = this.#options;
    const session = this.#session;
    try {
      const token = await getToken?.();
      if (!token || token === this.#token || session.state !== 'open') return;
      await this.sendWithAck({ type: 'AUTH_REFRESH', data: { token } });
      this.#useToken(token);
    } catch (error) {
      this.#emit('error', [error instanceof ChatError ? error : connectionLost(`No new token: ${error}`)]);
    }
  }

  /**
   * Saved messages, ascending: the newest, or those next to a seq.
   * @param {{beforeSeq?: number, afterSeq?: number, limit?: number, signal?: AbortSignal}} [page]
   * @returns {Promise<{items: SavedMessage[], has_more: boolean}>}
   */
  async history({ beforeSeq, afterSeq, limit = 50, signal } = {}) {
    const session = this.#session;
    const query = new URLSearchParams({ limit: String(limit) });
    if (beforeSeq !== undefined) query.set('before_seq', String(beforeSeq));
    if (afterSeq !== undefined) query.set('after_seq', String(afterSeq));
    const page = await this.#get(
      `/api/conversations/${encodeURIComponent(this.conversationId)}/messages?${query}`,
      signal,
    );
    for (const frame of page.items) session.seen(frame);
    this.#run();
    return page;
  }

  /**
   * The user's conversations.
   * @returns {Promise<Conversation[]>}
   */
  async conversations() {
    return (await this.#get(`/api/conversations?${new URLSearchParams({ user_id: this.userId })}`)).items;
  }

  /**
   * @template {keyof Events} K
   * @param {K} name
   * @param {(...args: Events[K]) => void} fn
   * @returns {() => void} removes it
   */
  on(name, fn) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(fn));
    return () => void listeners.delete(fn);
  }

  /** Settles the promise of a message. @param {Omit<Ack, 'type'>} frame */
  handleACK(frame) {
    this.#take({ ...frame, type: 'ACK' });
  }

  /** Rejects the promise of a message. @param {Omit<Nack, 'type'>} frame */
  handleNACK(frame) {
    this.#take({ ...frame, type: 'NACK' });
  }

  /**
   * @param {SentFrame} frame
   * @param {number} [sent]
   * @returns {Promise<Ack>}
   */
  #submit(frame, sent) {
    /** @type {Promise<Ack>} */
    const answer = new Promise((resolve, reject) => this.#session.submit(frame, { resolve, reject }, sent));
    answer.catch(() => {}); // the status event tells it too: no unhandled rejection
    this.#run();
    return answer;
  }

  /**
   * @param {string} conversationId
   * @returns {[ChatSession, FailedMessages]}
   */
  #begin(conversationId) {
    const clientId = this.#session?.clientId ?? this.#options.clientId ?? newId();
    const session = new ChatSession({ ...this.#options, conversationId, clientId });
    const kept = new FailedMessages(this.#options, conversationId);
    for (const failed of kept.load()) session.failed.set(failed.frame.message_id, failed);
    return [session, kept];
  }

  /** Does what the session wants done. Listeners come last, so that they find everything done. */
  #run() {
    this.#perform();
    clearTimeout(this.#timer);
    if (this.#deadline !== Infinity) {
      // setTimeout takes no more than 31 bits.
      const wait = Math.min(this.#deadline - monotonic(), 2 ** 31 - 1);
      this.#timer = setTimeout(() => this.#tick(), Math.max(0, wait));
    }
    this.#tell();
  }

  #perform() {
    for (let effect; (effect = this.#session.take());) {
      if (effect.kind === 'emit') this.#news.push(effect);
      else this.#act(effect);
    }
  }

  /** In order, also when a listener causes more. */
  #tell() {
    if (this.#telling) return;
    this.#telling = true;
    for (let event; (event = this.#news.shift());) this.#emit(event.name, event.args);
    this.#telling = false;
  }

  get #deadline() {
    const { deadline, state } = this.#session;
    return state === 'closed' ? deadline : Math.min(deadline, this.#failedMessages.loadAt);
  }

  #tick() {
    this.#session.tick();
    if (this.#failedMessages.loadAt <= monotonic())
      for (const failed of this.#failedMessages.load()) this.#session.adopt(failed);
    this.#run();
  }

  /** @param {Exclude<Effect, {kind: 'emit'}>} effect */
  #act(effect) {
    switch (effect.kind) {
      case 'open':
        return this.#open();
      case 'drop':
        return this.#drop();
      case 'send':
        return this.#socket?.send(JSON.stringify(effect.frame));
      case 'settle':
        return effect.settle();
      case 'keep':
        return this.#failedMessages.keep(effect.failed, effect.underWay);
      case 'forget':
        return this.#failedMessages.forget(effect.id);
      case 'fill':
        return void this.#fill(effect.after);
      case 'refresh':
        return void this.refreshToken();
    }
  }

  #open() {
    this.#drop();
    const { getToken } = this.#options;
    if (getToken) void this.#openWithToken(getToken, this.#life.signal);
    else if (this.#session.needsNewToken) this.#session.end(TOKEN_EXPIRED, 'The token has expired');
    else this.#openSocket();
  }

  /** @param {() => string | Promise<string>} getToken @param {AbortSignal} signal */
  async #openWithToken(getToken, signal) {
    try {
      const token = await getToken();
      if (signal.aborted) return;
      if (this.#session.needsNewToken && token === this.#token)
        this.#session.end(TOKEN_EXPIRED, 'The token has expired');
      else this.#openSocket(token);
    } catch (error) {
      if (!signal.aborted) this.#session.lost(BROKEN, `No token: ${error}`);
    }
    this.#run();
  }

  /** @param {string} [token] */
  #openSocket(token) {
    const url = this.#options.url.replace(/^http/, 'ws').replace(/\/$/, '') + this.#session.path;
    const protocols = token ? ['chat.v1', `bearer.${token}`] : [];
    const socket = (this.#socket = new this.#Socket(url, protocols));
    this.#token = token;
    socket.onmessage = (/** @type {MessageEvent} */ { data }) => this.#received(data);
    socket.onclose = (/** @type {CloseEvent} */ { code, reason }) => this.#lost(code, reason);
    // Node's WebSocket says no more than this when it is refused; a close that follows has nothing to add.
    socket.onerror = () => this.#lost(BROKEN, '');
  }

  #drop() {
    this.#life.abort();
    this.#life = new AbortController();
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    socket.onmessage = socket.onclose = socket.onerror = () => {}; // the ws package throws an error nobody listens to
    socket.close(NORMAL);
  }

  /** @param {number} code @param {string} reason */
  #lost(code, reason) {
    this.#drop();
    this.#session.lost(code, reason);
    this.#run();
  }

  /** @param {unknown} payload */
  #received(payload) {
    let frame;
    try {
      frame = parseFrame(payload);
    } catch (error) {
      return this.#emit('error', [error]);
    }
    if (frame.type === 'ACK') return this.handleACK(frame);
    if (frame.type === 'NACK') return this.handleNACK(frame);
    this.#take(frame);
    if (frame.type === 'SYSTEM' && frame.data.event === 'connected' && this.#token)
      this.#useToken(this.#token);
  }

  /** @param {ServerFrame} frame */
  #take(frame) {
    this.#session.received(frame);
    this.#run();
  }

  /** @param {string} token of the open connection */
  #useToken(token) {
    this.#token = token;
    this.#session.refreshTokenAt(monotonic() + refreshDelay(token, Date.now()));
    this.#run();
  }

  /** One page of a gap. @param {number} afterSeq */
  async #fill(afterSeq) {
    const { signal } = this.#life;
    try {
      const { items } = await this.history({ afterSeq, limit: 200, signal });
      this.#session.filled(items);
    } catch (error) {
      if (signal.aborted) return;
      // What will not get better is left out; else the next connection tries again.
      if (!(error instanceof ChatError) || error.retryable)
        return this.#lost(BROKEN, 'The history cannot be read');
      this.#emit('error', [error]);
      this.#session.filled([]);
    }
    this.#run();
  }

  /**
   * @param {string} path
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async #get(path, signal) {
    const token = this.#token ?? (await this.#options.getToken?.());
    const headers = token ? { Authorization: `Bearer ${token}` } : undefined;
    const url = this.#options.url.replace(/^ws/, 'http').replace(/\/$/, '') + path;
    const response = await fetch(url, { headers, signal });
    const body = await response.json();
    if (!response.ok) throw ChatError.of(body);
    return body;
  }

  /** @param {keyof Events} name @param {any[]} args */
  #emit(name, args) {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(...args);
      } catch (error) {
        setTimeout(() => {
          throw error;
        }); // told as any fault, and no other listener's trouble
      }
    }
  }

  #resume = () => {
    if (document.visibilityState === 'hidden') return;
    this.#session.resume();
    this.#run();
  };

  /** @param {boolean} on */
  #watchPage(on) {
    if (typeof document === 'undefined' || on === this.#watching) return;
    this.#watching = on;
    const change = on ? 'addEventListener' : 'removeEventListener';
    document[change]('visibilitychange', this.#resume);
    for (const name of ['pageshow', 'online', 'offline']) globalThis[change](name, this.#resume);
  }
}

/** A UUID; crypto.randomUUID is not there over plain http. */
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (c) =>
    (+c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (+c / 4)))).toString(16),
  );
}

function monotonic() {
  return performance.now();
}

/** The server refuses a frame with a lone surrogate. @param {string} text */
function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, '\uFFFD');
}

/** @param {string} text */
function codePoints(text) {
  return [...text].length;
}

/** In UTF-8. @param {string} text */
function byteLength(text) {
  return new TextEncoder().encode(text).length;
}
