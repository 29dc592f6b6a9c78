"""The service simulation: the simulated machine's faults, load and room behind RPCs. It knows nothing by itself."""

from __future__ import annotations

from types import MappingProxyType

from ubmc.hw.sim.port import ActiveFault, Conditions, Twin
from ubmc.kit.errors import Invalid
from ubmc.kit.service import Service, rpc
from ubmc.v1alpha1 import simulation_pb as m
from ubmc.v1alpha1.simulation_pb import LoadProfile
from ubmc.v1alpha1.simulation_rpc import SimulationService

PRESS_SECONDS = 0.2
PROFILES = MappingProxyType({profile: profile.name.lower() for profile in LoadProfile if profile.value})
_PROFILES = MappingProxyType({word: profile for profile, word in PROFILES.items()})


class Simulation(Service):
    """Answers for the simulated machine of a board."""

    name = "simulation"
    tells = (m.SimulationChange,)

    def __init__(self, twin: Twin, component: str = "chassis.0") -> None:
        """Make the service.

        Args:
            twin: the machine.
            component: of which news are told.
        """
        self._twin = twin
        self._component = component

    @rpc(SimulationService.GetSimulation)
    async def get(self, request: m.GetSimulationRequest) -> m.GetSimulationResponse:
        """How things are."""
        return m.GetSimulationResponse(simulation=await self._now())

    @rpc(SimulationService.ListFaultKinds)
    async def list_kinds(self, request: m.ListFaultKindsRequest) -> m.ListFaultKindsResponse:
        """What can be wrong."""
        kinds = [
            m.FaultKind(
                kind=kind.kind, description=kind.description, targets=list(kind.targets), takes_value=kind.takes_value
            )
            for kind in await self._twin.fault_kinds()
        ]
        return m.ListFaultKindsResponse(fault_kinds=kinds)

    @rpc(SimulationService.InjectFault)
    async def inject(self, request: m.InjectFaultRequest) -> m.InjectFaultResponse:
        """Break something."""
        fault = request.fault or m.Fault()
        value = fault.value if fault.has_field("value") else None
        await self._twin.inject(fault.kind, fault.target, value)
        self._tell(f"fault {_named(fault.kind, fault.target)} injected")
        return m.InjectFaultResponse(simulation=await self._now())

    @rpc(SimulationService.ClearFault)
    async def clear(self, request: m.ClearFaultRequest) -> m.ClearFaultResponse:
        """Mend something."""
        before = (await self._twin.conditions()).faults
        await self._twin.clear(request.kind, request.target)
        now = await self._twin.conditions()
        there = {(fault.kind, fault.target) for fault in now.faults}
        for fault in before:
            if (fault.kind, fault.target) not in there:
                self._tell(f"fault {_named(fault.kind, fault.target)} cleared")
        return m.ClearFaultResponse(simulation=_message(now))

    @rpc(SimulationService.SetConditions)
    async def set_conditions(self, request: m.SetConditionsRequest) -> m.SetConditionsResponse:
        """Change load, room or mains."""
        percent = request.load_percent if request.has_field("load_percent") else None
        profile = PROFILES.get(request.load_profile)
        if profile is None and request.load_profile is not LoadProfile.UNSPECIFIED:
            raise Invalid(f"load_profile is one of {', '.join(PROFILES.values())}")
        if profile is not None or percent is not None:
            await self._twin.set_load(profile, percent)
            said = [] if percent is None else [f"{percent:g} percent"]
            self._tell(" ".join(["load", *([profile] if profile else []), *said]))
        if request.has_field("ambient_celsius"):
            await self._twin.set_ambient(request.ambient_celsius)
            self._tell(f"ambient {request.ambient_celsius:g} degrees Celsius")
        if request.has_field("mains"):
            await self._twin.set_mains(on=request.mains)
            self._tell("mains on" if request.mains else "mains off")
        return m.SetConditionsResponse(simulation=await self._now())

    @rpc(SimulationService.PressButton)
    async def press(self, request: m.PressButtonRequest) -> m.PressButtonResponse:
        """Press a button."""
        await self._twin.press(request.button, request.seconds or PRESS_SECONDS)
        self._tell(f"{request.button} pressed")
        return m.PressButtonResponse(simulation=await self._now())

    async def _now(self) -> m.Simulation:
        return _message(await self._twin.conditions())

    def _tell(self, what: str) -> None:
        self.bus.tell(self._component, m.SimulationChange(what=what))


def _named(kind: str, target: str) -> str:
    return f"{kind} of {target}" if target else kind


def _message(now: Conditions) -> m.Simulation:
    return m.Simulation(
        time_seconds=now.time_seconds,
        faults=[_fault(fault) for fault in now.faults],
        load_profile=_PROFILES.get(now.load_profile, LoadProfile.UNSPECIFIED),
        load_percent=now.load_percent,
        ambient_celsius=now.ambient_celsius,
        mains=now.mains,
        buttons=list(now.buttons),
    )


def _fault(fault: ActiveFault) -> m.Fault:
    made = m.Fault(kind=fault.kind, target=fault.target)
    if fault.value is not None:
        made.value = fault.value
    return made
