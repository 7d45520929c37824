import assert from 'node:assert/strict';
import { test } from 'node:test';

import { conversationOf, idOf, isIdentifier } from '../../../../server/web/page/names.js';

const NAMES = [
  '愛',
  'さくら',
  'Саша',
  'Мария',
  'محمد',
  'שרה',
  'अनन्या',
  '지우',
  '🎉',
  'Zoë',
  'Søren',
  'O’Brien',
  'x',
];

test('a name of Latin letters becomes an identifier that people can read', () => {
  assert.equal(idOf('Zoë K.'), 'zoe-k');
  assert.equal(idOf('  Mia  Torres '), 'mia-torres');
  assert.equal(idOf("O'Brien"), idOf('O’Brien'));
});

test('every name has an identifier, and different names have different ones', () => {
  const ids = NAMES.map(idOf);
  assert.ok(ids.every(isIdentifier), ids);
  assert.equal(new Set(ids).size, NAMES.length);
});

test('a name is the same person however it is written on a device', () => {
  assert.equal(idOf('САША '), idOf('саша'));
  assert.equal(idOf('が'), idOf('か\u3099')); // composed or not
  assert.equal(idOf('ｻｸﾗ'), idOf('サクラ')); // half and full width
  assert.equal(idOf('愛'), 'sa06x4q2ekd0'); // for ever: people would lose their chats
});

test('long names that begin alike are different people, and their conversation has an identifier', () => {
  const long = 'a'.repeat(59);
  assert.notEqual(idOf(`${long}b`), idOf(`${long}c`));
  for (const name of ['愛'.repeat(60), `${long}b`])
    assert.ok(isIdentifier(conversationOf(idOf(name), idOf(name))));
});

test('nobody is called as the server is', () => {
  assert.notEqual(idOf('Server'), 'server');
  assert.ok(isIdentifier(idOf('Server')));
});

test('what is no identifier is known', () => {
  for (const text of ['', '.', '..', 'a b', '愛', 'a/b', 'x'.repeat(129)])
    assert.ok(!isIdentifier(text), text);
});
