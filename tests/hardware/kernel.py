"""A stock Debian kernel with the modules that the lane needs, and gpio-sim, which Debian does not build.

Everything comes from Debian's packages by `apt-get download` and is unpacked, never installed. The source of gpio-sim
is taken out of Debian's kernel source when it is built; it is no part of this repository. What is kept afterwards, in
`DIR/VERSION+MODULES/`, is the kernel and its modules (about 10 MB).
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "linux-image-amd64"
# What the guest loads; what these need themselves is found in them. virtio_pci has the 9p disk, softdog is a watchdog,
# i2c-stub a bus with devices that are only registers.
WANTED = (
    *("virtio_pci", "9pnet_virtio", "9p", "overlay", "configfs"),
    *("softdog", "gpio-sim", "i2c-stub", "i2c-dev", "lm75"),
)
SOURCES = ("drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "kernel/irq/irq_sim.c")
KBUILD = "obj-m += gpio-sim.o\ngpio-sim-y := gpio-sim-main.o irq_sim.o\n"


class NotReady(Exception):
    """The kernel cannot be had here; says what a person can do."""


@dataclass(frozen=True)
class Kernel:
    """What the guest boots: the image, and modules in the order of loading."""

    image: Path
    modules: tuple[Path, ...]


def prepare(cache: Path) -> Kernel:
    """The kernel from the cache; the first time fetched (225 MB) and built, which takes half a minute.

    Raises:
        NotReady: a tool or a package is missing.
    """
    cache.mkdir(parents=True, exist_ok=True)
    kept = sorted(path.parent for path in cache.glob(f"*+{_wanted()}/vmlinuz"))
    return _kernel(kept[-1] if kept else _make(cache))


def _wanted() -> str:
    """Tells what was kept for these modules from what was kept for others."""
    return f"{zlib.crc32(' '.join(WANTED).encode()):08x}"


def _kernel(kept: Path) -> Kernel:
    return Kernel(kept / "vmlinuz", tuple(sorted(kept.glob("modules/*.ko"))))


def _make(cache: Path) -> Path:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise NotReady(f"there is no {tool} here, and the kernel is one of Debian's packages")
    for tool in ("make", "gcc"):
        if shutil.which(tool) is None:
            raise NotReady(f"{tool} is not installed (apt install {tool})")
    with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as name:
        work = Path(name)
        image = _depends(PACKAGE, r"linux-image-\S+")
        headers = image.replace("image", "headers", 1)
        version = image.removeprefix("linux-image-")
        common = _depends(headers, r"linux-headers-\S+-common\S*")
        _unpack(work, image, headers, common, _depends(headers, r"linux-kbuild-\S+"))
        drivers = {path.name.split(".")[0].replace("-", "_"): path for path in (work / "lib").rglob("*.ko*")}
        drivers["gpio_sim"] = _build_gpio_sim(work, work / "usr/src" / headers, work / "usr/src" / common)
        made = work / "made"
        (made / "modules").mkdir(parents=True)
        shutil.copy(work / f"boot/vmlinuz-{version}", made / "vmlinuz")
        for number, (module, content) in enumerate(_in_order(drivers).items()):
            (made / f"modules/{number:02}-{module}.ko").write_bytes(content)
        return made.rename(cache / f"{version}+{_wanted()}")


def _run(*command: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotReady(str(error)) from error
    if done.returncode != 0:
        raise NotReady(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-1000:]}")
    return done.stdout


def _depends(package: str, pattern: str) -> str:
    found = re.search(rf"Depends: ({pattern})$", _run("apt-cache", "depends", package), re.MULTILINE)
    if found is None:
        raise NotReady(f"apt does not know {package} for this; Debian's package lists are needed (apt-get update)")
    return found[1]


def _unpack(work: Path, *packages: str) -> None:
    _run("apt-get", "-q", "download", *packages, cwd=work)
    for package in packages:
        archive = next(work.glob(f"{package}_*.deb"))
        _run("dpkg-deb", "-x", str(archive), str(work))
        archive.unlink()


def _build_gpio_sim(work: Path, headers: Path, common: Path) -> Path:
    """Build gpio-sim out of tree; interrupt simulation is built in because Debian's kernel has none."""
    _unpack(work, _depends("linux-source", r"linux-source-\S+"))
    build = work / "gpio-sim"
    build.mkdir()
    with tarfile.open(next((work / "usr/src").glob("linux-source-*.tar.*")), "r|*") as archive:
        left = set(SOURCES)
        for member in archive:
            path = member.name.partition("/")[2]
            if path in left and (source := archive.extractfile(member)) is not None:
                (build / Path(path).name).write_bytes(source.read())
                left.discard(path)
            if not left:
                break
    (build / "gpio-sim.c").rename(build / "gpio-sim-main.c")
    irq_sim = build / "irq_sim.c"
    # The kernel does not export irq_to_desc to modules; this function does the same with what is exported.
    irq_sim.write_text(
        re.sub(r"handle_simple_irq\(irq_to_desc\((.*)\)\);", r"generic_handle_irq(\1);", irq_sim.read_text())
    )
    (build / "Kbuild").write_text(KBUILD)
    # The package names its other half by the path at which it would be installed.
    makefile = headers / "Makefile"
    makefile.write_text(makefile.read_text().replace(f"/usr/src/{common.name}", str(common)))
    _run("make", "-C", str(headers), f"M={build}", f"CC={os.environ.get('CC', 'gcc')}", "modules")
    return build / "gpio-sim.ko"


def _in_order(drivers: dict[str, Path]) -> dict[str, bytes]:
    """The wanted modules and their contents, each after those that it depends on."""
    ordered: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in ordered:
            return
        if name not in drivers:
            raise NotReady(f"the kernel has no module {name}")
        content = drivers[name].read_bytes()
        if drivers[name].suffix == ".xz":
            content = lzma.decompress(content)
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for needed in depends[1].decode().split(",") if depends is not None and depends[1] else ():
            add(needed.replace("-", "_"))
        ordered[name] = content

    for name in WANTED:
        add(name.replace("-", "_"))
    return ordered
