import { describe, expect, it } from 'vitest';

import { ChassisState } from './gen/ubmc/v1alpha1/chassis_pb.ts';
import { HostPowerAction, HostState } from './gen/ubmc/v1alpha1/host_pb.ts';
import { chassisActions, hostActions } from './power.ts';

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
