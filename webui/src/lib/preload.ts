/** Fetches the code of all pages ahead. */
import { preloadCode } from '$app/navigation';

const FOLDER = '/src/routes';
const FILE = '/+page.svelte';
// only their names count
const PAGES = Object.keys(import.meta.glob('/src/routes/(app)/**/+page.svelte'));

/** Fetches what is not here yet, one page after the other; ends at the first that cannot be fetched now. */
export async function preloadPages(): Promise<void> {
  try {
    for (const page of PAGES) {
      const id = page.slice(FOLDER.length, -FILE.length);
      await preloadCode(id as Parameters<typeof preloadCode>[0]);
    }
    await import('#lib/components/sensors/chart.ts');
  } catch {
    // the BMC does not answer; that is shown, and when it does this is done again
  }
}
