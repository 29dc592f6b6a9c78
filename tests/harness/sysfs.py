"""A sysfs tree in a folder, made as the kernel makes its own: devices, and class folders that are links to them."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path


class FakeSysfs:
    """What stands under `/sys`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def hwmon(self, number: int, name: str, device: str, files: Mapping[str, object]) -> Path:
        """A chip; `device` is the path of its device under `/sys/devices`."""
        return self._class("class/hwmon", "hwmon", number, device, {"name": name, **files})

    def iio(self, number: int, name: str, device: str, files: Mapping[str, object]) -> Path:
        """An IIO device."""
        return self._class("bus/iio/devices", "", number, device, {"name": name, **files}, prefix="iio:device")

    def _class(
        self, where: str, group: str, number: int, device: str, files: Mapping[str, object], *, prefix: str = "hwmon"
    ) -> Path:
        behind = self.root / "devices" / device
        folder = behind / group / f"{prefix}{number}"
        folder.mkdir(parents=True)
        self.link(folder / "device", behind)
        for file, content in files.items():
            (folder / file).write_text(f"{content}\n")
        return self.link(self.root / where / folder.name, folder)

    def gone(self, link: Path) -> None:
        """The driver was unbound: the class folder and what it led to are gone."""
        folder = link.resolve()
        link.unlink()
        shutil.rmtree(folder)

    def renumber(self, link: Path, name: str) -> Path:
        """The class folder has another number from now on."""
        folder = link.resolve()
        link.unlink()
        return self.link(link.parent / name, folder.rename(folder.with_name(name)))

    def link(self, link: Path, target: Path) -> Path:
        """A relative link, as the kernel makes them."""
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent))
        return link

    def write(self, path: str, content: str) -> Path:
        """A file of its own."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def adapter(self, number: int, name: str, *, device: str = "soc/i2c") -> Path:
        """An I2C adapter."""
        folder = self.root / "devices" / device / f"i2c-{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        self.link(self.root / "bus/i2c/devices" / folder.name, folder)
        return folder

    def i2c_device(self, adapter: Path, address: int, name: str, *, driver: str = "") -> Path:
        """A device on an adapter."""
        folder = adapter / f"{adapter.name.removeprefix('i2c-')}-{address:04x}"
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        if driver:
            bound = self.root / "bus/i2c/drivers" / driver
            bound.mkdir(parents=True, exist_ok=True)
            self.link(folder / "driver", bound)
        self.link(self.root / "bus/i2c/devices" / folder.name, folder)
        return folder

    def mux_channel(self, mux: Path, channel: int, number: int, *, links: bool = True) -> Path:
        """A channel of a mux, which is an adapter of its own."""
        parent = mux.name.partition("-")[0]
        device = str(mux.relative_to(self.root / "devices"))
        adapter = self.adapter(number, f"i2c-{parent}-mux (chan_id {channel})", device=device)
        self.link(adapter / "mux_device", mux)
        if links:
            self.link(mux / f"channel-{channel}", adapter)
        return adapter


@contextlib.contextmanager
def hanging(path: Path) -> Iterator[Callable[[], None]]:
    """While this lasts, who opens the file hangs in the kernel; gives what lets those go that hang, with a number."""
    kept = path.with_name(f"{path.name}.kept")
    path.rename(kept)
    os.mkfifo(path)
    hangs = True

    def release() -> None:
        nonlocal hangs
        if not hangs:
            return
        hangs = False
        fifo = path.with_name(f"{path.name}.fifo")
        path.rename(fifo)
        kept.rename(path)
        with contextlib.suppress(OSError):  # nobody hangs on it
            fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            os.write(fd, b"0\n")
            os.close(fd)
        # A writer that hangs needs a reader.
        fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        os.close(fd)
        fifo.unlink()

    try:
        yield release
    finally:
        release()


class Chip:
    """A file behind which a chip stands: it hears what is written, and says something of its own when it is read."""

    def __init__(self, path: Path, say: Callable[[bytes], bytes], script: str = "wr") -> None:
        """Take the place of a file.

        Args:
            path: the file.
            say: from what was written last, what is read.
            script: what will be done with the file, in order: `w` for a write, `r` for a read.
        """
        path.unlink()
        os.mkfifo(path)
        self.heard: list[bytes] = []
        self._path, self._say, self._script = path, say, script
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        written = b""
        for step in self._script:
            if step == "w":
                with self._path.open("rb", buffering=0) as source:
                    written = source.read()
                self.heard.append(written)
            else:
                with self._path.open("wb", buffering=0) as sink:
                    sink.write(self._say(written))

    def join(self) -> None:
        """Wait until all was done."""
        self._thread.join(10)
        assert not self._thread.is_alive()
