import assert from 'node:assert/strict';
import { test } from 'node:test';

import { rows } from '../../../../server/web/page/timeline.js';

const at = (time) => new Date(`2026-03-03T${time}:00`);
const saved = (seq, sender, time) => ({ id: `m${seq}`, sender, text: '', at: at(time), seq });
const shape = (items) =>
  rows(items).map((row) =>
    'day' in row ? 'day' : `${row.key}${row.first ? ' first' : ''}${row.last ? ' last' : ''}`,
  );

test('saved messages stand in seq order, then what is being written, then what is on its way', () => {
  const items = [
    { id: 'failed', sender: 'user', text: '', at: at('10:00'), status: 'failed' },
    { id: 'stream', sender: 'ai', text: '', at: at('10:00'), streaming: true },
    { id: 'sending', sender: 'user', text: '', at: at('10:00'), status: 'sending' },
    saved(2, 'ai', '10:00'),
    saved(1, 'user', '10:00'),
  ];
  assert.deepEqual(
    rows(items)
      .slice(1)
      .map(({ key }) => key),
    ['m1', 'm2', 'stream', 'failed', 'sending'],
  );
});

test('what one side writes in one go is a group', () => {
  const items = [
    saved(1, 'ai', '10:00'),
    saved(2, 'ai', '10:02'),
    saved(3, 'ai', '10:04'),
    saved(4, 'user', '10:04'),
  ];
  assert.deepEqual(shape(items), ['day', 'm1 first', 'm2', 'm3 last', 'm4 first last']);
});

test('a pause of five minutes ends a group', () => {
  assert.deepEqual(shape([saved(1, 'ai', '10:00'), saved(2, 'ai', '10:05')]), [
    'day',
    'm1 first last',
    'm2 first last',
  ]);
});

test('a day begins with a separator, and a group with it', () => {
  const next = { ...saved(2, 'ai', '00:01'), at: new Date('2026-03-04T00:01:00') };
  assert.deepEqual(shape([saved(1, 'ai', '23:59'), next]), ['day', 'm1 first last', 'day', 'm2 first last']);
});
