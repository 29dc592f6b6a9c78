/**
 * Everything that is live on these pages, in one place.
 *
 * A page looks at a store by `$effect(() => live.sensors.use())` and reads `live.sensors.get(name)`.
 */
import { client, events } from '../api.ts';
import { LiveService } from '../gen/ubmc/v1alpha1/live_pb.ts';
import { Live } from './live.svelte.ts';
import { link } from './there.ts';

const service = client(LiveService);

export const live = new Live(link, (wanted, signal) => service.watchLive(wanted, { signal, timeoutMs: 0 }), events);
