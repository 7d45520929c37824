import assert from 'node:assert/strict';
import { test } from 'node:test';

import { dayLabel, lengthOf, nameOf, plural, short, toPeople } from '../../../../server/web/page/format.js';

test('a conversation is named after its AI until the server tells', () => {
  assert.equal(nameOf('conv_kai_ai_alex'), 'Alex');
  assert.equal(nameOf('ai_sam'), 'Sam');
  assert.equal(nameOf('something'), 'Something');
});

test('large numbers are cut short', () => {
  assert.deepEqual([1, 99, 100].map(short), ['1', '99', '99+']);
});

test('a reason is told without the names of fields and settings', () => {
  assert.equal(toPeople('data: the text is too long'), 'The text is too long');
  assert.equal(toPeople('No data: nothing'), 'No data: nothing');
  assert.equal(toPeople('too many connections of this user (20)'), 'Too many connections of this user (20)');
  assert.equal(toPeople('not from here (server.allowed_origins)'), 'Not from here');
});

test('days are told as people do', () => {
  const today = new Date(2026, 10, 23, 0, 30);
  const told = (...date) => dayLabel(new Date(...date), today);
  assert.equal(told(2026, 10, 23, 23, 59), 'Today');
  assert.equal(told(2026, 10, 22, 23, 59), 'Yesterday');
  assert.doesNotMatch(told(2026, 10, 17), /\d/);
  assert.match(told(2026, 10, 16), /16/);
  assert.doesNotMatch(told(2026, 10, 16), /2026/);
  assert.match(told(2025, 10, 22), /2025/);
});

test('lengths are counted in code points', () => {
  assert.equal(lengthOf('a\u{1F600}'), 2);
});

test('one is not many', () => {
  assert.deepEqual(
    [0, 1, 2].map((count) => plural(count, 'device', 'devices')),
    ['0 devices', '1 device', '2 devices'],
  );
});
