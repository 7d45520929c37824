import assert from 'node:assert/strict';
import { test } from 'node:test';

import { grow } from '../../../../server/web/chat-client.js';
import { Bench } from './bench.js';

/** A session that is told the pieces of answers. */
class Listener extends Bench {
  piece(offset, text, message_id = 'x') {
    this.session.received({ type: 'AI_RESPONSE_CHUNK', message_id, data: { text, index: 0, offset } });
    return this;
  }

  abort(message_id = 'x') {
    this.session.received({ type: 'AI_RESPONSE_CHUNK', message_id, data: { aborted: true } });
    return this;
  }

  reconnect(welcome) {
    this.session.lost(1006, '');
    this.session.connect();
    return this.welcome(welcome);
  }

  /** Every text that was shown, in turn. */
  get texts() {
    return this.told('chunk').map(([, text]) => text);
  }
}

test('pieces grow into the text so far, counted in code points', () => {
  const listener = new Listener().open();
  listener.piece(0, 'a\u{1F600}').piece(2, '\u{1F468}\u200D\u{1F469}').piece(5, '!');
  assert.deepEqual(listener.texts, [
    'a\u{1F600}',
    'a\u{1F600}\u{1F468}\u200D\u{1F469}',
    'a\u{1F600}\u{1F468}\u200D\u{1F469}!',
  ]);
});

test('what comes after a hole is not shown, until a piece has all of it', () => {
  const listener = new Listener().open();
  listener.piece(0, 'Hel').piece(5, ' wor').piece(9, 'ld').piece(0, 'Hello world').piece(11, '!');
  assert.deepEqual(listener.texts, ['Hel', 'Hello world', 'Hello world!']);
});

test('an answer whose beginning this device never saw is not shown from the middle', () => {
  assert.deepEqual(new Listener().open().piece(4, 'world').texts, []);
});

test('of a piece that overlaps only what is new is shown', () => {
  const listener = new Listener().open();
  listener.piece(0, 'Hel').piece(2, 'llo').piece(0, 'Hel').piece(1, 'ell').piece(5, '.');
  assert.deepEqual(listener.texts, ['Hel', 'Hello', 'Hello.']);
});

test('a piece that contradicts what is shown is not', () => {
  assert.deepEqual(new Listener().open().piece(0, 'Hello').piece(2, 'XX').piece(5, '!').texts, [
    'Hello',
    'Hello!',
  ]);
});

test('an answer that is begun anew takes the place of what was shown', () => {
  assert.deepEqual(new Listener().open().piece(0, 'Hello').piece(0, 'Good').piece(4, ' day').texts, [
    'Hello',
    'Good',
    'Good day',
  ]);
});

test('after an abort the text is forgotten, and the same answer may begin again', () => {
  const listener = new Listener().open();
  listener.piece(0, 'Hel').abort().piece(3, 'lo').piece(0, 'New');
  assert.deepEqual(listener.texts, ['Hel', 'Hel', 'New']);
  assert.equal(listener.told('chunk')[1][0].data.aborted, true);
});

test('an abort is told though nothing was shown: an answer that was being prepared is not coming', () => {
  assert.deepEqual(new Listener().open().abort().texts, ['']);
});

test('a reconnection, and another log, begin with all of the text or with nothing', () => {
  for (const welcome of [{}, { epoch: 'e2' }]) {
    const listener = new Listener().open().piece(0, 'Hel').reconnect(welcome).piece(3, 'lo');
    assert.deepEqual(listener.texts, ['Hel']);
    assert.deepEqual(listener.piece(0, 'Hello').piece(5, '!').texts, ['Hel', 'Hello', 'Hello!']);
  }
});

test('what comes late, after the whole answer, is not shown', () => {
  const listener = new Listener().open().piece(0, 'Hel');
  listener.saved(1, { message_id: 'x', data: 'Hello' }).piece(3, 'lo').piece(0, 'Hello').abort();
  assert.deepEqual(listener.texts, ['Hel']);
  listener.reconnect({ last_seq: 1 }).piece(0, 'Hello');
  assert.deepEqual(listener.texts, ['Hel']);
  listener.reconnect({ last_seq: 0, epoch: 'e2' }).piece(0, 'Other'); // a new log has the same names
  assert.deepEqual(listener.texts, ['Hel', 'Other']);
});

test('answers side by side do not disturb each other', () => {
  const listener = new Listener().open();
  listener.piece(0, 'one').piece(0, 'two', 'y').piece(3, '!').piece(3, '?', 'y');
  assert.deepEqual(listener.texts, ['one', 'two', 'one!', 'two?']);
});

test('whatever pieces come, what is shown is always a beginning of the text', () => {
  const text = 'H\u{1F600}\u{1F600}llo w\u00f6rld, \u{1F468}\u200D\u{1F469}\u200D\u{1F467} aaaa aaaa';
  const points = [...text];
  for (let round = 0; round < 2_000; round++) {
    let stream;
    for (let step = 0; step < 20; step++) {
      const offset = Math.floor(Math.random() * points.length);
      const piece = points.slice(offset, offset + Math.ceil(Math.random() * 12)).join('');
      const grown = grow(stream, { text: piece, offset });
      if (!grown) continue;
      assert.ok(text.startsWith(grown.text), `${stream?.text} + ${offset} ${piece}`);
      assert.equal(grown.length, [...grown.text].length);
      assert.ok(grown.length > (stream?.length ?? 0));
      stream = grown;
    }
  }
});
