import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parse } from '../../../../server/web/page/markdown.js';

/** A tree in short: `strong(text)`. */
const inline = (nodes) =>
  nodes
    .map((node) =>
      typeof node === 'string'
        ? node
        : `${node.kind}(${node.href ? `${node.href} ` : ''}${node.text ?? inline(node.inline)})`,
    )
    .join('');
const short = (blocks) =>
  blocks.map((block) => {
    if (block.kind === 'list')
      return `${block.start ?? '-'}[${block.items.map((item) => short(item).join('|')).join(', ')}]`;
    if (block.kind === 'quote') return `>[${short(block.blocks).join('|')}]`;
    if (block.kind === 'table')
      return [block.head, ...block.rows].map((row) => row.map(inline).join('|')).join('\n');
    if (block.kind === 'heading') return `h${block.level}: ${inline(block.inline)}`;
    if (block.kind === 'code') return `code ${block.language}: ${block.text}`;
    return block.kind === 'rule' ? '---' : inline(block.inline);
  });
const read = (text) => short(parse(text));

test('marks in a line', () => {
  for (const [text, expected] of [
    ['**a** __b__ *c* _d_ ~~e~~', 'strong(a) strong(b) em(c) em(d) del(e)'],
    ['***both***', 'strong(em(both))'],
    ['*it **b** x*', 'em(it strong(b) x)'],
    ['**日本**語', 'strong(日本)語'],
    ['`a*b*` ``c`d``', 'code(a*b*) code(c`d)'],
    ['\\*no\\*', '*no*'],
    ['snake_case_name 2*3*4 a * b * c', 'snake_case_name 2*3*4 a * b * c'],
    ['**not closed', '**not closed'],
    ['[a **b**](https://x.y/(z))', 'link(https://x.y/(z) a strong(b))'],
    ['see https://x.y/a_b_c).', 'see link(https://x.y/a_b_c https://x.y/a_b_c)).'],
    ['[me](mailto:a@b.c)', 'link(mailto:a@b.c me)'],
  ])
    assert.deepEqual(read(text), [expected], text);
});

test('a link goes nowhere but to the web or into a letter', () => {
  for (const target of [
    'javascript:alert(1)',
    'data:text/html,x',
    '/app',
    '//x.y',
    'JaVaScRiPt:x',
    'vbscript:x',
  ])
    assert.deepEqual(read(`[x](${target})`), [`[x](${target})`]);
});

test('blocks', () => {
  for (const [text, expected] of [
    ['one\ntwo\n\nthree', ['one\ntwo', 'three']],
    ['# Title\ntext', ['h1: Title', 'text']],
    ['a\n***\nb', ['a', '---', 'b']],
    ['> a\n> b\n\nc', ['>[a\nb]', 'c']],
    ['```py\n  x = 1\n\n# no\n```\nend', ['code py:   x = 1\n\n# no', 'end']],
    ['```\nnot closed\n', ['code : not closed\n']],
    ['~~~\n```\n~~~', ['code : ```']],
    ['| a | b |\n|---|:-:|\n| 1 | **2** |\nend', ['a|b\n1|strong(2)', 'end']],
    ['a | b\nno table', ['a | b\nno table']],
  ])
    assert.deepEqual(read(text), expected, text);
});

test('lists', () => {
  for (const [text, expected] of [
    ['- a\n- b', ['-[a, b]']],
    ['3. a\n4. b\n\n5. c', ['3[a, b, c]']],
    ['* a\n    * b\n* c', ['-[a|-[b], c]']],
    ['1. a\n   - b\n     more\n2. c\n\nend', ['1[a|-[b\nmore], c]', 'end']],
    ['- a\n\n  second\n- b', ['-[a|second, b]']],
    ['- a\n```\nx\n```', ['-[a]', 'code : x']],
    ['so:\n- a', ['so:', '-[a]']],
  ])
    assert.deepEqual(read(text), expected, text);
});

test('a text that grows keeps the blocks that are done', () => {
  const text = 'Hello\n\n1. one\n2. two\n\n```\ncode\n```\n\nend **of** it';
  for (let length = 1; length < text.length; length += 1) {
    const before = parse(text.slice(0, length)).slice(0, -1);
    const after = parse(text);
    before.forEach(({ kind }, index) => assert.equal(after[index].kind, kind, text.slice(0, length)));
  }
});

test('no text takes long, and none is lost', () => {
  const pieces = [
    '*',
    '**',
    '_',
    '`',
    '```',
    '[a](',
    '[',
    '](',
    '~~',
    '> ',
    '- ',
    '1. ',
    '|',
    '|-|',
    '\n',
    '# ',
    '\\',
    ' ',
    'a',
    '  ',
  ];
  let seed = 7;
  const next = (below) => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < 300; round += 1) {
    const text = Array.from({ length: 1 + next(60) }, () => pieces[next(pieces.length)]).join('');
    const letters = (some) => some.replace(/[^a]/g, '').length;
    assert.equal(
      letters(
        short(parse(text))
          .join('')
          .replace(/strong|em|del|code|link/g, (kind) => kind.replace(/a/g, '')),
      ),
      letters(text),
      JSON.stringify(text),
    );
  }
  const started = performance.now();
  for (const piece of pieces) parse(piece.repeat(32_000 / piece.length));
  parse('> '.repeat(16_000));
  assert.ok(performance.now() - started < 5_000);
});
