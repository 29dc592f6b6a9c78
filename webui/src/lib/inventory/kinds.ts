/** A picture for each kind of part. */
import Box from '@lucide/svelte/icons/box';
import CircuitBoard from '@lucide/svelte/icons/circuit-board';
import Cpu from '@lucide/svelte/icons/cpu';
import Fan from '@lucide/svelte/icons/fan';
import HardDrive from '@lucide/svelte/icons/hard-drive';
import MemoryStick from '@lucide/svelte/icons/memory-stick';
import Microchip from '@lucide/svelte/icons/microchip';
import Network from '@lucide/svelte/icons/network';
import Puzzle from '@lucide/svelte/icons/puzzle';
import Server from '@lucide/svelte/icons/server';
import Zap from '@lucide/svelte/icons/zap';
import type { Component } from 'svelte';

import { AssetKind } from '#lib/gen/ubmc/v1alpha1/inventory_pb.ts';

const ICONS: Partial<Record<AssetKind, Component>> = {
  [AssetKind.CHASSIS]: Box,
  [AssetKind.HOST]: Server,
  [AssetKind.BOARD]: CircuitBoard,
  [AssetKind.MANAGEMENT_CONTROLLER]: Microchip,
  [AssetKind.PROCESSOR]: Cpu,
  [AssetKind.MEMORY]: MemoryStick,
  [AssetKind.DRIVE]: HardDrive,
  [AssetKind.POWER_SUPPLY]: Zap,
  [AssetKind.FAN]: Fan,
  [AssetKind.NETWORK_CARD]: Network,
};

export function iconOf(kind: AssetKind): Component {
  return ICONS[kind] ?? Puzzle;
}
