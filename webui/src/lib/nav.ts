/**
 * The pages, in the order of the menu. A page is not shown when its `service` does not run in this BMC, or when `present`,
 * which asks that service, is answered by "not found" or "unimplemented". Screen, media and updates have their places so:
 * by their addresses they say what this BMC does not have.
 */
import type { DescMethod } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import Boxes from '@lucide/svelte/icons/boxes';
import Disc3 from '@lucide/svelte/icons/disc-3';
import Fan from '@lucide/svelte/icons/fan';
import Gauge from '@lucide/svelte/icons/gauge';
import HardDriveDownload from '@lucide/svelte/icons/hard-drive-download';
import Info from '@lucide/svelte/icons/info';
import LayoutDashboard from '@lucide/svelte/icons/layout-dashboard';
import Monitor from '@lucide/svelte/icons/monitor';
import Power from '@lucide/svelte/icons/power';
import ScrollText from '@lucide/svelte/icons/scroll-text';
import Settings from '@lucide/svelte/icons/settings';
import ShieldCheck from '@lucide/svelte/icons/shield-check';
import SquareTerminal from '@lucide/svelte/icons/square-terminal';
import Users from '@lucide/svelte/icons/users';
import type { Component } from 'svelte';

import { client } from '#lib/api.ts';
import { ConsoleService } from '#lib/gen/ubmc/v1alpha1/console_pb.ts';

export interface Entry {
  path: string;
  label: string;
  icon: Component;
  /** Only for those who may call this. */
  needs?: DescMethod;
  /** The service that it needs, by its name in the health of the system. Without it the page is always shown. */
  service?: string;
  /** Asks that service whether it has something to show. */
  present?: () => Promise<unknown>;
}

export interface Group {
  label: string;
  entries: readonly Entry[];
}

/** A board without a console has the service, but nothing for it to show. */
async function askForConsoles(): Promise<void> {
  const { consoles } = await client(ConsoleService).listConsoles({});
  if (!consoles.length) throw new ConnectError('this board has no console', Code.NotFound);
}

/** Labels are keys of `i18n/ui.ts`. */
export const NAVIGATION: readonly Group[] = [
  {
    label: 'group_machine',
    entries: [
      { path: '/', label: 'nav_overview', icon: LayoutDashboard },
      { path: '/power', label: 'nav_power', icon: Power },
      { path: '/sensors', label: 'nav_sensors', icon: Gauge },
      { path: '/cooling', label: 'nav_cooling', icon: Fan },
      { path: '/inventory', label: 'nav_inventory', icon: Boxes },
      { path: '/events', label: 'nav_events', icon: ScrollText },
    ],
  },
  {
    label: 'group_remote',
    entries: [
      {
        path: '/console',
        label: 'nav_console',
        icon: SquareTerminal,
        service: 'consolesrv',
        present: askForConsoles,
      },
      { path: '/screen', label: 'nav_screen', icon: Monitor, service: 'kvmsrv' },
      { path: '/media', label: 'nav_media', icon: Disc3, service: 'kvmsrv' },
    ],
  },
  {
    label: 'group_bmc',
    entries: [
      { path: '/updates', label: 'nav_updates', icon: HardDriveDownload, service: 'updatemgr' },
      { path: '/users', label: 'nav_users', icon: Users },
      { path: '/security', label: 'nav_security', icon: ShieldCheck },
      { path: '/settings', label: 'nav_settings', icon: Settings },
      { path: '/about', label: 'nav_about', icon: Info },
    ],
  },
];
