import { afterEach, describe, expect, test } from 'vitest';

import { Severity } from '../gen/ubmc/v1alpha1/event_kind_pb.ts';
import { ServiceState } from '../gen/ubmc/v1alpha1/system_pb.ts';
import { chassisAction, hostAction, serviceState, serviceTone, severity, severityTone, terms } from './terms.ts';
import { ChassisPowerAction } from '../gen/ubmc/v1alpha1/chassis_pb.ts';
import { HostPowerAction } from '../gen/ubmc/v1alpha1/host_pb.ts';
import { locale } from './locale.svelte.ts';

afterEach(() => (locale.language = 'en'));

const numbers = (names: Record<string, string | number>): number[] =>
  Object.values(names).filter((each) => typeof each === 'number');

describe('severity of an event', () => {
  test('what is not grave is news, and not that all is well', () => {
    expect(severity(Severity.OK)).toBe('Information');
    expect(severityTone(Severity.OK)).toBe('info');
    expect(severityTone(Severity.WARNING)).toBe('warning');
    expect(severityTone(Severity.CRITICAL)).toBe('critical');
    expect(severityTone(Severity.UNSPECIFIED)).toBe('unknown');
  });

  test.each(['en', 'de'] as const)('each has a word in %s', (language) => {
    locale.language = language;
    for (const value of numbers(Severity)) expect(severity(value)).not.toMatch(/_/);
    for (const value of numbers(ServiceState)) expect(serviceState(value)).not.toMatch(/_/);
  });
});

describe('a service', () => {
  // docs of GetHealth: only what failed five times in a row makes the BMC critical
  test.each([
    [ServiceState.READY, 'ok'],
    [ServiceState.STARTING, 'busy'],
    [ServiceState.FAILED, 'warning'],
    [ServiceState.STOPPED, 'warning'],
    [ServiceState.DEGRADED, 'critical'],
    [ServiceState.UNSPECIFIED, 'unknown'],
  ])('%s is %s', (state, tone) => {
    expect(serviceTone(state)).toBe(tone);
  });
});

describe('power actions', () => {
  test.each(['en', 'de'] as const)('none of a host is called as another one of its chassis that does less, in %s', (language) => {
    locale.language = language;
    expect(hostAction(HostPowerAction.POWER_CYCLE)).not.toBe(chassisAction(ChassisPowerAction.CYCLE));
    const ofHost = numbers(HostPowerAction).filter(Boolean).map(hostAction);
    expect(new Set(ofHost).size).toBe(ofHost.length);
    const ofChassis = numbers(ChassisPowerAction).filter(Boolean).map(chassisAction);
    expect(new Set(ofChassis).size).toBe(ofChassis.length);
    expect(Object.keys(terms.languages.en)).toContain('action_FORCE_CYCLE');
  });
});
