"""LAN and SOL parameters (Spec chapters 23 and 26). The network is netmgr's, the bit rate consolesrv's."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Iterable

from protobuf.wkt import FieldMask

from ubmc.kit.errors import NotFound, Refused, UbmcError
from ubmc.protocols.ipmi import app, transport
from ubmc.protocols.ipmi.codes import LAN_CHANNEL, Code, Completion, Level, NetFn
from ubmc.protocols.ipmi.transport import Lan, LanFacts, Sol
from ubmc.services.ipmisrv.commands.ground import Ground, check_channel
from ubmc.services.ipmisrv.commands.own import changing
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.services.ipmisrv.settings import SolSettings
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.account_pb import AccountPolicy, GetAccountPolicyRequest
from ubmc.v1alpha1.account_rpc import AccountService
from ubmc.v1alpha1.console_pb import Console, ConsoleSettings, GetConsoleRequest, UpdateConsoleRequest
from ubmc.v1alpha1.console_rpc import ConsoleService
from ubmc.v1alpha1.network_pb import (
    AddressOrigin,
    GetNetworkInterfaceRequest,
    InterfaceAddress,
    InterfaceStatistics,
    Ipv4,
    NetworkInterface,
    UpdateNetworkInterfaceRequest,
    Vlan,
)
from ubmc.v1alpha1.network_rpc import NetworkService

CALLS = (
    NetworkService.GetNetworkInterface,
    NetworkService.UpdateNetworkInterface,
    ConsoleService.GetConsole,
    ConsoleService.UpdateConsole,
    AccountService.GetAccountPolicy,
)
Change = tuple[NetworkInterface, str]
"""What is new, and the field of it."""
_SET_SOL = "Set SOL Configuration Parameters"
_ONLY_REVISION = 0x80
_CLEAR = 0x01  # Get IP/UDP/RMCP Statistics (Spec table 23-6)
_DEFAULT_PREFIX = 24
_READ_ONLY = frozenset({Lan.AUTH_SUPPORT, Lan.CIPHER_COUNT, Lan.CIPHER_SUITES, Lan.DESTINATIONS, Lan.IPV6_SUPPORT})


class LanCommands:
    """The commands.

    Args:
        ground: what all stand on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def commands(self) -> Iterable[Command]:
        """The table of them (Spec table G-1)."""
        net, op, admin = NetFn.TRANSPORT, Level.OPERATOR, Level.ADMINISTRATOR
        watch, update = "NetworkService.WatchNetwork", "NetworkService.UpdateNetworkInterface"
        console = "ConsoleService.UpdateConsole"
        return (
            Command(net, 0x01, "Set LAN Configuration Parameters", admin, self._set_lan, 3, 32, calls=update),
            Command(net, 0x02, "Get LAN Configuration Parameters", op, self._get_lan, 4, inband=True, calls=watch),
            Command(
                net,
                0x04,
                "Get IP/UDP/RMCP Statistics",
                Level.USER,
                self._statistics,
                2,
                inband=True,
                calls="NetworkService.GetNetworkInterface",
            ),
            Command(net, 0x21, _SET_SOL, admin, self._set_sol, 3, 10, calls=console),
            Command(
                net,
                0x22,
                "Get SOL Configuration Parameters",
                Level.USER,
                self._get_sol,
                4,
                inband=True,
                calls="ConsoleService.GetConsole",
            ),
        )

    # --- LAN ------------------------------------------------------------------------------------------------------

    def _facts(self) -> LanFacts:
        interface = self._ground.facts.interface()
        ipv4, ipv6, vlan = interface.ipv4 or Ipv4(), interface.ipv6, interface.vlan
        facts = LanFacts(
            dhcp=ipv4.dhcp,
            mac=bytes.fromhex(interface.mac_address.replace(":", "")) if interface.mac_address else bytes(6),
            gateway=ipv4.gateway,
            port=self._ground.options.port,
            vlan=vlan.id if vlan is not None and vlan.enabled else 0,
            vlan_priority=vlan.priority if vlan is not None else 0,
            cipher_suites=self._ground.options.cipher_suites,
        )
        if ipv4.addresses:
            facts = dataclasses.replace(
                facts, address=ipv4.addresses[0].address, prefix=ipv4.addresses[0].prefix_length
            )
        if ipv6 is None:
            return facts
        static = [each for each in ipv6.addresses if each.origin is AddressOrigin.STATIC]
        dynamic = [each for each in ipv6.addresses if each.origin is not AddressOrigin.STATIC]
        return dataclasses.replace(
            facts,
            ipv6=ipv6.enabled,
            ipv6_gateway=ipv6.static_gateway,
            ipv6_static=tuple((each.address, each.prefix_length) for each in static),
            ipv6_dynamic=tuple((each.address, each.prefix_length, _how(each.origin)) for each in dynamic),
        )

    def _get_lan(self, context: Context, data: bytes) -> bytes | Awaitable[bytes]:
        check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL)
        revision = bytes((app.REVISION,))
        if data[0] & _ONLY_REVISION:
            return revision
        if data[1] == Lan.BAD_PASSWORDS:
            return self._bad_passwords(context)
        return revision + transport.lan(data[1], self._facts(), data[2])

    @staticmethod
    async def _bad_passwords(context: Context) -> bytes:
        """The lockout of accounts, which is that of all doors."""
        answer = await context.ask(AccountService.GetAccountPolicy, GetAccountPolicyRequest())
        policy = answer.policy or AccountPolicy()
        failures, window = policy.lockout_failures, policy.lockout_window_seconds
        return bytes((app.REVISION,)) + transport.bad_passwords(failures, window, policy.lockout_seconds)

    async def _set_lan(self, context: Context, data: bytes) -> bytes:
        check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL)
        parameter, value = data[1], data[2:]
        if parameter == Lan.SET_IN_PROGRESS:
            return b""
        before = transport.lan(parameter, self._facts())  # 80h for one that is not offered
        if value == before:
            return b""
        if parameter in _READ_ONLY:
            raise Completion(app.READ_ONLY)
        interface = self._ground.facts.interface()
        change = self._change(parameter, value, interface)
        if change is None:
            raise Completion(app.READ_ONLY)
        changed, field = change
        changed.name = interface.name
        request = UpdateNetworkInterfaceRequest(network_interface=changed, update_mask=FieldMask(paths=[field]))
        try:
            answer = (await context.ask(NetworkService.UpdateNetworkInterface, request)).network_interface
        except Refused as error:  # this board does not own its network
            raise Completion(app.READ_ONLY, error.message) from error
        if answer is not None:
            self._ground.facts.interfaces.put(answer.name, answer)  # it is read back before the stream tells
        return b""

    @staticmethod
    def _change(parameter: int, value: bytes, known: NetworkInterface) -> Change | None:
        """The change that a parameter asks for, and its field; None for one that cannot be changed."""
        ipv4 = known.ipv4 or Ipv4()
        match parameter:
            case Lan.ADDRESS_SOURCE:
                return _source(value, ipv4)
            case Lan.ADDRESS | Lan.MASK | Lan.GATEWAY if not ipv4.dhcp:  # else DHCP says (Spec table 23-4)
                return _static(parameter, value, ipv4)
            case Lan.MAC if len(value) == 6:
                return NetworkInterface(mac_address=value.hex(":")), "mac_address"
            case Lan.VLAN_ID if len(value) == 2:
                return _vlan(int.from_bytes(value, "little"), known.vlan or Vlan())
        return None

    async def _statistics(self, context: Context, data: bytes) -> bytes:
        """What the interface has carried; of UDP and RMCP nothing is counted apart. It cannot be cleared."""
        check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL)
        if data[1] & _CLEAR:
            raise Completion(Code.INVALID_FIELD)
        request = GetNetworkInterfaceRequest(name=self._ground.facts.interface().name)
        found = (await context.ask(NetworkService.GetNetworkInterface, request)).network_interface
        counts = found.statistics if found is not None and found.statistics is not None else InterfaceStatistics()
        rmcp = self._ground.sessions.traffic()
        return transport.statistics(
            (counts.received_packets, counts.received_errors, 0, 0, counts.sent_packets, rmcp, rmcp, 0, 0)
        )

    # --- SOL ------------------------------------------------------------------------------------------------------

    async def _get_sol(self, context: Context, data: bytes) -> bytes:
        check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL)
        revision = bytes((app.REVISION,))
        if data[0] & _ONLY_REVISION:
            return revision
        return revision + await self._sol(context, _sol_parameter(data[1]))

    async def _sol(self, context: Context, parameter: Sol) -> bytes:
        if parameter in (Sol.BIT_RATE, Sol.VOLATILE_BIT_RATE):
            return bytes((await self._bit_rate(context),))
        known = self._ground.settings.sol
        steps = round(known.accumulate_seconds / transport.ACCUMULATE_STEP_SECONDS)
        values = {
            Sol.SET_IN_PROGRESS: b"\x00",
            Sol.ENABLE: bytes((known.enabled,)),
            Sol.AUTHENTICATION: transport.sol_authentication(
                known.level, encryption=known.force_encryption, authentication=known.force_authentication
            ),
            Sol.ACCUMULATE: bytes((min(255, max(1, steps)), known.threshold)),
            Sol.RETRY: bytes((known.retries, min(255, round(known.retry_seconds / transport.RETRY_STEP_SECONDS)))),
            Sol.CHANNEL: bytes((LAN_CHANNEL,)),
            Sol.PORT: self._ground.options.port.to_bytes(2, "little"),
        }
        return values[parameter]

    @staticmethod
    async def _bit_rate(context: Context) -> int:
        try:
            console = (await context.ask(ConsoleService.GetConsole, GetConsoleRequest(name=context.host))).console
        except (NotFound, Refused):
            return transport.AS_IT_IS
        settings = console.settings if console is not None else None
        return transport.BIT_RATES.get(settings.baud_rate if settings is not None else 0, transport.AS_IT_IS)

    async def _set_sol(self, context: Context, data: bytes) -> bytes:
        check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL)
        parameter, value = _sol_parameter(data[1]), data[2:]
        if len(value) != transport.SOL_LENGTHS[parameter]:
            raise Completion(Code.LENGTH_INVALID)
        if parameter in (Sol.BIT_RATE, Sol.VOLATILE_BIT_RATE):
            await self._set_bit_rate(context, value[0] & 0x0F)
        elif parameter in (Sol.CHANNEL, Sol.PORT):
            raise Completion(app.READ_ONLY)
        elif parameter is not Sol.SET_IN_PROGRESS:
            await self._change_sol(context, parameter, value)
        return b""

    async def _change_sol(self, context: Context, parameter: Sol, value: bytes) -> None:
        settings = self._ground.settings
        if _new_sol(settings.sol, parameter, value) == settings.sol:
            return
        async with changing(context, _SET_SOL, Privilege.CONFIGURE_MANAGER, self._ground.options.controller):
            await settings.set_sol(_new_sol(settings.sol, parameter, value))

    async def _set_bit_rate(self, context: Context, code: int) -> None:
        if code == await self._bit_rate(context):
            return
        rate = {known: rate for rate, known in transport.BIT_RATES.items()}.get(code)
        if rate is None:
            raise Completion(Code.INVALID_FIELD)
        console = Console(name=context.host, settings=ConsoleSettings(baud_rate=rate))
        mask = FieldMask(paths=["settings.baud_rate"])
        try:
            await context.ask(ConsoleService.UpdateConsole, UpdateConsoleRequest(console=console, update_mask=mask))
        except UbmcError as error:
            if error.name in ("invalid", "refused", "not_found"):  # a virtual line has no rate
                raise Completion(app.READ_ONLY, error.message) from error
            raise


def _how(origin: AddressOrigin) -> int:
    """Where a dynamic address comes from; one for the link only makes itself up as those of routers do."""
    return transport.DHCPV6 if origin is AddressOrigin.DHCP else transport.SLAAC


def _static(parameter: int, value: bytes, ipv4: Ipv4) -> Change:
    """Address, mask or gateway, with what the others are now."""
    if parameter == Lan.GATEWAY:
        gateway = transport.address_of(value) if any(value) else ""
        return NetworkInterface(ipv4=Ipv4(static_gateway=gateway)), "ipv4.static_gateway"
    now = ipv4.addresses[0] if ipv4.addresses else InterfaceAddress(prefix_length=_DEFAULT_PREFIX)
    if parameter == Lan.ADDRESS:
        address = InterfaceAddress(address=transport.address_of(value), prefix_length=now.prefix_length)
    else:
        address = InterfaceAddress(address=now.address, prefix_length=transport.prefix_of(value))
    return NetworkInterface(ipv4=Ipv4(static_addresses=[address])), "ipv4.static_addresses"


def _source(value: bytes, ipv4: Ipv4) -> Change:
    """Static or DHCP; a static address that nobody has set yet is the one there is."""
    if value not in (bytes((transport.STATIC,)), bytes((transport.DHCP,))):
        raise Completion(Code.INVALID_FIELD)
    if value[0] == transport.DHCP:
        return NetworkInterface(ipv4=Ipv4(dhcp=True)), "ipv4.dhcp"
    if ipv4.static_addresses:
        return NetworkInterface(ipv4=Ipv4(dhcp=False)), "ipv4.dhcp"
    kept = [InterfaceAddress(address=each.address, prefix_length=each.prefix_length) for each in ipv4.addresses[:1]]
    return NetworkInterface(ipv4=Ipv4(dhcp=False, static_addresses=kept, static_gateway=ipv4.gateway)), "ipv4"


def _vlan(value: int, known: Vlan) -> Change:
    enabled, number = bool(value & 0x8000), value & 0x0FFF
    vlan = Vlan(enabled=enabled, id=number or known.id, priority=known.priority)
    return NetworkInterface(vlan=vlan), "vlan"


def _sol_parameter(number: int) -> Sol:
    try:
        return Sol(number)
    except ValueError as error:
        raise Completion(app.PARAMETER_NOT_SUPPORTED) from error


def _new_sol(known: SolSettings, parameter: Sol, value: bytes) -> SolSettings:
    match parameter:
        case Sol.ENABLE:
            return dataclasses.replace(known, enabled=bool(value[0] & 0x01))
        case Sol.AUTHENTICATION:
            level, encryption, authentication = transport.new_sol_authentication(value)
            return dataclasses.replace(
                known, level=level, force_encryption=encryption, force_authentication=authentication
            )
        case Sol.ACCUMULATE:
            if not value[0] or not value[1]:
                raise Completion(Code.INVALID_FIELD)
            return dataclasses.replace(
                known, accumulate_seconds=value[0] * transport.ACCUMULATE_STEP_SECONDS, threshold=value[1]
            )
    return dataclasses.replace(known, retries=value[0] & 0x07, retry_seconds=value[1] * transport.RETRY_STEP_SECONDS)
