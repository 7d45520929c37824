import assert from 'node:assert/strict';
import { test } from 'node:test';

import { backoff, reconnectsAfter, refreshDelay } from '../../../../server/web/chat-client.js';
import { Bench } from './bench.js';

test('close codes decide about reconnecting, unknown ones by their range', () => {
  for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 4000, 4001, 4002, 4003, 4499])
    assert.equal(reconnectsAfter(code), true, `${code}`);
  for (const code of [1000, 1002, 1007, 1008, 1009, 4500, 4999])
    assert.equal(reconnectsAfter(code), false, `${code}`);
});

test('backoff doubles from 0.5 s to 30 s with full jitter', () => {
  assert.deepEqual(
    [0, 1, 2, 6, 50].map((attempt) => backoff(attempt, 1006, 1)),
    [500, 1000, 2000, 30_000, 30_000],
  );
  assert.equal(backoff(3, 1006, 0), 0);
});

test('after 1013 backoff never goes below 5 s', () => {
  assert.equal(backoff(0, 1013, 0), 5_000);
  assert.equal(backoff(0, 1013, 1), 10_000);
  assert.equal(backoff(9, 1013, 1), 30_000);
});

test('a token is refreshed a little before it runs out', () => {
  const token = (exp) => `h.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.s`;
  assert.equal(refreshDelay(token(3600), 0), 3_570_000);
  assert.equal(refreshDelay(token(10), 0), 8_000);
  assert.equal(refreshDelay(token(10), 60_000), 0);
});

test('of a token that cannot be read nothing is known', () => {
  for (const token of [undefined, '', 'opaque', 'a.b.c', `h.${btoa('{}')}.s`])
    assert.equal(refreshDelay(token, 0), Infinity);
});

test('the first connection asks for no replay, a later one brings session, seq and epoch', () => {
  const bench = new Bench();
  assert.equal(bench.path.search, '?conversation_id=conv_ai_alex&client_id=phone');
  bench.open({ last_seq: 7 }).saved(8).session.lost(1006, '');
  const query = Object.fromEntries(bench.path.searchParams);
  assert.deepEqual(query, {
    conversation_id: 'conv_ai_alex',
    client_id: 'phone',
    session_id: 's1',
    last_seq: '8',
    epoch: 'e1',
  });
});

test('a message is sending, then delivered with its ACK', () => {
  const bench = new Bench().open().submit('a');
  assert.equal(bench.sent.length, 1);
  bench.session.received({ type: 'ACK', message_id: 'a', seq: 1, duplicate: true });
  assert.deepEqual(bench.told('status'), [
    ['a', 'sending'],
    ['a', 'delivered'],
  ]);
  assert.equal(bench.session.pending.size, 0);
  assert.equal(bench.done.at(-2).kind, 'forget');
});

test('a NACK fails the message with the code, and a retry takes a new id', () => {
  const bench = new Bench().open().submit('a');
  bench.session.received({
    type: 'NACK',
    message_id: 'a',
    data: 'Too fast',
    error: { code: 'rate_limited', retryable: true, retry_after: 3 },
  });
  const [, [id, status, error]] = bench.told('status');
  assert.deepEqual(
    [id, status, error.code, error.retryable, error.retryAfter, error.message],
    ['a', 'failed', 'rate_limited', true, 3, 'Too fast'],
  );
  assert.equal(bench.session.takeFailed('a', 'b')?.frame.message_id, 'b');
  assert.equal(bench.session.failed.size, 0);
});

test('after outcome_unknown, a time-out or a lost connection a retry keeps the id', () => {
  const bench = new Bench({ maxAttempts: 0 }).open().submit('unknown').submit('late');
  bench.session.received({
    type: 'NACK',
    message_id: 'unknown',
    data: '?',
    error: { code: 'outcome_unknown', retryable: true },
  });
  bench.after(10_000).after(10_000).submit('lost').session.lost(1006, '');
  assert.deepEqual(
    [...bench.session.failed.values()].map(({ error }) => error.code),
    ['outcome_unknown', 'timeout', 'connection_lost'],
  );
  for (const id of ['unknown', 'late', 'lost'])
    assert.equal(bench.session.takeFailed(id, 'new')?.frame.message_id, id);
});

test('a message without an answer is sent twice with one id, then it has failed', () => {
  const bench = new Bench().open().submit('a');
  bench.after(9_999);
  assert.deepEqual(
    bench.sent.map((frame) => frame.message_id),
    ['a'],
  );
  bench.after(1);
  assert.deepEqual(
    bench.sent.map((frame) => frame.message_id),
    ['a', 'a'],
  );
  bench.after(9_999);
  assert.deepEqual(
    bench.told('status').map(([, status]) => status),
    ['sending'],
  );
  bench.after(1);
  assert.equal(bench.sent.length, 2);
  assert.deepEqual(
    bench.told('status').map(([, status]) => status),
    ['sending', 'failed'],
  );
});

test('a NACK to a resend leaves the first one open: a retry keeps the id', () => {
  const bench = new Bench().open().submit('a').after(10_000);
  bench.session.received({
    type: 'NACK',
    message_id: 'a',
    data: '',
    error: { code: 'rate_limited', retryable: true },
  });
  assert.equal(bench.session.takeFailed('a', 'b')?.frame.message_id, 'a');
});

test('a NACK to a retry leaves what was sent before open: the next retry keeps the id', () => {
  const bench = new Bench().open().submit('a').after(10_000).after(10_000);
  const { frame, sent } = bench.session.takeFailed('a', 'b');
  assert.equal(sent, 2);
  bench.session.submit(frame, { resolve() {}, reject() {} }, sent);
  const nack = { type: 'NACK', message_id: 'a', data: '', error: { code: 'rate_limited', retryable: true } };
  bench.after().session.received(nack);
  assert.equal(bench.session.takeFailed('a', 'b')?.frame.message_id, 'a');
});

test('a message that was seen as saved is delivered, also when its ACK is lost', () => {
  for (const ending of [
    (bench) => bench.after(10_000).after(10_000),
    (bench) => bench.session.disconnect(),
  ]) {
    const bench = new Bench().open().submit('a').saved(1, { type: 'CHAT_MESSAGE', message_id: 'a' });
    ending(bench);
    assert.deepEqual(
      bench.told('status').map(([, status]) => status),
      ['sending', 'delivered'],
    );
  }
});

test('what was seen in a log that was replaced since proves nothing', () => {
  const bench = new Bench().open().submit('a').saved(1, { type: 'CHAT_MESSAGE', message_id: 'a' });
  bench.session.lost(1006, '');
  bench.session.connect();
  bench.welcome({ epoch: 'e2' }).after(10_000).after(10_000);
  assert.deepEqual(
    bench.told('status').map(([, status]) => status),
    ['sending', 'failed'],
  );
});

test('an ACK that comes after the time-out still delivers', () => {
  const bench = new Bench({ ackTimeout: 10 }).open().submit('a').after(10).after(10);
  assert.equal(bench.session.failed.size, 1);
  bench.session.received({ type: 'ACK', message_id: 'a', seq: 1, duplicate: true });
  assert.equal(bench.told('status').at(-1)[1], 'delivered');
  assert.equal(bench.session.failed.size, 0);
});

test('a failed message that turns up in the conversation is delivered', () => {
  const bench = new Bench({ ackTimeout: 10 })
    .open()
    .submit('a')
    .after(10)
    .after(10)
    .saved(1, { type: 'CHAT_MESSAGE', message_id: 'a' });
  assert.equal(bench.told('status').at(-1)[1], 'delivered');
  assert.equal(bench.session.failed.size, 0);
});

test('what waits is sent again in order on the next connection, with the same ids', () => {
  const bench = new Bench().open().submit('a').submit('b');
  bench.session.lost(1006, '');
  bench.submit('c').clear().session.connect();
  bench.welcome();
  assert.deepEqual(
    bench.sent.map((frame) => frame.message_id),
    ['a', 'b', 'c'],
  );
});

test('what is sent before the welcome goes out after it', () => {
  const bench = new Bench();
  bench.session.connect();
  assert.equal(bench.submit('a').sent.length, 0);
  assert.equal(bench.welcome().sent.length, 1);
});

test('what is sent while closed fails at once', () => {
  const bench = new Bench().submit('a');
  assert.deepEqual(
    bench.told('status').map(([, status, error]) => [status, error?.code]),
    [
      ['sending', undefined],
      ['failed', 'connection_lost'],
    ],
  );
});

test('every saved message is told once and in order', () => {
  const bench = new Bench().open({ last_seq: 4 }).saved(4).saved(5).saved(5).saved(6);
  assert.deepEqual(bench.seqs, [5, 6]);
});

test('a hole in the order makes a new connection that asks for the missing', () => {
  const bench = new Bench().open().saved(1).saved(3);
  assert.deepEqual(bench.seqs, [1]);
  assert.equal(bench.count('drop'), 1);
  assert.equal(bench.session.state, 'reconnecting');
  assert.equal(bench.path.searchParams.get('last_seq'), '1');
});

test('an ACK whose message was never seen makes a new connection', () => {
  const bench = new Bench().open().submit('a');
  bench.session.received({ type: 'ACK', message_id: 'a', seq: 1 });
  assert.equal(bench.session.state, 'reconnecting');
});

test('an ACK that overtakes a replay is no reason to reconnect', () => {
  const bench = new Bench().open().submit('a');
  bench.session.lost(1006, '');
  bench.session.connect();
  bench.welcome({ last_seq: 3 });
  bench.session.received({ type: 'ACK', message_id: 'a', seq: 4 });
  assert.equal(bench.session.state, 'open');
});

test('a gap is read from the history page by page, and what comes live meanwhile waits', () => {
  const bench = new Bench().open({ last_seq: 1 });
  bench.session.lost(1006, '');
  bench.session.connect();
  bench.welcome({ last_seq: 4, gap: { from: 2, to: 4 } }).saved(5);
  assert.deepEqual(bench.seqs, []);
  const frame = (seq) => ({ type: 'AI_RESPONSE', message_id: `m${seq}`, seq, data: '' });
  bench.session.filled([frame(2), frame(3)]);
  assert.deepEqual(
    bench
      .after()
      .done.filter(({ kind }) => kind === 'fill')
      .map(({ after }) => after),
    [1, 3],
  );
  bench.session.filled([frame(3), frame(4), frame(5)]);
  assert.deepEqual(bench.seqs, [2, 3, 4, 5]);
  assert.equal(bench.count('fill'), 2);
});

test('a gap that the history cannot fill is passed over', () => {
  const bench = new Bench().open({ last_seq: 1 });
  bench.session.lost(1006, '');
  bench.session.connect();
  bench.welcome({ last_seq: 4, gap: { from: 2, to: 4 } }).saved(5);
  bench.session.filled([]);
  assert.deepEqual(bench.seqs, [5]);
});

test('a replaced log is read from its start', () => {
  for (const welcome of [
    { epoch: 'e2', last_seq: 0 },
    { epoch: 'e2', last_seq: 12 },
    { epoch: 'e1', last_seq: 0 },
  ]) {
    const bench = new Bench().open({ last_seq: 9 });
    bench.session.lost(1006, '');
    bench.session.connect();
    bench.welcome(welcome).saved(1);
    assert.deepEqual(bench.seqs, [1], JSON.stringify(welcome));
  }
});

test('a connection that is lost while a gap is read begins anew', () => {
  const bench = new Bench().open({ last_seq: 1 });
  bench.session.lost(1006, '');
  bench.session.connect();
  bench.welcome({ last_seq: 4, gap: { from: 2, to: 4 } }).saved(5);
  bench.session.lost(1006, '');
  bench.session.connect();
  bench.welcome({ last_seq: 5 }).saved(2);
  assert.deepEqual(bench.seqs, [2]);
});

test('a history that cannot be read makes the attempts rarer, one that can makes them quick again', () => {
  const bench = new Bench().open({ last_seq: 1 });
  const waits = [];
  for (let round = 0; round < 3; round++) {
    bench.session.lost(1006, '');
    waits.push(bench.told('state').at(-1)[1].retryIn);
    bench.session.connect();
    bench.welcome({ last_seq: 4, gap: { from: 2, to: 4 } });
  }
  bench.session.filled([]);
  bench.session.lost(1006, '');
  assert.deepEqual([...waits, bench.told('state').at(-1)[1].retryIn], [500, 1000, 2000, 500]);
});

test('an ACK during a gap says nothing of lost messages', () => {
  const bench = new Bench().open({ last_seq: 1 });
  bench.session.lost(1006, '');
  bench.session.connect();
  bench.welcome({ last_seq: 1, gap: { from: 2, to: 2 } }).submit('a');
  bench.session.received({ type: 'ACK', message_id: 'a', seq: 3 });
  assert.equal(bench.session.state, 'open');
});

test('after an expired token any will do once a new one was taken', () => {
  const bench = new Bench().open();
  bench.session.lost(4003, '');
  assert.equal(bench.session.needsNewToken, true);
  bench.session.connect();
  bench.welcome();
  assert.equal(bench.session.needsNewToken, false);
});

test('attempts are spaced by the backoff and give up after maxAttempts', () => {
  const bench = new Bench({ maxAttempts: 2 });
  bench.session.connect();
  bench.session.lost(1006, '');
  assert.equal(bench.after(499).count('open'), 1);
  assert.equal(bench.after(1).count('open'), 2);
  bench.session.lost(1006, '');
  assert.deepEqual(bench.told('state').at(-1), ['reconnecting', { code: 1006, reason: '', retryIn: 1000 }]);
  bench.after(1000).session.lost(1006, 'gone');
  assert.deepEqual(bench.told('state').at(-1), ['closed', { code: 1006, reason: 'gone' }]);
});

test('a welcome makes the next backoff short again', () => {
  const bench = new Bench();
  bench.session.connect();
  for (const wait of [500, 1000, 2000]) {
    bench.session.lost(1006, '');
    bench.after(wait);
  }
  bench.welcome().clear().session.lost(1006, '');
  assert.equal(bench.told('state').at(-1)[1].retryIn, 500);
});

test('a server that shuts down says when to come back', () => {
  const bench = new Bench().open();
  bench.session.received({ type: 'SYSTEM', data: { event: 'shutdown', reconnect_after: 7 } });
  bench.session.lost(1001, 'bye');
  assert.equal(bench.told('state').at(-1)[1].retryIn, 7_500);
});

test('a final close fails what waits and does not reconnect', () => {
  const bench = new Bench().open().submit('a');
  bench.session.lost(4500, 'Replaced');
  assert.equal(bench.session.state, 'closed');
  assert.equal(bench.session.failed.get('a')?.error.code, 'connection_lost');
  assert.equal(bench.session.deadline, Infinity);
});

test('a connection that stays silent is given up', () => {
  const bench = new Bench().open({ heartbeat_timeout: 60 });
  bench.after(59_000).session.received({ type: 'PING', message_id: 'p', data: { n: 1 } });
  assert.deepEqual(bench.sent, [{ type: 'PONG', message_id: 'p', data: { n: 1 } }]);
  assert.equal(bench.after(59_999).session.state, 'open');
  assert.equal(bench.after(1).session.state, 'reconnecting');
});

test('a server that accepts and says nothing is given up', () => {
  const bench = new Bench();
  bench.session.connect();
  assert.equal(bench.after(10_000).session.state, 'reconnecting');
});

test('resume probes an open connection, and any frame answers', () => {
  const bench = new Bench().open();
  bench.session.resume();
  assert.deepEqual(bench.sent, [{ type: 'PING' }]);
  bench.after(4_000).session.received({ type: 'PONG' });
  assert.equal(bench.after(10_000).session.state, 'open');
  bench.session.resume();
  assert.equal(bench.after(5_000).session.state, 'reconnecting');
});

test('resume makes the attempt that is waited for at once', () => {
  const bench = new Bench().open();
  bench.session.lost(1013, 'full');
  bench.clear().session.resume();
  assert.equal(bench.count('open'), 1);
});

test('typing is thinned out, and ends with the message', () => {
  const bench = new Bench().open();
  const sent = () =>
    bench.sent.filter(({ type }) => type === 'TYPING_INDICATOR').map(({ data }) => data.is_typing);
  bench.session.typing(true);
  bench.session.typing(true);
  assert.deepEqual(sent(), [true]);
  bench.after(2_500).session.typing(true);
  bench.session.typing(false);
  bench.session.typing(false);
  assert.deepEqual(sent(), [true, true, false]);
  bench.session.typing(true);
  bench.submit('a').session.typing(false);
  assert.deepEqual(sent(), [true, true, false, true]);
});

test('frames for the application come as events', () => {
  const bench = new Bench().open();
  const types = {
    TYPING_INDICATOR: 'typing',
    READ_RECEIPT: 'receipt',
    NEW_MATCH: 'match',
    AI_STATUS: 'aiStatus',
    CONVERSATION_CREATED: 'conversation',
  };
  for (const [type, name] of Object.entries(types)) {
    bench.session.received({ type, data: {} });
    assert.equal(bench.told(name).length, 1, name);
  }
  bench.session.received({
    type: 'ERROR',
    data: 'No JSON',
    error: { code: 'invalid_json', retryable: false },
  });
  assert.equal(bench.told('error')[0][0].code, 'invalid_json');
  bench.session.received({ type: 'SOMETHING_NEW', data: {} });
});

test('what is longer than the server takes fails by itself, before it is sent', () => {
  const bench = new Bench().open({ max_text_length: 3 });
  bench.submit('long', 'four').submit('short', '\u{1F600}\u{1F600}\u{1F600}'); // three code points
  assert.deepEqual(
    bench.sent.map(({ message_id }) => message_id),
    ['short'],
  );
  const [id, status, error] = bench.told('status').find(([, status]) => status === 'failed');
  assert.deepEqual([id, status, error.code, error.retryable], ['long', 'failed', 'message_too_long', false]);
  assert.equal(bench.session.takeFailed('long', 'again')?.frame.message_id, 'again');
});

test('what was said before the first welcome is measured with it', () => {
  const bench = new Bench();
  bench.session.connect();
  bench.submit('long', 'four').submit('short', 'one');
  assert.deepEqual([...bench.session.pending.keys()], ['long', 'short']);
  bench.welcome({ max_text_length: 3 });
  assert.deepEqual([...bench.session.pending.keys()], ['short']);
  assert.equal(bench.session.failed.get('long')?.error.code, 'message_too_long');
});

test('a frame of more bytes than the server takes fails by itself', () => {
  for (const [welcome, most] of [
    [{}, 65_536],
    [{ max_frame_bytes: 200 }, 200],
  ]) {
    const bench = new Bench().open(welcome);
    const frame = (message_id, note) => ({ type: 'AUTH_REFRESH', message_id, data: { token: note } });
    const room = most - JSON.stringify(frame('a', '')).length;
    const reasons = [];
    const handles = { resolve() {}, reject: (error) => reasons.push(error.code) };
    bench.session.submit(frame('a', '\u00e9'.repeat(room / 2)), handles); // two bytes each
    bench.session.submit(frame('b', `${'\u00e9'.repeat(room / 2)}xx`), handles);
    assert.deepEqual(
      bench.sent.map(({ message_id }) => message_id),
      ['a'],
    );
    for (const { kind, settle } of bench.done) if (kind === 'settle') settle();
    assert.deepEqual(reasons, ['message_too_long']);
  }
});

test('one that may have been saved under wider bounds keeps its id', () => {
  const bench = new Bench().open({ max_text_length: 9 }).submit('a', 'four');
  bench.session.lost(1006, '');
  bench.session.connect();
  bench.welcome({ max_text_length: 3 });
  assert.equal(bench.session.takeFailed('a', 'b')?.frame.message_id, 'a');
});

test('a server of another protocol version is not tried again', () => {
  const bench = new Bench();
  bench.session.connect();
  bench.submit('a').welcome({ protocol: 2 });
  assert.equal(bench.count('drop'), 1);
  const [state, { code, reason }] = bench.told('state').at(-1);
  assert.deepEqual([state, code], ['closed', 1002]);
  assert.match(reason, /version 2 .* version 1/);
  assert.equal(bench.session.failed.get('a')?.error.message, reason);
  assert.equal(bench.session.deadline, Infinity);
});
