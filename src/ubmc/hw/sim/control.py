"""Asking the simulated machine, from an event loop, for things that no BMC can do: faults, mains, presses by people.

From code without a loop use `ubmc.hw.sim.process.request`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ubmc.hw.power.port import Boot, BootStage
from ubmc.hw.sim.dial import Dial, exchange, greet
from ubmc.hw.sim.port import ActiveFault, Conditions, KindOfFault
from ubmc.hw.sim.protocol import LONGEST_ANSWER_BYTES, decode, decode_answer
from ubmc.hw.sim.wires import Change
from ubmc.kit.errors import Exhausted, Unavailable

_STAGES = MappingProxyType(
    {
        "setup": BootStage.SETUP,
        "boot": BootStage.LOADING,
        "up": BootStage.RUNNING,
        "stopping": BootStage.RUNNING,
        "panicked": BootStage.RUNNING,
    }
)
# The progress codes of `ubmc.hw.sim.parts.host.POST_STEPS`.
_POST_STAGES = MappingProxyType(
    {0x10: BootStage.PROCESSOR, 0x30: BootStage.MEMORY, 0x60: BootStage.PCI, 0xA0: BootStage.HARDWARE}
)


@dataclass(frozen=True, slots=True)
class Control:
    """The control side of a machine (`ubmc.hw.sim.port.Twin`, and more that tests need).

    All methods raise `Unavailable`, and what the machine says.
    """

    dial: Dial

    async def state(self) -> dict[str, Any]:
        """Everything there is to know about the machine."""
        state = (await self._ask({"do": "state"}))["state"]
        return dict(state)

    async def conditions(self) -> Conditions:
        """What it goes through now. Raises `Unavailable` for a machine of an older release, too."""
        state = await self.state()
        try:
            return Conditions(
                time_seconds=state["time_seconds"],
                faults=tuple(ActiveFault(one["kind"], one["target"], one["value"]) for one in state["faults"]),
                load_profile=state["load_profile"],
                load_percent=state["load_percent"],
                ambient_celsius=state["ambient_celsius"],
                mains=state["socket"],
                buttons=tuple(state["buttons"]),
            )
        except KeyError:
            raise Unavailable(
                "the simulated machine that runs is of an older release: stop the BMC, end the machine with "
                "'ubmc machine end', and start the BMC again"
            ) from None

    async def fault_kinds(self) -> Sequence[KindOfFault]:
        """What can be wrong with it."""
        answer = await self._ask({"do": "fault-kinds"})
        targets = answer["targets"]
        return tuple(
            KindOfFault(kind["kind"], kind["description"], tuple(targets[kind["into"]]), kind["takes_value"])
            for kind in answer["kinds"]
        )

    async def inject(self, kind: str, target: str = "", value: float | None = None) -> None:
        """Break something."""
        await self._ask({"do": "inject", "kind": kind, "target": target, "value": value})

    async def clear(self, kind: str = "", target: str = "") -> None:
        """Mend all of this kind and target; empty: any."""
        await self._ask({"do": "clear", "kind": kind, "target": target})

    async def set_load(self, profile: str | None = None, percent: float | None = None) -> None:
        """Let the host compute by a profile; None: as it was."""
        await self._ask({"do": "load", "profile": profile or "", "percent": percent})

    async def set_ambient(self, celsius: float) -> None:
        """Set the temperature of the room, -20 to 60."""
        await self._ask({"do": "ambient", "celsius": celsius})

    async def set_fault(self, name: str, *, on: bool) -> None:
        """Make the host misbehave (`hang-on`, `hang-off`, `hang-hard`), or behave again."""
        await self._ask({"do": "fault", "name": name, "on": on})

    async def press(self, button: str, seconds: float = 0.2) -> None:
        """Press `front-power-button` or `front-identify-button`; returns when it has been pressed, not let go."""
        await self._ask({"do": "press", "button": button, "seconds": seconds})

    async def set_mains(self, *, on: bool) -> None:
        """Cut mains, or bring it back."""
        await self._ask({"do": "mains", "on": on})

    async def guest(self, what: str) -> None:
        """Have the operating system do `shutdown`, `reset` or `panic` by itself."""
        await self._ask({"do": "guest", "what": what})

    async def choose_boot(self, target: str | None, firmware: str = "", uri: str = "") -> None:
        """Have the next boot, and only that, come from there.

        Args:
            target: a value of `ubmc.hw.power.port.BootTarget`; None: the firmware's own order, whatever was asked for
                before.
            firmware: `uefi` or `legacy`; empty: as it is set up.
            uri: what is loaded by the target `http`.
        """
        await self._ask({"do": "boot", "target": target, "firmware": firmware, "uri": uri})

    async def set_boot(self, boot: Boot | None) -> None:
        """The same for a power driver; see `ubmc.hw.power.buttons.SetBoot`."""
        boot = boot or Boot()
        target = None if boot.target is None else boot.target.value
        await self.choose_boot(target, "" if boot.firmware is None else boot.firmware.value, boot.uri)

    async def stages(self, host: str) -> AsyncGenerator[BootStage | None, None]:
        """How far the boots of a host come, as they do; see `ubmc.hw.power.buttons.Stages`."""
        stage, progress = "", 0
        async with contextlib.aclosing(self.watch()) as changes:
            async for change in changes:
                if isinstance(change, dict):
                    state = change["hosts"].get(host, {})
                    stage, progress = str(state.get("stage", "")), int(state.get("progress", 0))
                elif change.name == f"{host}.stage":
                    stage = str(change.value)
                elif change.name == f"{host}.progress":
                    progress = int(change.value)
                else:
                    continue
                yield _POST_STAGES.get(progress) if stage == "post" else _STAGES.get(stage)

    async def console(self, start: int = 0) -> tuple[int, str]:
        """What the host wrote on its serial line from byte `start` on (a chunk); and the place of its first byte."""
        answer = await self._ask({"do": "console", "from": start})
        return int(answer["from"]), str(answer["text"])

    async def end(self) -> None:
        """End the machine."""
        await self._ask({"do": "end"})

    async def mains_epoch(self) -> str | None:
        """`INSTANCE:CYCLES`, with `!` behind it while mains is away; None while the machine does not answer.

        Mains came back exactly if INSTANCE is the same and CYCLES is higher. A new instance is a new machine, about
        whose mains nothing is proven.
        """
        try:
            state = await self.state()
        except Unavailable:
            return None
        away = "" if state["mains"] else "!"
        return f"{state['instance']}:{state['mains_cycles']}{away}"

    async def watch(self) -> AsyncGenerator[dict[str, Any] | Change, None]:
        """The state now (as a dict), then every change. Raises `Unavailable` when the machine goes away."""
        sock, answer, rest = await greet(self.dial, {"watch": True})
        loop = asyncio.get_running_loop()
        with sock:
            yield dict(answer["state"])
            while True:
                while b"\n" in rest:
                    line, _, rest = rest.partition(b"\n")
                    change = decode(line)["change"]
                    yield Change(change["at_seconds"], change["name"], change["value"])
                if len(rest) > LONGEST_ANSWER_BYTES:
                    raise Exhausted("the simulated machine's news is too long")
                try:
                    data = await loop.sock_recv(sock, LONGEST_ANSWER_BYTES)
                except OSError as error:
                    raise Unavailable(f"the simulated machine went away: {error}") from error
                if not data:
                    raise Unavailable("the simulated machine went away")
                rest += data

    async def _ask(self, control: dict[str, Any]) -> dict[str, Any]:
        sock = await self.dial()
        with sock:
            line, _ = await exchange(sock, {"control": control})
        return decode_answer(line)
