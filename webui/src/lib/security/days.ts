/** How long certificates are good. Times are milliseconds since 1970. */
export const SOON_DAYS = 30;

const DAY_MS = 86_400_000;

export type Standing = 'good' | 'soon' | 'expired' | 'future';

/** Whole days until `end`, rounded down; negative when it is over. */
export function daysLeft(end: number, now: number): number {
  return Math.floor((end - now) / DAY_MS);
}

/** How a certificate stands at a moment. */
export function standing(begin: number | undefined, end: number | undefined, now: number): Standing {
  if (begin !== undefined && begin > now) return 'future';
  if (end === undefined) return 'good';
  const left = daysLeft(end, now);
  if (left < 0) return 'expired';
  return left < SOON_DAYS ? 'soon' : 'good';
}

/** Each certificate of a PEM text. */
export function splitPem(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
}
