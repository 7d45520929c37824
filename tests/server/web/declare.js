/** Writes the declarations of chat-client.js, its types among them, as one file: `node declare.js FILE`. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const IMPORTS = /^import type .*\n/gm;

const emitted = mkdtempSync(join(tmpdir(), 'declare-'));
try {
  execFileSync('node_modules/.bin/tsc', ['-p', 'tsconfig.declare.json', '--outDir', emitted], {
    stdio: 'inherit',
  });
  const types = readFileSync('server/web/types.d.ts', 'utf8').replace(IMPORTS, '');
  const client = readFileSync(join(emitted, 'chat-client.d.ts'), 'utf8');
  writeFileSync(
    process.argv[2],
    client.replace(IMPORTS, () => types),
  );
} finally {
  rmSync(emitted, { recursive: true });
}
