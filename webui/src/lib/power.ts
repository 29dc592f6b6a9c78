/**
 * Which power actions are worth offering in which state, and which of them hurt.
 *
 * What is not offered would be refused by the server, which alone decides; a state that these pages do not know offers all.
 */
import { ChassisPowerAction, ChassisState } from './gen/ubmc/v1alpha1/chassis_pb.ts';
import { HostPowerAction, HostState, type Host } from './gen/ubmc/v1alpha1/host_pb.ts';

const RUNNING = [
  HostPowerAction.GRACEFUL_OFF,
  HostPowerAction.REBOOT,
  HostPowerAction.PUSH_POWER_BUTTON,
  HostPowerAction.FORCE_OFF,
  HostPowerAction.FORCE_RESTART,
  HostPowerAction.POWER_CYCLE,
  HostPowerAction.NMI,
];
const ON_ITS_WAY = [HostPowerAction.FORCE_OFF];

const OF_HOST: Partial<Record<HostState, readonly HostPowerAction[]>> = {
  [HostState.OFF]: [HostPowerAction.ON, HostPowerAction.PUSH_POWER_BUTTON],
  [HostState.ON]: RUNNING,
  [HostState.POWERING_ON]: ON_ITS_WAY,
  [HostState.POWERING_OFF]: ON_ITS_WAY,
  [HostState.RESTARTING]: ON_ITS_WAY,
  [HostState.UNKNOWN]: [HostPowerAction.ON, HostPowerAction.FORCE_OFF],
};

const OF_CHASSIS: Partial<Record<ChassisState, readonly ChassisPowerAction[]>> = {
  [ChassisState.OFF]: [ChassisPowerAction.ON],
  [ChassisState.ON]: [
    ChassisPowerAction.OFF,
    ChassisPowerAction.CYCLE,
    ChassisPowerAction.FORCE_OFF,
    ChassisPowerAction.FORCE_CYCLE,
  ],
  [ChassisState.POWERING_ON]: [ChassisPowerAction.FORCE_OFF],
  [ChassisState.POWERING_OFF]: [ChassisPowerAction.FORCE_OFF],
  [ChassisState.CYCLING]: [ChassisPowerAction.FORCE_OFF],
  [ChassisState.UNKNOWN]: [ChassisPowerAction.ON, ChassisPowerAction.FORCE_OFF],
};

/** What to offer for a host, of what its wires can do: the gentle ones first. */
export function hostActions(state: HostState, able: readonly HostPowerAction[]): HostPowerAction[] {
  return (OF_HOST[state] ?? able).filter((each) => able.includes(each));
}

/** What to offer for a chassis. */
export function chassisActions(state: ChassisState): readonly ChassisPowerAction[] {
  return OF_CHASSIS[state] ?? [];
}

/** These are refused unless all hosts in the chassis are off. */
const NEEDS_HOSTS_OFF: readonly ChassisPowerAction[] = [ChassisPowerAction.OFF, ChassisPowerAction.CYCLE];

/** The hosts for which a chassis would refuse an action. */
export function hostsInTheWay(
  action: ChassisPowerAction,
  chassis: { readonly state: ChassisState; readonly hosts: readonly string[] },
  hosts: readonly Host[],
): string[] {
  if (chassis.state !== ChassisState.ON || !NEEDS_HOSTS_OFF.includes(action)) return [];
  return hosts.filter((each) => chassis.hosts.includes(each.name) && each.state !== HostState.OFF).map((each) => each.name);
}

/** Whether a host has power, and the time with power goes on. */
export function hasPower(state: HostState): boolean {
  return state === HostState.ON || state === HostState.POWERING_OFF;
}

/** These cut power or stop the operating system where it is. */
export const FORCED: ReadonlySet<string> = new Set([
  'FORCE_OFF',
  'FORCE_RESTART',
  'POWER_CYCLE',
  'NMI',
  'FORCE_CYCLE',
]);
