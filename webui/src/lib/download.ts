/** Gives the person a file that was made in the page. */
const KEPT_MS = 60_000;

export function download(name: string, type: string, content: BlobPart): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // the browser reads it after the click has returned
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

/** `events-2026-01-31T12-00-00.csv`: sorts by time, and every file system takes it. */
export function stamped(stem: string, extension: string, at: Date): string {
  return `${stem}-${at.toISOString().slice(0, 19).replaceAll(':', '-')}.${extension}`;
}
