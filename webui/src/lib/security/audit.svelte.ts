/** The audit trail as a page shows it: the youngest first, older ones on request. */
import { timestampDate } from '@bufbuild/protobuf/wkt';

import { client } from '#lib/api.ts';
import { csv } from '#lib/csv.ts';
import { SecurityService, type AuditRecord } from '#lib/gen/ubmc/v1alpha1/security_pb.ts';
import { everyPage } from '#lib/pages.ts';
import { problemOf, type Problem } from '#lib/problem.ts';

const PAGE = 50;
const security = client(SecurityService);

export class Trail {
  list = $state.raw<readonly AuditRecord[]>([]);
  busy = $state(true);
  more = $state(false);
  problem = $state.raw<Problem>();
  #user = '';
  #token = '';
  #turn = 0;

  /** Shows the records of a user from the youngest on; an empty name means everybody. */
  async show(user: string): Promise<void> {
    this.#user = user;
    this.#token = '';
    await this.#read([]);
  }

  /** Shows older ones too. */
  async older(): Promise<void> {
    if (!this.busy && this.more) await this.#read(this.list);
  }

  async #read(known: readonly AuditRecord[]): Promise<void> {
    const turn = ++this.#turn;
    this.busy = true;
    try {
      const page = await security.listAuditRecords({
        user: this.#user,
        newestFirst: true,
        pageSize: PAGE,
        pageToken: this.#token,
      });
      if (turn !== this.#turn) return;
      this.#token = page.nextPageToken;
      this.list = [...known, ...page.records];
      this.more = this.#token !== '';
      this.problem = undefined;
    } catch (error) {
      if (turn === this.#turn) this.problem = problemOf(error);
    } finally {
      if (turn === this.#turn) this.busy = false;
    }
  }
}

/** All records of a user, or of everybody, the oldest first, as CSV; and how many they are. */
export async function exportTrail(user: string): Promise<{ text: string; count: number }> {
  const records = await everyPage(
    (pageToken) => security.listAuditRecords({ user, pageToken, pageSize: 1000 }),
    (page) => page.records,
  );
  const rows = records.map((each) => [
    String(each.id),
    each.time ? timestampDate(each.time).toISOString() : '',
    each.user,
    each.source,
    each.action,
    each.target,
    each.outcome,
    each.traceId,
    each.hash,
  ]);
  const titles = ['id', 'time', 'user', 'source', 'action', 'target', 'outcome', 'trace_id', 'hash'];
  return { text: csv(titles, rows), count: records.length };
}
