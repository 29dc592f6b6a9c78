"""`ubmc asset`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from protobuf.wkt import FieldMask

from ubmc.cli.resource import Resource, add_watch, list_all
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import PipeClosed, note, printable
from ubmc.cli.text import columns
from ubmc.kit.errors import Exhausted, Unavailable
from ubmc.v1alpha1.inventory_pb import (
    Asset,
    AssetKind,
    Fru,
    GetAssetRequest,
    ReadFruRequest,
    UpdateAssetRequest,
    WriteFruRequest,
)
from ubmc.v1alpha1.inventory_rpc import InventoryService

_COLUMNS = columns(
    "name", "kind", "present", "model", "serial: serial_number", "asset_tag", "location", "faults"
)  # fmt: skip
_FRU = (
    "chassis_type", "chassis_part_number", "chassis_serial_number", "chassis_custom", "board_manufacture_time",
    "board_manufacturer", "board_product", "board_serial_number", "board_part_number", "board_custom",
    "product_manufacturer", "product_name", "product_part_number", "product_version", "product_serial_number",
    "product_asset_tag", "product_custom",
)  # fmt: skip
ASSETS = Resource(
    noun="asset",
    list=InventoryService.ListAssets,
    items="assets",
    get=InventoryService.GetAsset,
    item="asset",
    columns=_COLUMNS,
    facts=columns(
        "name", "kind", "in: parent", "present", "manufacturer", "model", "part number: part_number",
        "serial: serial_number", "version", "asset_tag", "location", "known from: source", "faults", "details",
        "FRU writable: fru_writable", *(f"FRU {name.replace('_', ' ')}: fru.{name}" for name in _FRU),
    ),
)  # fmt: skip
KINDS = {kind.name.lower().replace("_", "-"): kind for kind in AssetKind if kind.value}
MOST_BYTES = 65536
_A_LINE = 16

asset = Noun("asset", help="What the machine is made of: show it, tag it, read and write FRU storage.")


@asset.command("list")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only of this kind.")
@click.option("--parent", default="", metavar="NAME", help="Only what is directly in this one: chassis.0")
@pass_settings
def list_(settings: Settings, kind: str | None, parent: str) -> None:
    """List what the machine is made of."""
    with settings.connect() as client:
        answer = list_all(client, ASSETS, kind=KINDS[kind] if kind else AssetKind.UNSPECIFIED, parent=parent)
    settings.output.list(answer, _COLUMNS, answer.assets)


@asset.command("show")
@click.argument("name")
@pass_settings
def show(settings: Settings, name: str) -> None:
    """Show one asset, with what its FRU storage says."""
    with settings.connect() as client:
        answer = client.ask(InventoryService.GetAsset, GetAssetRequest(name=name))
    found = answer.asset or Asset()
    facts = [fact for fact in ASSETS.facts if not fact.path.startswith("fru.") or _says(found.fru, fact.path)]
    settings.output.show(answer, facts, found)


def _says(stored: Fru | None, path: str) -> bool:
    """Whether a field of FRU storage has anything in it."""
    return stored is not None and bool(getattr(stored, path.removeprefix("fru.")))


add_watch(asset, ASSETS, InventoryService.WatchAssets)


@asset.command("tag")
@click.argument("name")
@click.argument("tag")
@pass_settings
def set_tag(settings: Settings, name: str, tag: str) -> None:
    """Write what its owner calls it; an empty text takes the tag away."""
    request = UpdateAssetRequest(asset=Asset(name=name, asset_tag=tag), update_mask=FieldMask(paths=["asset_tag"]))
    with settings.connect() as client:
        answer = client.ask(InventoryService.UpdateAsset, request)
    shown = answer.asset or Asset()
    tagged = f"tagged {printable(shown.asset_tag)}" if shown.asset_tag else "no tag any more"
    settings.output.say(answer, f"{printable(shown.name)}: {tagged}")


def _dump(data: bytes) -> str:
    """Bytes for people: address, hexadecimal, and what is ASCII."""
    lines = []
    for at in range(0, len(data), _A_LINE):
        part = data[at : at + _A_LINE]
        seen = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{at:04x}  {part.hex(' '):<{3 * _A_LINE}} {seen}")
    return "\n".join(lines)


@asset.command("read-fru")
@click.argument("name")
@click.argument("file", required=False, type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@pass_settings
def read_fru(settings: Settings, name: str, file: Path | None) -> None:
    """Read the FRU storage of an asset as it is: into FILE (- is stdout), or printed in hexadecimal."""
    with settings.connect() as client:
        answer = client.ask(InventoryService.ReadFru, ReadFruRequest(name=name))
    if file is None:
        settings.output.say(answer, _dump(answer.data))
    elif str(file) == "-":
        try:
            sys.stdout.buffer.write(answer.data)
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            raise PipeClosed from error
    else:
        try:
            file.write_bytes(answer.data)
        except OSError as error:
            raise Unavailable(f"{file} cannot be written: {error.strerror}") from error
        note(f"{len(answer.data)} bytes are in {printable(str(file))}")


@asset.command("write-fru")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@pass_settings
def write_fru(settings: Settings, name: str, file: Path) -> None:
    """Replace the FRU storage of an asset by FILE, which must be a whole FRU with right checksums."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise Unavailable(f"{file} cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise Exhausted(f"{file} has more than {MOST_BYTES} bytes, which no FRU storage has")
    with settings.connect() as client:
        answer = client.ask(InventoryService.WriteFru, WriteFruRequest(name=name, data=data))
    settings.output.say(answer, f"{printable((answer.asset or Asset()).name)}: wrote {len(data)} bytes")
