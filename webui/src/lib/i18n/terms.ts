/** The words of the schema's states and kinds, and how they look at a glance. */
import type { Tone } from '../components/ui/tone.ts';
import { ChassisPowerAction, ChassisState } from '../gen/ubmc/v1alpha1/chassis_pb.ts';
import { Severity } from '../gen/ubmc/v1alpha1/event_kind_pb.ts';
import { BootProgress, HostPowerAction, HostState } from '../gen/ubmc/v1alpha1/host_pb.ts';
import { SensorKind, SensorLevel, SensorQuality, type Sensor } from '../gen/ubmc/v1alpha1/sensor_pb.ts';
import { ServiceState } from '../gen/ubmc/v1alpha1/system_pb.ts';
import { CoolingDeviceState, ThermalProfile, ThermalZoneState } from '../gen/ubmc/v1alpha1/thermal_pb.ts';
import { catalogue } from './catalogue.ts';

export const terms = catalogue(
  {
    severity_UNSPECIFIED: 'Not said',
    severity_OK: 'Information',
    severity_WARNING: 'Warning',
    severity_CRITICAL: 'Critical',
    power_UNKNOWN: 'Unknown',
    power_OFF: 'Off',
    power_POWERING_ON: 'Powering on',
    power_ON: 'On',
    power_POWERING_OFF: 'Shutting down',
    power_RESTARTING: 'Restarting',
    power_CYCLING: 'Power cycling',
    action_ON: 'Power on',
    action_GRACEFUL_OFF: 'Shut down',
    action_FORCE_OFF: 'Force off',
    action_REBOOT: 'Reboot',
    action_FORCE_RESTART: 'Force restart',
    action_NMI: 'Send NMI',
    action_POWER_CYCLE: 'Force power cycle',
    action_PUSH_POWER_BUTTON: 'Push power button',
    action_OFF: 'Power off',
    action_CYCLE: 'Power cycle',
    action_FORCE_CYCLE: 'Force power cycle',
    boot_NONE: 'Not begun',
    boot_HARDWARE_INITIALIZATION: 'Firmware initialises the hardware',
    boot_OS_BOOT_STARTED: 'Operating system is booting',
    boot_OS_RUNNING: 'Operating system runs',
    boot_PRIMARY_PROCESSOR_INITIALIZATION: 'Firmware initialises the processor',
    boot_MEMORY_INITIALIZATION: 'Firmware initialises the memory',
    boot_PCI_RESOURCE_CONFIG: 'Firmware configures PCI',
    boot_HARDWARE_INITIALIZATION_COMPLETE: 'Hardware is initialised',
    boot_SETUP_ENTERED: 'Firmware set-up is open',
    kind_TEMPERATURE: 'Temperatures',
    kind_VOLTAGE: 'Voltages',
    kind_CURRENT: 'Currents',
    kind_FAN_SPEED: 'Fan speeds',
    kind_POWER: 'Power',
    kind_ENERGY: 'Energy',
    kind_HUMIDITY: 'Humidity',
    kind_PRESSURE: 'Pressure',
    kind_FLOW: 'Flow',
    kind_PERCENT: 'Utilisation',
    kind_STATE: 'States',
    level_NORMAL: 'Normal',
    level_WARNING: 'Warning',
    level_CRITICAL: 'Critical',
    level_FATAL: 'Fatal',
    quality_UNSPECIFIED: 'Not read yet',
    quality_GOOD: 'Good',
    quality_STALE: 'Stale',
    quality_IMPLAUSIBLE: 'Implausible',
    quality_FAILED: 'Failed',
    quality_UNAVAILABLE: 'Not available',
    service_UNSPECIFIED: 'Unknown',
    service_STARTING: 'Starting',
    service_READY: 'Ready',
    service_FAILED: 'Failed',
    service_DEGRADED: 'Degraded',
    service_STOPPED: 'Stopped',
    zone_FAIL_SAFE: 'Fail-safe',
    zone_NORMAL: 'Normal',
    zone_OVERHEATED: 'Overheated',
    zone_MANUAL: 'Manual',
    profile_QUIET: 'Quiet',
    profile_BALANCED: 'Balanced',
    profile_AGGRESSIVE: 'Aggressive',
    profile_CUSTOM: 'Custom',
    device_OK: 'OK',
    device_SLOW: 'Slow',
    device_SEIZED: 'Seized',
    device_UNWRITABLE: 'Does not obey',
    device_ABSENT: 'Absent',
    cause_user: '{user}',
    'cause_front-panel': 'Front panel',
    cause_guest: 'Operating system',
    cause_watchdog: 'Host watchdog',
    'cause_restore-policy': 'Restore policy',
    'cause_thermal-trip': 'Thermal trip',
    cause_hardware: 'Hardware',
  },
  {
    severity_UNSPECIFIED: 'Keine Angabe',
    severity_OK: 'Information',
    severity_WARNING: 'Warnung',
    severity_CRITICAL: 'Kritisch',
    power_UNKNOWN: 'Unbekannt',
    power_OFF: 'Aus',
    power_POWERING_ON: 'Schaltet ein',
    power_ON: 'An',
    power_POWERING_OFF: 'Fährt herunter',
    power_RESTARTING: 'Startet neu',
    power_CYCLING: 'Schaltet aus und ein',
    action_ON: 'Einschalten',
    action_GRACEFUL_OFF: 'Herunterfahren',
    action_FORCE_OFF: 'Ausschalten erzwingen',
    action_REBOOT: 'Neu starten',
    action_FORCE_RESTART: 'Neustart erzwingen',
    action_NMI: 'NMI senden',
    action_POWER_CYCLE: 'Aus- und Einschalten erzwingen',
    action_PUSH_POWER_BUTTON: 'Netztaster drücken',
    action_OFF: 'Ausschalten',
    action_CYCLE: 'Aus- und einschalten',
    action_FORCE_CYCLE: 'Aus- und Einschalten erzwingen',
    boot_NONE: 'Nicht begonnen',
    boot_HARDWARE_INITIALIZATION: 'Firmware initialisiert die Hardware',
    boot_OS_BOOT_STARTED: 'Betriebssystem startet',
    boot_OS_RUNNING: 'Betriebssystem läuft',
    boot_PRIMARY_PROCESSOR_INITIALIZATION: 'Firmware initialisiert den Prozessor',
    boot_MEMORY_INITIALIZATION: 'Firmware initialisiert den Speicher',
    boot_PCI_RESOURCE_CONFIG: 'Firmware richtet PCI ein',
    boot_HARDWARE_INITIALIZATION_COMPLETE: 'Hardware ist initialisiert',
    boot_SETUP_ENTERED: 'Firmware-Einstellungen sind offen',
    kind_TEMPERATURE: 'Temperaturen',
    kind_VOLTAGE: 'Spannungen',
    kind_CURRENT: 'Ströme',
    kind_FAN_SPEED: 'Lüfterdrehzahlen',
    kind_POWER: 'Leistung',
    kind_ENERGY: 'Energie',
    kind_HUMIDITY: 'Feuchte',
    kind_PRESSURE: 'Druck',
    kind_FLOW: 'Durchfluss',
    kind_PERCENT: 'Auslastung',
    kind_STATE: 'Zustände',
    level_NORMAL: 'Normal',
    level_WARNING: 'Warnung',
    level_CRITICAL: 'Kritisch',
    level_FATAL: 'Fatal',
    quality_UNSPECIFIED: 'Noch nicht gelesen',
    quality_GOOD: 'Gut',
    quality_STALE: 'Veraltet',
    quality_IMPLAUSIBLE: 'Unglaubwürdig',
    quality_FAILED: 'Ausgefallen',
    quality_UNAVAILABLE: 'Nicht verfügbar',
    service_UNSPECIFIED: 'Unbekannt',
    service_STARTING: 'Startet',
    service_READY: 'Bereit',
    service_FAILED: 'Ausgefallen',
    service_DEGRADED: 'Beeinträchtigt',
    service_STOPPED: 'Beendet',
    zone_FAIL_SAFE: 'Notbetrieb',
    zone_NORMAL: 'Normal',
    zone_OVERHEATED: 'Überhitzt',
    zone_MANUAL: 'Von Hand',
    profile_QUIET: 'Leise',
    profile_BALANCED: 'Ausgewogen',
    profile_AGGRESSIVE: 'Kräftig',
    profile_CUSTOM: 'Eigenes',
    device_OK: 'OK',
    device_SLOW: 'Zu langsam',
    device_SEIZED: 'Steht',
    device_UNWRITABLE: 'Gehorcht nicht',
    device_ABSENT: 'Fehlt',
    cause_user: '{user}',
    'cause_front-panel': 'Frontblende',
    cause_guest: 'Betriebssystem',
    cause_watchdog: 'Host-Watchdog',
    'cause_restore-policy': 'Wiederherstellung nach Netzausfall',
    'cause_thermal-trip': 'Thermische Abschaltung',
    cause_hardware: 'Hardware',
  },
);

type Names = Record<number, string>;

// an enum that a newer BMC has and these pages do not is shown by its number
function term(prefix: string, names: Names, value: number): string {
  return terms.of(`${prefix}_${names[value] ?? value}`);
}

/** How grave an event is. OK is news, and not that all is well: a refused call is told with it too. */
export function severity(value: Severity): string {
  return term('severity', Severity as unknown as Names, value);
}

export function severityTone(value: Severity): Tone {
  if (value === Severity.CRITICAL) return 'critical';
  if (value === Severity.WARNING) return 'warning';
  return value === Severity.OK ? 'info' : 'unknown';
}

export function hostState(value: HostState): string {
  return term('power', HostState as unknown as Names, value);
}

export function chassisState(value: ChassisState): string {
  return term('power', ChassisState as unknown as Names, value);
}

/** Of hosts and chassis; both count alike up to ON. */
export function powerTone(value: HostState | ChassisState): Tone {
  if (value === HostState.ON) return 'ok';
  if (value === HostState.OFF) return 'muted';
  return value > HostState.OFF ? 'busy' : 'unknown';
}

export function hostAction(value: HostPowerAction): string {
  return term('action', HostPowerAction as unknown as Names, value);
}

export function chassisAction(value: ChassisPowerAction): string {
  return term('action', ChassisPowerAction as unknown as Names, value);
}

export function bootProgress(value: BootProgress): string {
  return term('boot', BootProgress as unknown as Names, value);
}

export function sensorKind(value: SensorKind): string {
  return term('kind', SensorKind as unknown as Names, value);
}

export function sensorLevel(value: SensorLevel): string {
  return term('level', SensorLevel as unknown as Names, value);
}

export function sensorQuality(value: SensorQuality): string {
  return term('quality', SensorQuality as unknown as Names, value);
}

/** How a sensor is: an alarm outranks the quality, because it stands while the sensor is broken. */
export function sensorTone(sensor: Sensor): Tone {
  if (sensor.level >= SensorLevel.CRITICAL) return 'critical';
  if (sensor.level === SensorLevel.WARNING) return 'warning';
  if (sensor.quality === SensorQuality.GOOD) return 'ok';
  if (sensor.quality === SensorQuality.UNAVAILABLE) return 'muted';
  return sensor.quality === SensorQuality.UNSPECIFIED ? 'unknown' : 'warning';
}

export function sensorStatus(sensor: Sensor): string {
  if (sensor.level > SensorLevel.NORMAL) return sensorLevel(sensor.level);
  return sensor.quality === SensorQuality.GOOD ? sensorLevel(SensorLevel.NORMAL) : sensorQuality(sensor.quality);
}

export function serviceState(value: ServiceState): string {
  return term('service', ServiceState as unknown as Names, value);
}

/** As the BMC counts it itself (`GetHealth`): what fails again and again is critical, what just failed is a warning. */
export function serviceTone(value: ServiceState): Tone {
  if (value === ServiceState.READY) return 'ok';
  if (value === ServiceState.STARTING) return 'busy';
  if (value === ServiceState.UNSPECIFIED) return 'unknown';
  return value === ServiceState.DEGRADED ? 'critical' : 'warning';
}

export function zoneState(value: ThermalZoneState): string {
  return term('zone', ThermalZoneState as unknown as Names, value);
}

export function zoneTone(value: ThermalZoneState): Tone {
  if (value === ThermalZoneState.NORMAL) return 'ok';
  if (value === ThermalZoneState.OVERHEATED) return 'critical';
  return value === ThermalZoneState.MANUAL ? 'info' : 'warning';
}

export function thermalProfile(value: ThermalProfile): string {
  return term('profile', ThermalProfile as unknown as Names, value);
}

export function deviceState(value: CoolingDeviceState): string {
  return term('device', CoolingDeviceState as unknown as Names, value);
}

export function deviceTone(value: CoolingDeviceState): Tone {
  if (value === CoolingDeviceState.OK) return 'ok';
  if (value === CoolingDeviceState.SLOW) return 'warning';
  return value === CoolingDeviceState.ABSENT ? 'muted' : 'critical';
}

/** Who or what caused something, for people. */
export function cause(told: { kind: string; user: string } | undefined): string {
  if (!told?.kind) return '';
  return told.kind === 'user' ? told.user : terms.of(`cause_${told.kind}`);
}
