/**
 * Reads the Markdown that language models write: a tree that names what is what, and no HTML. Pure. Text that is no
 * Markdown stays as it is; what is not closed yet, because it is still being written, is text until it is.
 *
 * @typedef {string | {kind: 'strong' | 'em' | 'del', inline: Inline[]} | {kind: 'code', text: string}
 *   | {kind: 'link', href: string, inline: Inline[]}} Inline
 * @typedef {{kind: 'paragraph', inline: Inline[]} | {kind: 'heading', level: number, inline: Inline[]}
 *   | {kind: 'code', language: string, text: string} | {kind: 'rule'} | {kind: 'quote', blocks: Block[]}
 *   | {kind: 'list', start: number | null, items: Block[][]}
 *   | {kind: 'table', head: Inline[][], rows: Inline[][][]}} Content
 * @typedef {Content & {source: string}} Block
 * @typedef {[content: Content, next: number] | null} Found `next`: the line after it
 */

const FENCE = /^ {0,3}(`{3,}|~{3,}) *([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)(?:\s+#+)?\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)(?:[-*+•]|(\d{1,9})[.)])(?:\s+|$)/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
// Deeper than this nobody reads, and a stack has an end.
const MAX_DEPTH = 8;
// Looking for the end of every mark takes time that grows with the square of the length.
const MAX_MARKED = 5_000;

/** @param {string} text @param {number} [depth] @returns {Block[]} */
export function parse(text, depth = 0) {
  const lines = text.split('\n');
  /** @type {Block[]} */
  const blocks = [];
  for (let at = 0; at < lines.length;) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const [content, next] = found(lines, at, depth) ?? paragraph(lines, at);
    blocks.push({ ...content, source: lines.slice(at, next).join('\n') });
    at = next;
  }
  return blocks;
}

/** @param {string[]} lines @param {number} at @param {number} depth @returns {Found} */
function found(lines, at, depth) {
  const flat = fence(lines, at) ?? heading(lines, at) ?? rule(lines, at) ?? table(lines, at);
  if (flat || depth >= MAX_DEPTH) return flat;
  return quote(lines, at, depth) ?? list(lines, at, depth);
}

/** @param {string[]} lines @param {number} at @returns {Found} */
function fence(lines, at) {
  const [, mark, language] = FENCE.exec(lines[at]) ?? [];
  if (!mark) return null;
  const isEnd = (/** @type {string} */ line) =>
    line.trim().startsWith(mark) && !line.trim().replaceAll(mark[0], '');
  const end = lines.findIndex((line, index) => index > at && isEnd(line));
  const text = lines.slice(at + 1, end === -1 ? undefined : end).join('\n');
  return [{ kind: 'code', language: language.trim(), text }, end === -1 ? lines.length : end + 1];
}

/** @param {string[]} lines @param {number} at @returns {Found} */
function heading(lines, at) {
  const [, marks, text] = HEADING.exec(lines[at]) ?? [];
  return marks ? [{ kind: 'heading', level: marks.length, inline: inline(text) }, at + 1] : null;
}

/** @param {string[]} lines @param {number} at @returns {Found} */
function rule(lines, at) {
  return RULE.test(lines[at]) ? [{ kind: 'rule' }, at + 1] : null;
}

/** @param {string[]} lines @param {number} at @returns {Found} */
function table(lines, at) {
  if (!lines[at].includes('|') || !lines[at + 1]?.includes('-') || !DIVIDER.test(lines[at + 1])) return null;
  const head = cells(lines[at]);
  if (head.length !== cells(lines[at + 1]).length) return null;
  let next = at + 2;
  while (lines[next]?.includes('|')) next += 1;
  return [{ kind: 'table', head, rows: lines.slice(at + 2, next).map(cells) }, next];
}

/** @param {string} line */
function cells(line) {
  const inner = line.trim().replace(/^\||(?<!\\)\|$/g, '');
  return inner.split(/(?<!\\)\|/).map((cell) => inline(cell.trim()));
}

/** @param {string[]} lines @param {number} at @param {number} depth @returns {Found} */
function quote(lines, at, depth) {
  let next = at;
  while (next < lines.length && QUOTE.test(lines[next])) next += 1;
  const text = lines.slice(at, next).map((line) => line.replace(QUOTE, ''));
  return next > at ? [{ kind: 'quote', blocks: parse(text.join('\n'), depth + 1) }, next] : null;
}

/** @param {string[]} lines @param {number} at @param {number} depth @returns {Found} */
function list(lines, at, depth) {
  const first = ITEM.exec(lines[at]);
  if (!first) return null;
  const [, , number] = first;
  /** @type {Block[][]} */
  const items = [];
  let next = at;
  for (let item; (item = ITEM.exec(lines[next] ?? '')) && Boolean(item[2]) === Boolean(number);) {
    const end = endOfItem(lines, next, item[1].length);
    const body = [
      lines[next].slice(item[0].length),
      ...lines.slice(next + 1, end).map(outdented(item[0].length)),
    ];
    items.push(parse(body.join('\n'), depth + 1));
    next = end;
  }
  return [{ kind: 'list', start: number === undefined ? null : Number(number), items }, next];
}

/** The line after an item: what is indented deeper than its mark belongs to it. @param {string[]} lines @param {number} at @param {number} indent */
function endOfItem(lines, at, indent) {
  let next = at + 1;
  for (let line; (line = lines[next]) !== undefined; next += 1) {
    const after = line.trim() ? line : lines.slice(next).find((other) => other.trim());
    if (after === undefined) return lines.length;
    const isDeeper = indentOf(after) > indent + 1;
    const goesOn = line.trim() && lines[next - 1].trim() && !ITEM.test(line) && !beginsBlock(line);
    if (!isDeeper && !goesOn) return line.trim() || !ITEM.test(after) ? next : lines.indexOf(after, next);
  }
  return next;
}

/** @param {number} by @returns {(line: string) => string} */
function outdented(by) {
  return (line) => line.slice(Math.min(indentOf(line), by));
}

/** @param {string} line */
function indentOf(line) {
  return line.length - line.trimStart().length;
}

/** @param {string} line */
function beginsBlock(line) {
  return [FENCE, HEADING, RULE, QUOTE].some((start) => start.test(line));
}

/** @param {string[]} lines @param {number} at @returns {[Content, number]} */
function paragraph(lines, at) {
  let next = at + 1;
  while (lines[next]?.trim() && !beginsBlock(lines[next]) && !ITEM.test(lines[next])) next += 1;
  return [{ kind: 'paragraph', inline: inline(lines.slice(at, next).join('\n')) }, next];
}

// One alternative for each kind of mark, in this order: what is code is nothing else.
const MARK = new RegExp(
  [
    '\\\\(?<escaped>[!-/:-@\\[-`{-~])',
    '(?<ticks>`+)(?<code>[^`](?:.*?[^`])?)\\k<ticks>(?!`)',
    '!?\\[(?<label>[^\\[\\]]+)\\]\\(\\s*<?(?<target>[^\\s()<>]+(?:\\([^\\s()<>]*\\)[^\\s()<>]*)*)>?(?:\\s+"[^"\\n]*")?\\s*\\)',
    '(?<url>https?://[^\\s<>]*[^\\s<>.,;:!?\'")\\]*_~|])',
    '(?<strong>\\*\\*|(?<!\\w)__)(?=\\S)(?<bold>(?:\\\\.|[^\\\\])+?)(?<=\\S)\\k<strong>(?!\\*|(?<=__)\\w)',
    '~~(?=\\S)(?<struck>.+?)(?<=\\S)~~',
    '(?<em>(?<![\\w*])\\*|(?<![\\w_])_)(?=[^\\s*_])(?<italic>(?:\\\\.|[^\\\\])+?)(?<=[^\\s*])\\k<em>(?!\\w|\\k<em>)',
  ].join('|'),
  'gsu',
);
const SAFE_TARGET = /^(?:https?:\/\/|mailto:)/i;

/** @param {string} text @returns {Inline[]} */
function inline(text) {
  /** @type {Inline[]} */
  const nodes = [];
  let end = 0;
  for (const mark of text.length > MAX_MARKED ? [] : text.matchAll(MARK)) {
    nodes.push(text.slice(end, mark.index), marked(mark[0], mark.groups ?? {}));
    end = mark.index + mark[0].length;
  }
  return [...nodes, text.slice(end)].filter((node) => node !== '');
}

/** @param {string} source @param {Record<string, string | undefined>} groups @returns {Inline} */
function marked(source, { escaped, code, label, target, url, bold, struck, italic }) {
  if (escaped !== undefined) return escaped;
  if (code !== undefined) return { kind: 'code', text: code };
  if (bold !== undefined) return { kind: 'strong', inline: inline(bold) };
  if (struck !== undefined) return { kind: 'del', inline: inline(struck) };
  if (italic !== undefined) return { kind: 'em', inline: inline(italic) };
  if (url !== undefined) return { kind: 'link', href: url, inline: [url] };
  if (label === undefined || target === undefined || !SAFE_TARGET.test(target)) return source;
  return { kind: 'link', href: target, inline: inline(label) };
}
