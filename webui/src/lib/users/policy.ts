/** The numbers of the account policy: where they belong, and between what they lie. */
import type { AccountPolicy } from '#lib/gen/ubmc/v1alpha1/account_pb.ts';

type Numbers = {
  [K in keyof AccountPolicy]-?: AccountPolicy[K] extends number ? K : never;
}[keyof AccountPolicy];

export interface NumberRule {
  key: Numbers;
  /** As the schema has it; also the key of its text. */
  path: string;
  least: number;
  most: number;
}

function rule(key: Numbers, least: number, most: number): NumberRule {
  return { key, path: key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), least, most };
}

export const NUMBERS: { label: 'passwords' | 'lockout' | 'sessions'; rules: NumberRule[] }[] = [
  {
    label: 'passwords',
    rules: [
      rule('minPasswordLength', 8, 64),
      rule('passwordHistory', 0, 12),
      rule('passwordMaxAgeDays', 0, 3650),
    ],
  },
  {
    label: 'lockout',
    rules: [
      rule('lockoutFailures', 0, 100),
      rule('lockoutWindowSeconds', 10, 86_400),
      rule('lockoutSeconds', 1, 86_400),
      rule('lockoutMaxSeconds', 1, 86_400),
      rule('sourceLockoutFailures', 0, 10_000),
    ],
  },
  {
    label: 'sessions',
    rules: [
      rule('sessionIdleSeconds', 30, 86_400),
      rule('sessionAbsoluteSeconds', 60, 2_592_000),
      rule('sessionsPerUser', 1, 128),
    ],
  },
];
