import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  EMPTY,
  begun,
  failed,
  gone,
  isBlank,
  retried,
  sendable,
  submitted,
  trimmed,
} from '../../../../server/web/page/draft.js';

test('what was sent makes room for the next message, and a draft goes on', () => {
  assert.equal(begun(submitted({ text: 'sent' })), EMPTY);
  assert.equal(begun(failed({ text: 'failed' })), EMPTY);
  assert.deepEqual(begun({ text: 'half a tho' }), { text: 'half a tho' });
});

test('what is under way cannot be sent again, what failed and a draft can', () => {
  assert.deepEqual([submitted({ text: 'x' }), failed({ text: 'x' }), { text: 'x' }, EMPTY].map(sendable), [
    false,
    true,
    true,
    false,
  ]);
});

test('a retry is followed by the composer that stands for its message, and by no draft', () => {
  assert.equal(retried(failed({ text: ' x\n' }), ' x').sent, 'underway');
  assert.equal(retried(failed({ text: 'y' }), 'x').sent, 'failed');
  assert.equal(retried({ text: 'x' }, 'x').sent, undefined);
});

test('a failed text goes with its message; a draft of the same words and what is under way stay', () => {
  assert.equal(gone(failed({ text: 'x\n' }), 'x'), EMPTY);
  for (const draft of [{ text: 'x' }, submitted({ text: 'x' }), failed({ text: 'y' })])
    assert.equal(gone(draft, 'x'), draft);
});

test('characters that show nothing are no message', () => {
  for (const text of ['', ' \n\t', '\u200b', '\u2800', '\u3164\u115f', '\ufe0f', '\u00ad\u2060'])
    assert.ok(isBlank(text), JSON.stringify(text));
  for (const text of ['x', '\u200bx', '愛', '👍🏽', '.']) assert.ok(!isBlank(text), JSON.stringify(text));
});

test('blank lines around a text are left out, and the indentation of its first line is not', () => {
  assert.equal(trimmed('\n  \n    if x:\n        y()\n\n '), '    if x:\n        y()');
  assert.equal(trimmed(' \n '), '');
});
