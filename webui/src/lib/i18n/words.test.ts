import { afterEach, describe, expect, test } from 'vitest';

import { ChassisPowerAction, ChassisState } from '../gen/ubmc/v1alpha1/chassis_pb.ts';
import * as host from '../gen/ubmc/v1alpha1/host_pb.ts';
import { AssetKind, AssetSource } from '../gen/ubmc/v1alpha1/inventory_pb.ts';
import { LedPattern } from '../gen/ubmc/v1alpha1/led_pb.ts';
import { AddressOrigin, LinkState } from '../gen/ubmc/v1alpha1/network_pb.ts';
import * as schema from '../gen/ubmc/v1alpha1/security_pb.ts';
import { SensorKind, SensorLevel, SensorQuality } from '../gen/ubmc/v1alpha1/sensor_pb.ts';
import { CoolingDeviceState, ThermalProfile, ThermalZoneState } from '../gen/ubmc/v1alpha1/thermal_pb.ts';
import { inventory } from './inventory.ts';
import { locale } from './locale.svelte.ts';
import { security } from './security.ts';
import { settings } from './settings.ts';
import * as terms from './terms.ts';

afterEach(() => (locale.language = 'en'));

type Values = Record<string, string | number>;

/** The numbers of an enum; without that of "not said", which is only shown where there is a word for it. */
const numbers = (names: Values, all: boolean): number[] =>
  Object.values(names).filter((each): each is number => typeof each === 'number' && (all || each > 0));

const BY_NAME: [string, Values, (value: number) => string, boolean][] = [
  ['state of a host', host.HostState, terms.hostState, false],
  ['state of a chassis', ChassisState, terms.chassisState, false],
  ['action on a host', host.HostPowerAction, terms.hostAction, false],
  ['action on a chassis', ChassisPowerAction, terms.chassisAction, false],
  ['boot progress', host.BootProgress, terms.bootProgress, false],
  ['kind of sensors', SensorKind, terms.sensorKind, false],
  ['level of a sensor', SensorLevel, terms.sensorLevel, false],
  ['quality of a reading', SensorQuality, terms.sensorQuality, true],
  ['state of a zone', ThermalZoneState, terms.zoneState, false],
  ['profile', ThermalProfile, terms.thermalProfile, false],
  ['state of a fan', CoolingDeviceState, terms.deviceState, false],
];

const BY_NUMBER: [string, Values, { of(key: string): string }, boolean][] = [
  ['kind', AssetKind, inventory, true],
  ['source', AssetSource, inventory, true],
  ['pattern', LedPattern, inventory, true],
  ['restore', host.RestorePolicy, settings, true],
  ['boot_mode', host.BootOverrideMode, settings, false],
  ['boot_target', host.BootTarget, settings, true],
  ['boot_firmware', host.BootFirmware, settings, true],
  ['watchdog_action', host.WatchdogAction, settings, false],
  ['link', LinkState, settings, true],
  ['origin', AddressOrigin, settings, true],
  ['source', schema.CertificateSource, security, true],
  ['acme_state', schema.AcmeState, security, true],
  ['acme_challenge', schema.AcmeChallenge, security, false],
  ['client_certificates', schema.ClientCertificates, security, false],
  ['selftest', schema.ControlState, security, false],
];

describe.each(['en', 'de'] as const)('in %s', (language) => {
  test.each(BY_NAME)('each %s has a word', (_, names, word, all) => {
    locale.language = language;
    for (const value of numbers(names, all)) expect(word(value)).not.toMatch(/^[a-z]+_/);
  });

  test.each(BY_NUMBER)('each %s has a word', (prefix, names, texts, all) => {
    locale.language = language;
    for (const value of numbers(names, all)) expect(texts.of(`${prefix}_${value}`)).not.toBe(`${prefix}_${value}`);
  });
});

describe('texts', () => {
  const files = import.meta.glob<string>(['/src/**/*.{ts,svelte}', '!/src/lib/gen/**', '!/src/**/*.test.ts'], {
    query: '?raw',
    import: 'default',
    eager: true,
  });
  const isCatalogue = (path: string): boolean => path.includes('/i18n/');
  const code = Object.entries(files).filter(([path]) => !isCatalogue(path) || path.endsWith('/terms.ts'));
  const all = code.map(([, text]) => text).join('\n');
  // `kind_${asset.kind}`, term('power', ...)
  const made = [...all.matchAll(/`([a-z_]+_)\$\{|term\('([a-z]+)'/g)].map((found) => found[1] ?? `${found[2]}_`);
  const camel = (key: string): string => key.replace(/_([a-z0-9])/g, (__, letter: string) => letter.toUpperCase());
  const said = (key: string): boolean =>
    [key, camel(key)].some((each) => all.includes(`'${each}'`)) || made.some((prefix) => key.startsWith(prefix));
  const keys = Object.entries(files)
    .filter(([path]) => isCatalogue(path) && !/(catalogue|locale)/.test(path))
    .flatMap(([path, text]) => [...text.matchAll(/^ {4}'?([\w-]+)'?:/gm)].map((found) => [path, found[1] ?? '']));

  test('are found', () => {
    expect(keys.length).toBeGreaterThan(1000);
    expect(made).toContain('boot_target_');
  });

  test('that no page says are none', () => {
    const dead = keys.filter(([, key = '']) => !said(key) && !said(key.replace(/_(one|other|hint)$/, '')));
    expect([...new Set(dead.map(([path, key]) => `${path}: ${key}`))]).toEqual([]);
  });
});
