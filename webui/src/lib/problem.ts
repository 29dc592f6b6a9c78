/**
 * What went wrong with a call, in words for people and fields for forms. The words are the server's own, with the label of
 * each field that they name; if it said none, because call or answer were lost on the way, they are those of these pages.
 */
import { Code, ConnectError } from '@connectrpc/connect';

import { ViolationsSchema } from './gen/buf/validate/validate_pb.ts';
import { withLabels } from './i18n/fields.ts';
import { transportTexts as t } from './i18n/problem.ts';

export interface Problem {
  code: Code;
  /** For people: why, and what can be done. */
  message: string;
  /** What is wrong with a field, by its name as the request has it: `oneTimeCode`, `policy.minPasswordLength`. */
  fields: Record<string, string>;
  /** Under this the log of the BMC has it; empty if it did not get so far. */
  traceId: string;
}

function camel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

// what Chromium, Firefox and Safari say of a connection that there is not, or that broke
const NO_CONNECTION = /fetch|network|load failed|input stream|connection/i;
// what the client makes of an answer that is not of the API: from something between, or in the way
const FOREIGN = /^HTTP \d+/;

/** Words for what was lost on the way; empty for all else. */
function lostOnTheWay(told: ConnectError): string {
  if (FOREIGN.test(told.rawMessage)) {
    return told.code === Code.Unavailable ? t('unreachable') : t('no_sense', { answer: told.rawMessage });
  }
  // an answer has headers
  if (!told.metadata.keys().next().done) return '';
  if (told.code === Code.DeadlineExceeded) return t('timed_out');
  if (told.code === Code.Canceled || told.code === Code.Aborted) return t('cancelled');
  return told.cause instanceof TypeError && NO_CONNECTION.test(told.rawMessage) ? t('unreachable') : '';
}

/** Reads any error as a problem. */
export function problemOf(error: unknown): Problem {
  const told = ConnectError.from(error);
  const fields: Record<string, string> = {};
  for (const { violations } of told.findDetails(ViolationsSchema)) {
    for (const each of violations) {
      const path = (each.field?.elements ?? []).map((element) => camel(element.fieldName)).join('.');
      // the server names the field in front of each message, for those who read no fields
      const message = each.message.startsWith(`${path}: `) ? each.message.slice(path.length + 2) : each.message;
      fields[path] ??= withLabels(message);
    }
  }
  const message = lostOnTheWay(told) || withLabels(told.rawMessage);
  return { code: told.code, message, fields, traceId: told.metadata.get('trace-id') ?? '' };
}

/** Whether a service is not on this board, or not in this BMC. */
export function isAbsent(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return code === Code.NotFound || code === Code.Unimplemented;
}
