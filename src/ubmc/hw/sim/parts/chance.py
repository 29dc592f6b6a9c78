"""Randomness that depends on nothing but where it is asked for: reading a sensor twice, or never, changes no other."""

from __future__ import annotations

_MASK = (1 << 64) - 1


def chance(seed: int, place: int, step: int) -> float:
    """A number between -1 and 1, evenly spread, that belongs to this seed, place and step.

    The mixing is the finalizer of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators").
    """
    mixed = (seed * 0x9E3779B97F4A7C15 + place * 0xD1B54A32D192ED03 + step * 0x8CB92BA72F3D8DD7) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 52) - 1.0
