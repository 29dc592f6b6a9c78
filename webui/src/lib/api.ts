/**
 * The one way to the BMC: Connect over the page's own origin, a typed client for each service of the schema.
 *
 * The session is a cookie that no script can read. What changes something shows by a header that the page is ours; its
 * value is in a second cookie, which is read anew for each request because another tab may have logged in since.
 */
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import { getOption } from '@bufbuild/protobuf';
import type { Client, Interceptor } from '@connectrpc/connect';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';

import { activity, UNATTENDED } from './activity.ts';
import { AccountService } from './gen/ubmc/v1alpha1/account_pb.ts';
import { Privilege, access } from './gen/ubmc/v1alpha1/access_pb.ts';
import { ChassisService } from './gen/ubmc/v1alpha1/chassis_pb.ts';
import { EventService } from './gen/ubmc/v1alpha1/event_pb.ts';
import { HostService } from './gen/ubmc/v1alpha1/host_pb.ts';
import { ManagementControllerService } from './gen/ubmc/v1alpha1/management_controller_pb.ts';
import { SensorService } from './gen/ubmc/v1alpha1/sensor_pb.ts';
import { SessionService } from './gen/ubmc/v1alpha1/session_pb.ts';
import { SystemService } from './gen/ubmc/v1alpha1/system_pb.ts';
import { TaskService } from './gen/ubmc/v1alpha1/task_pb.ts';
import { ThermalService } from './gen/ubmc/v1alpha1/thermal_pb.ts';

export const CALL_MS = 15_000;
const CSRF_COOKIE = '__Host-ubmc-csrf';

const lost = new Set<() => void>();

/** Calls `listener` when the BMC says that nobody is logged in (any longer); gives the way to stop that. */
export function onUnauthenticated(listener: () => void): () => void {
  lost.add(listener);
  return () => lost.delete(listener);
}

/** The value of a cookie; empty without one. */
export function cookie(name: string, all: string): string {
  for (const each of all.split(';')) {
    const [key, ...value] = each.trim().split('=');
    if (key === name) return value.join('=');
  }
  return '';
}

/** The second cookie, which comes and goes with the first and is another one for each session; empty without one. */
export function sessionMark(): string {
  return cookie(CSRF_COOKIE, document.cookie);
}

const withCsrf: Interceptor = (next) => (request) => {
  const token = sessionMark();
  if (token) request.header.set('x-csrf-token', token);
  return next(request);
};

const tellsWhoAsks: Interceptor = (next) => (request) => {
  if (!activity.attended()) request.header.set(UNATTENDED, '1');
  return next(request);
};

const tellsLoss: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    const login = request.method === SessionService.method.login;
    if (!login && ConnectError.from(error).code === Code.Unauthenticated) for (const listener of lost) listener();
    throw error;
  }
};

export const transport = createConnectTransport({
  baseUrl: '/',
  useBinaryFormat: true,
  defaultTimeoutMs: CALL_MS,
  interceptors: [tellsLoss, withCsrf, tellsWhoAsks],
});

/** A client of a service: `client(LedService).listLeds({})`. */
export function client<S extends DescService>(service: S): Client<S> {
  return createClient(service, transport);
}

/** The privilege that the schema asks for; undefined for what everybody may call. */
export function privilegeOf(method: DescMethod): Privilege | undefined {
  const kind = getOption(method, access).kind;
  return kind.case === 'privilege' ? kind.value : undefined;
}

export const accounts = client(AccountService);
export const chassis = client(ChassisService);
export const events = client(EventService);
export const hosts = client(HostService);
export const controllers = client(ManagementControllerService);
export const sensors = client(SensorService);
export const sessions = client(SessionService);
export const system = client(SystemService);
export const tasks = client(TaskService);
export const thermal = client(ThermalService);
