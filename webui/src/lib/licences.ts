/** What a BMC and its pages are made of, as `licences.json` lists it. */
export interface Licence {
  /** Whether the BMC runs it, or its pages carry it. */
  part: 'bmc' | 'pages';
  name: string;
  version: string;
  licence: string;
  /** The text of the licence, where it is shown. */
  text?: string;
  /** Else the files with it, beside the installed packages. */
  where?: string[];
}

/** Those whose name, version or licence has every one of the words. */
export function found(all: readonly Licence[], words: string): Licence[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return all.filter((each) => {
    const told = `${each.name} ${each.version} ${each.licence}`.toLowerCase();
    return wanted.every((word) => told.includes(word));
  });
}
