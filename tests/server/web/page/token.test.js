import assert from 'node:assert/strict';
import { test } from 'node:test';

import { userOf } from '../../../../server/web/page/token.js';

const withClaims = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.signature`;

test('a token says whose it is', () => {
  assert.equal(userOf(withClaims({ sub: 'kai', exp: 1, aud: '?>?>~~' })), 'kai');
});

test('what says nothing of a user is nobody', () => {
  for (const token of [
    '',
    'x',
    'x.y.z',
    'e30.bnVsbA.z',
    withClaims({}),
    withClaims({ sub: 1 }),
    withClaims(null),
  ])
    assert.equal(userOf(token), null);
});
