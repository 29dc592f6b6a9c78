import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { flushSync } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import {
  AuditRecordSchema,
  ListAuditRecordsResponseSchema,
  type AuditRecord,
} from '#lib/gen/ubmc/v1alpha1/security_pb.ts';
import { FakeLink } from '#lib/live/back.fake.ts';

import { Trail, type Records } from './audit.svelte.ts';

const record = (id: number, user = 'olga'): AuditRecord => create(AuditRecordSchema, { id: BigInt(id), user });

describe('Trail', () => {
  const link = new FakeLink();
  let written: AuditRecord[];
  let error: Error | undefined;
  let trail: Trail;
  let stop: () => void;

  const records: Records = {
    link,
    list: async (request) => {
      if (error) throw error;
      const { user, pageToken, pageSize } = request as { user: string; pageToken: string; pageSize: number };
      const all = written.filter((each) => !user || each.user === user).reverse();
      const [from, size] = [Number(pageToken || 0), pageSize];
      const nextPageToken = from + size < all.length ? String(from + size) : '';
      return create(ListAuditRecordsResponseSchema, { records: all.slice(from, from + size), nextPageToken });
    },
  };

  beforeEach(() => {
    vi.useFakeTimers();
    [written, error, link.up] = [[], undefined, true];
    stop = $effect.root(() => {
      trail = new Trail(records);
    });
    flushSync();
  });
  afterEach(() => {
    stop();
    vi.useRealTimers();
  });

  const ids = (): number[] => trail.list.map((each) => Number(each.id));

  it('shows the youngest first, of everybody or of one, and older ones when asked', async () => {
    written = Array.from({ length: 70 }, (_, index) => record(index + 1, index % 2 ? 'anna' : 'olga'));
    await trail.show('');
    expect([ids()[0], ids().length, trail.more]).toEqual([70, 50, true]);
    await trail.older();
    expect([ids().length, ids().at(-1), trail.more]).toEqual([70, 1, false]);
    await trail.show('anna');
    expect([ids().length, ids()[0], ids().at(-1)]).toEqual([35, 70, 2]);
  });

  it('says why it cannot be read', async () => {
    error = new ConnectError('this needs the privilege', Code.PermissionDenied);
    await trail.show('');
    expect([trail.problem?.message, trail.busy, ids()]).toEqual(['this needs the privilege', false, []]);
  });

  it('fills itself after an outage, and shows what was written meanwhile', async () => {
    written = [record(1)];
    error = new ConnectError('Failed to fetch', Code.Unknown);
    link.up = false;
    await trail.show('');
    expect(ids()).toEqual([]);
    error = undefined;
    link.back();
    await vi.advanceTimersByTimeAsync(1);
    expect([ids(), trail.problem]).toEqual([[1], undefined]);
    written.push(record(2));
    link.back();
    await vi.advanceTimersByTimeAsync(1);
    expect(ids()).toEqual([2, 1]);
  });
});
