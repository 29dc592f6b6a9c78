/** Assets as a tree. Hostile or half-told parents make no part disappear and no loop. */
import type { Asset } from '#lib/gen/ubmc/v1alpha1/inventory_pb.ts';

export interface Branch {
  asset: Asset;
  depth: number;
  children: Branch[];
}

/** `dimm.2` before `dimm.10`. */
export function byName(one: { name: string }, other: { name: string }): number {
  return one.name.localeCompare(other.name, 'en', { numeric: true });
}

/** The outermost assets with all that is in them. An asset whose parent is unknown, or inside itself, is outermost. */
export function treeOf(assets: readonly Asset[]): Branch[] {
  const known = new Map(assets.map((asset) => [asset.name, asset]));
  const inside = new Map<string, Asset[]>();
  const roots: Asset[] = [];
  for (const asset of assets) {
    if (known.has(asset.parent) && !loops(asset, known)) {
      inside.set(asset.parent, [...(inside.get(asset.parent) ?? []), asset]);
    } else {
      roots.push(asset);
    }
  }
  const grow = (asset: Asset, depth: number): Branch => ({
    asset,
    depth,
    children: (inside.get(asset.name) ?? []).sort(byName).map((child) => grow(child, depth + 1))
  });
  return roots.sort(byName).map((asset) => grow(asset, 0));
}

function loops(asset: Asset, known: ReadonlyMap<string, Asset>): boolean {
  const seen = new Set<string>();
  for (let at: Asset | undefined = asset; at; at = known.get(at.parent)) {
    if (seen.has(at.name)) return true;
    seen.add(at.name);
  }
  return false;
}

/** All branches as rows, without what is in closed ones. */
export function rowsOf(tree: readonly Branch[], closed: ReadonlySet<string>): Branch[] {
  return tree.flatMap((branch) => [
    branch,
    ...(closed.has(branch.asset.name) ? [] : rowsOf(branch.children, closed))
  ]);
}

const TEXTS = [
  'name',
  'manufacturer',
  'model',
  'partNumber',
  'serialNumber',
  'version',
  'assetTag',
  'location'
] as const satisfies readonly (keyof Asset)[];

/** Assets in which all words are found, and all that they are in. */
export function found(assets: readonly Asset[], words: string): Asset[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (!wanted.length) return [...assets];
  const known = new Map(assets.map((asset) => [asset.name, asset]));
  const kept = new Set<string>();
  for (const asset of assets) {
    const text = TEXTS.map((field) => asset[field]).join('\n').toLowerCase();
    if (!wanted.every((word) => text.includes(word))) continue;
    for (let at: Asset | undefined = asset; at && !kept.has(at.name); at = known.get(at.parent)) kept.add(at.name);
  }
  return assets.filter((asset) => kept.has(asset.name));
}

/** The chassis that an asset is in, which is the nearest thing with an identify light. */
export function chassisOf(asset: Asset, assets: readonly Asset[], chassis: ReadonlySet<string>): string | undefined {
  const known = new Map(assets.map((each) => [each.name, each]));
  const seen = new Set<string>();
  for (let at: Asset | undefined = asset; at && !seen.has(at.name); at = known.get(at.parent)) {
    if (chassis.has(at.name)) return at.name;
    seen.add(at.name);
  }
  return undefined;
}
