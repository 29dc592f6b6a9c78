import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';

import { ChassisPowerAction, ChassisState } from './gen/ubmc/v1alpha1/chassis_pb.ts';
import { HostPowerAction, HostSchema, HostState } from './gen/ubmc/v1alpha1/host_pb.ts';
import { chassisActions, hostActions, hostsInTheWay } from './power.ts';

const ALL = Object.values(HostPowerAction).filter((each) => typeof each === 'number' && each > 0) as HostPowerAction[];

describe('what is offered', () => {
  it('lets a host that may have power be forced off, in every state but off', () => {
    for (const state of [HostState.UNKNOWN, HostState.POWERING_ON, HostState.ON, HostState.POWERING_OFF, HostState.RESTARTING])
      expect(hostActions(state, ALL)).toContain(HostPowerAction.FORCE_OFF);
    expect(hostActions(HostState.OFF, ALL)).not.toContain(HostPowerAction.FORCE_OFF);
  });

  it('leaves out what the wires cannot do', () => {
    expect(hostActions(HostState.ON, [HostPowerAction.ON, HostPowerAction.FORCE_OFF])).toEqual([HostPowerAction.FORCE_OFF]);
    expect(hostActions(HostState.ON, [])).toEqual([]);
  });

  it('offers everything in a state that it does not know', () => {
    expect(hostActions(99 as HostState, ALL)).toEqual(ALL);
  });

  it('never offers a gentle action on the way', () => {
    expect(hostActions(HostState.POWERING_OFF, ALL)).toEqual([HostPowerAction.FORCE_OFF]);
    expect(chassisActions(ChassisState.CYCLING)).toHaveLength(1);
  });
});

describe('what hosts stand in the way of', () => {
  const host = (name: string, state: HostState) => create(HostSchema, { name, state });
  const chassis = { state: ChassisState.ON, hosts: ['host.0', 'host.1'] };
  const { OFF, CYCLE, FORCE_OFF, FORCE_CYCLE } = ChassisPowerAction;

  it('is off and cycle, while a host of the chassis is not off', () => {
    const hosts = [host('host.0', HostState.OFF), host('host.1', HostState.POWERING_OFF), host('other', HostState.ON)];
    for (const action of [OFF, CYCLE]) expect(hostsInTheWay(action, chassis, hosts)).toEqual(['host.1']);
    for (const action of [FORCE_OFF, FORCE_CYCLE]) expect(hostsInTheWay(action, chassis, hosts)).toEqual([]);
  });

  it('is nothing once all are off, or when the chassis is not on', () => {
    expect(hostsInTheWay(OFF, chassis, [host('host.0', HostState.OFF), host('other', HostState.ON)])).toEqual([]);
    expect(hostsInTheWay(OFF, { ...chassis, state: ChassisState.UNKNOWN }, [host('host.0', HostState.ON)])).toEqual([]);
  });
});
