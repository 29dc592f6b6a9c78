// Which packages the built pages carry, made of the modules that are really in the bundle, and which ones the BMC runs,
// as `tools/software.py` lists them: `licences.json` beside `index.html`.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Plugin } from 'vite';

import type { Licence } from '../src/lib/licences.ts';

interface Manifest {
  name?: string;
  version?: string;
  license?: string;
}

// the style sheet is made of its parts, which are no modules
const IN_STYLES = ['tailwindcss'];
// of licences whose text a package may leave out
const STANDARD: Record<string, string> = { 'Apache-2.0': 'typescript/LICENSE.txt' };
const MODULES = join(import.meta.dirname, '..', 'node_modules');
const FILE = /^(licen[cs]e|copying)(?!.*\.(js|ts)$)/i;

/** The folder of the package that a module belongs to; undefined for our own. */
function folderOf(module: string): string | undefined {
  if (!module.includes('/node_modules/')) return undefined;
  const path = module.replace(/^\0/, '').replace(/\?.*$/, '');
  for (let at = dirname(path); at.includes('/node_modules/'); at = dirname(at)) {
    const file = join(at, 'package.json');
    if (existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as Manifest).name) return at;
  }
  return undefined;
}

function licenceOf(folder: string): Licence {
  const { name = '', version = '', license = '' } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  ) as Manifest;
  const files = readdirSync(folder).filter((each) => FILE.test(each));
  const paths = files.map((each) => join(folder, each));
  for (const [licence, path] of Object.entries(STANDARD)) {
    if (!files.length && license.includes(licence)) paths.push(join(MODULES, path));
  }
  const text = paths.map((path) => readFileSync(path, 'utf8').trim()).join('\n\n');
  if (!text) throw new Error(`${name} has no licence text; see whether it may be shipped`);
  return { part: 'pages', name, version, licence: license || (text.split('\n')[0] ?? ''), text };
}

/** What the BMC runs, as it was told to this build. */
function run(): Licence[] {
  const told = JSON.parse(process.env.UBMC_SOFTWARE ?? '[]') as Omit<Licence, 'part'>[];
  return told.map((each) => ({ part: 'bmc', ...each }));
}

/** Writes `licences.json` with the pages. */
export function licences(): Plugin {
  return {
    name: 'ubmc-licences',
    apply: 'build',
    generateBundle(_options, bundle) {
      if (this.environment.name !== 'client') return;
      const folders = new Set(IN_STYLES.map((name) => join(MODULES, name)));
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk') continue;
        for (const module of chunk.moduleIds) {
          const folder = folderOf(module);
          if (folder) folders.add(folder);
        }
      }
      const carried = [...folders].map(licenceOf).sort((one, other) => (one.name < other.name ? -1 : 1));
      this.emitFile({ type: 'asset', fileName: 'licences.json', source: JSON.stringify([...run(), ...carried]) });
    },
  };
}
