/** The audit trail as a page shows it: the youngest first, older ones on request. */
import { timestampDate } from '@bufbuild/protobuf/wkt';

import { client } from '#lib/api.ts';
import { csv } from '#lib/csv.ts';
import { SecurityService, type AuditRecord } from '#lib/gen/ubmc/v1alpha1/security_pb.ts';
import type { Back } from '#lib/live/keeper.svelte.ts';
import { Newest, type Part } from '#lib/live/newest.svelte.ts';
import { everyPage } from '#lib/pages.ts';

const PAGE = 50;
// beyond that the file tells more
const MOST = 5000;
const security = client(SecurityService);

/** Where records come from; tests give another one. */
export interface Records {
  list: typeof security.listAuditRecords;
  link?: Back;
}

const BMC: Records = { list: (request) => security.listAuditRecords(request) };

export class Trail extends Newest<AuditRecord> {
  #user = '';
  readonly #records: Records;

  constructor(records: Records = BMC) {
    super(MOST, records.link);
    this.#records = records;
  }

  /** Shows the records of a user from the youngest on; an empty name means everybody. */
  async show(user: string): Promise<void> {
    this.#user = user;
    await this.begin();
  }

  protected override async read(pageToken: string): Promise<Part<AuditRecord>> {
    const page = await this.#records.list({ user: this.#user, newestFirst: true, pageSize: PAGE, pageToken });
    return { entries: page.records, nextPageToken: page.nextPageToken };
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
