"""The device itself: who it is, how it is, its restart, and the guest's message queue (Spec chapters 20 and 22)."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from ubmc.protocols.ipmi import app
from ubmc.protocols.ipmi.codes import Code, Completion, Level, NetFn
from ubmc.services.ipmisrv.commands.ground import Ground
from ubmc.services.ipmisrv.commands.own import changing
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.host_pb import HostState
from ubmc.v1alpha1.management_controller_pb import RestartManagementControllerRequest
from ubmc.v1alpha1.management_controller_rpc import ManagementControllerService
from ubmc.v1alpha1.network_pb import InterfaceAddress
from ubmc.v1alpha1.system_pb import GetHealthRequest, ServiceState
from ubmc.v1alpha1.system_rpc import SystemService

CALLS = (ManagementControllerService.RestartManagementController, SystemService.GetHealth)
_PARTS = {"eventlog": "sel", "sensormon": "sdr", "inventorymgr": "fru"}
_SEL_LOGGING = 0x08  # BMC Global Enables, bit 3 (Spec table 22-2)
_NO_DATA = 0x80  # Get Message, Read Event Message Buffer: there is none (Spec tables 22-7 and 22-11)
_TEXTS = {2: "system_name", 3: "primary_os", 4: "os", 5: "os_version", 7: "hypervisor_url"}
_INFO = "system_info"
_SET_ENABLES, _SET_INFO = "Set BMC Global Enables", "Set System Info Parameters"


class DeviceCommands:
    """The commands.

    Args:
        ground: what all stand on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._enables = _SEL_LOGGING
        self._drafts: dict[int, app.TextDraft] = {}

    def commands(self) -> Iterable[Command]:
        """The table of them (Spec table G-1)."""
        user, admin = Level.USER, Level.ADMINISTRATOR
        health, restart = "SystemService.GetHealth", "ManagementControllerService.RestartManagementController"
        return (
            Command(NetFn.APP, 0x01, "Get Device ID", user, self._device_id, inband=True),
            Command(NetFn.APP, 0x02, "Cold Reset", admin, self._reset, calls=restart),
            Command(NetFn.APP, 0x03, "Warm Reset", admin, self._reset, calls=restart),
            Command(NetFn.APP, 0x04, "Get Self Test Results", user, self._self_test, inband=True, calls=health),
            Command(
                NetFn.APP, 0x07, "Get ACPI Power State", user, self._acpi, inband=True, calls="HostService.WatchHosts"
            ),
            Command(NetFn.APP, 0x08, "Get Device GUID", user, self._device_guid, inband=True),
            Command(NetFn.APP, 0x2E, _SET_ENABLES, admin, self._set_enables, 1, inband=True),
            Command(
                NetFn.APP, 0x2F, "Get BMC Global Enables", user, lambda _c, _d: bytes((self._enables,)), inband=True
            ),
            Command(NetFn.APP, 0x30, "Clear Message Flags", admin, lambda _c, _d: b"", 1, inband=True),
            Command(NetFn.APP, 0x31, "Get Message Flags", admin, lambda _c, _d: b"\x00", inband=True),
            Command(NetFn.APP, 0x33, "Get Message", admin, _nothing, inband=True),
            Command(NetFn.APP, 0x35, "Read Event Message Buffer", admin, _nothing, inband=True),
            Command(NetFn.APP, 0x37, "Get System GUID", Level.NONE, self._system_guid, inband=True),
            Command(NetFn.APP, 0x58, _SET_INFO, admin, self._set_info, 2, 18),
            Command(NetFn.APP, 0x59, "Get System Info Parameters", user, self._get_info, 4, inband=True),
        )

    def _device_id(self, _context: Context, _data: bytes) -> bytes:
        return app.device_id(self._ground.device)

    async def _reset(self, context: Context, _data: bytes) -> bytes:
        """The services of the BMC restart; the host keeps its power."""
        request = RestartManagementControllerRequest(name=self._ground.options.controller)
        await context.ask(ManagementControllerService.RestartManagementController, request)
        return b""

    async def _self_test(self, context: Context, _data: bytes) -> bytes:
        health = await context.ask(SystemService.GetHealth, GetHealthRequest())
        broken = {each.name for each in health.services if each.state is not ServiceState.READY}
        return app.self_test(part for service, part in _PARTS.items() if service in broken)

    def _acpi(self, context: Context, _data: bytes) -> bytes:
        state = self._ground.facts.hosts.get(context.host).state
        if state is HostState.UNKNOWN:
            return app.acpi_power_state(app.ACPI_UNKNOWN)
        off = state in (HostState.OFF, HostState.POWERING_ON)
        return app.acpi_power_state(app.ACPI_OFF if off else app.ACPI_ON)

    def _device_guid(self, _context: Context, _data: bytes) -> bytes:
        return app.guid(self._ground.device_guid())

    def _system_guid(self, _context: Context, _data: bytes) -> bytes:
        return app.guid(self._ground.system_guid())

    def _set_enables(self, context: Context, data: bytes) -> bytes | Awaitable[bytes]:
        """The event log always logs; the queues of the guest are always empty, so their interrupts may be on."""
        if not data[0] & _SEL_LOGGING or data[0] & 0xF0:
            raise Completion(Code.INVALID_FIELD)
        enables = data[0]
        if context.inband or enables == self._enables:  # they are the guest's own: each start of a system sets them
            self._enables = enables
            return b""
        return self._set_enables_for(context, enables)

    async def _set_enables_for(self, context: Context, enables: int) -> bytes:
        async with changing(context, _SET_ENABLES, Privilege.CONFIGURE_MANAGER, self._ground.options.controller):
            self._enables = enables
        return b""

    # --- system information ---------------------------------------------------------------------------------------

    def _get_info(self, _context: Context, data: bytes) -> bytes:
        """Spec section 22.14b."""
        revision = bytes((app.REVISION,))
        if data[0] & 0x80:
            return revision
        if data[1] == 0:
            return revision + b"\x00"
        return revision + app.text_block(self._info(data[1]), data[2])

    def _info(self, parameter: int) -> str:
        kept = self._ground.settings.section(_INFO)
        facts = self._ground.facts
        match parameter:
            case 1:
                host = facts.assets.known.get(self._ground.options.host)
                return host.version if host is not None else ""
            case 2:
                return str(kept.get("system_name") or (facts.network.host_name if facts.network is not None else ""))
            case 6:
                address = next((each.address for each in self._addresses()), "")
                return f"https://{address}/" if address else ""
            case known if known in _TEXTS:
                return str(kept.get(_TEXTS[known], ""))
        raise Completion(app.PARAMETER_NOT_SUPPORTED)

    def _addresses(self) -> Iterable[InterfaceAddress]:
        for interface in self._ground.facts.interfaces.known.values():
            if interface.ipv4 is not None:
                yield from interface.ipv4.addresses

    async def _set_info(self, context: Context, data: bytes) -> bytes:
        """Spec section 22.14a."""
        parameter = data[0]
        if parameter == 0:
            return b""
        if parameter not in _TEXTS:
            raise Completion(app.READ_ONLY if parameter in (1, 6) else app.PARAMETER_NOT_SUPPORTED)
        async with changing(context, _SET_INFO, Privilege.CONFIGURE_MANAGER, self._ground.options.controller):
            draft = self._drafts.setdefault(parameter, app.TextDraft())
            text = draft.take(data[1], data[2:])
            kept = dict(self._ground.settings.section(_INFO))
            await self._ground.settings.keep(_INFO, kept | {_TEXTS[parameter]: text})
        return b""


def _nothing(_context: Context, _data: bytes) -> bytes:
    raise Completion(_NO_DATA)
