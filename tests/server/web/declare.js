/** Writes the declarations of the client's modules, those of chat-client.js with its types: `node declare.js FOLDER`. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const IMPORTS = /^import type .*\n/gm;
const MODULES = ['chat-client', 'chat-react', 'chat-ai-sdk'];

const [folder] = process.argv.slice(2);
const emitted = mkdtempSync(join(tmpdir(), 'declare-'));
try {
  // Unchecked, as the modules lean on the declarations that are to be replaced.
  const options = ['-p', 'tsconfig.declare.json', '--noCheck', '--outDir', emitted];
  execFileSync('node_modules/.bin/tsc', options, { stdio: 'inherit' });
  const types = readFileSync('server/web/types.d.ts', 'utf8').replace(IMPORTS, '');
  for (const module of MODULES) {
    const declared = readFileSync(join(emitted, `${module}.d.ts`), 'utf8');
    const whole = module === 'chat-client' ? declared.replace(IMPORTS, () => types) : declared;
    writeFileSync(join(folder, `${module}.d.ts`), whole);
  }
} finally {
  rmSync(emitted, { recursive: true });
}
