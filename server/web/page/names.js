/** Identifiers for people and companions whose names may be in any script. Pure. */

const MAX_PLAIN = 40;
// The server calls itself so.
const RESERVED = ['server'];

/**
 * Makes the identifier of a name, the same one on every device: `Zoë K.` becomes `zoe-k`. Where Latin letters and
 * digits do not tell the whole name, its hash follows or stands alone.
 * @param {string} name
 */
export function idOf(name) {
  const whole = name.normalize('NFKC').trim().replace(/\s+/g, ' ').toLowerCase();
  const latin = whole.normalize('NFKD').replace(/\p{M}/gu, '');
  const plain = latin.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
  const tellsAll = /^[a-z0-9\p{P}\s]+$/u.test(latin) && plain.length <= MAX_PLAIN;
  if (plain && tellsAll && !RESERVED.includes(plain)) return plain;
  return [plain.slice(0, MAX_PLAIN), hashOf(whole)].filter(Boolean).join('-');
}

/** @param {string} id */
export function isIdentifier(id) {
  return /^[A-Za-z0-9._:@-]{1,128}$/.test(id) && !/^\.{1,2}$/.test(id);
}

/** The conversation of a person with a companion. @param {string} user @param {string} companion both identifiers */
export function conversationOf(user, companion) {
  return `conv_${user}_ai_${companion}`;
}

/** FNV-1a with 64 bits. @param {string} text */
function hashOf(text) {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text))
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(36);
}
