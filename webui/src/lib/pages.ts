/** Lists that come in pages, whole. */
interface Page {
  nextPageToken: string;
}

/** Reads all pages. `read` gets the token of a page and gives it; `items` are what is in it. */
export async function everyPage<P extends Page, T>(
  read: (pageToken: string) => Promise<P>,
  items: (page: P) => readonly T[],
): Promise<T[]> {
  const all: T[] = [];
  let token = '';
  do {
    const page = await read(token);
    all.push(...items(page));
    token = page.nextPageToken;
  } while (token);
  return all;
}
