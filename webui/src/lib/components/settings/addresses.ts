/** Addresses with their prefixes as people write them: `192.0.2.10/24`. */
export interface Address {
  address: string;
  prefixLength: number;
}

export function written(all: readonly Address[]): string[] {
  return all.map(({ address, prefixLength }) => `${address}/${prefixLength}`);
}

/** The address of a line; undefined if it is none. Whether it makes sense is the server's to say. */
export function parsed(line: string): Address | undefined {
  const found = /^([0-9A-Fa-f:.]{2,45})\/([0-9]{1,3})$/.exec(line.trim());
  return found ? { address: found[1] ?? '', prefixLength: Number(found[2]) } : undefined;
}
