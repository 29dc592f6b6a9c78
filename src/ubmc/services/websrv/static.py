"""The pages of the web UI: exactly the files that its build lists, and the one page for all of its own paths.

What is served follows from a table that is read at start, and again when a page is asked for after a new build.
No path of a request ever becomes a path of a file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ubmc.services.websrv.http.asgi import Scope, Send
from ubmc.services.websrv.responses import Header, headers_of

log = logging.getLogger("ubmc.websrv.static")

FOLDER = Path(__file__).resolve().parents[2] / "webui"
"""Where `tools/webui.py` puts what it builds."""
MANIFEST = "manifest.json"
PAGE = "index.html"
_FOREVER = b"public, max-age=31536000, immutable"
_ASK_AGAIN = b"no-cache"
_ENCODINGS = ("br", "gzip")  # the better one first
_NEVER = ("q=0", "q=0.0", "q=0.00", "q=0.000")
_FEATURES = ("accelerometer", "camera", "geolocation", "gyroscope", "magnetometer", "microphone", "payment", "usb")
_SAFE: tuple[Header, ...] = (
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", ", ".join(f"{feature}=()" for feature in _FEATURES).encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


_Mark = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class File:
    """One built file, and its compressed forms."""

    path: Path
    type: bytes
    tag: str
    immutable: bool
    """Its name changes with its content."""
    encodings: Mapping[str, Path] = field(default_factory=dict)
    held: Mapping[str, bytes] = field(default_factory=dict)
    """What is small and has always the same name is kept, so that page and policy belong together: by encoding."""

    def read(self, encoding: str) -> bytes:
        """The content in an encoding that it has; empty for as it is. Raises `OSError`."""
        held = self.held.get(encoding)
        return held if held is not None else self.encodings.get(encoding, self.path).read_bytes()


@dataclass(frozen=True, slots=True)
class Build:
    """What one build has: its files by the paths of requests, and the policy that belongs to its page."""

    files: Mapping[str, File] = field(default_factory=dict)
    policy: bytes = b""


class Pages:
    """The built web UI; without one, nothing."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read what there is.

        Args:
            folder: of the built files, with their manifest. If it is not there, no page is.
        """
        self._folder = folder
        self._build = Build()
        self._seen: _Mark | None = None
        self._read()
        if self._seen is None:
            log.info("there is no web UI; `make webui` builds it")

    def _read(self) -> None:
        """Read the build, unless it is the one that was read; what was read stays while there is no whole one.

        A page is asked for each time (`no-cache`) and names files of its own build alone: an old page beside new files
        would be a blank one.
        """
        mark = _mark(self._folder / MANIFEST)
        if mark is None or mark == self._seen:
            return
        self._seen = mark
        try:
            manifest = orjson.loads((self._folder / MANIFEST).read_bytes())
            files = {f"/{name}": _file(self._folder, name, told) for name, told in manifest["files"].items()}
            self._build = Build(files, content_security_policy(manifest["scripts"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("the web UI cannot be read; `make webui` builds it anew", extra={"error": str(error)})

    @property
    def built(self) -> bool:
        """Whether there is a web UI."""
        return f"/{PAGE}" in self._build.files

    def find(self, path: str, headers: Mapping[str, str]) -> File | None:
        """What is at a path: a file, or for a browser that asks for a page, the one page there is.

        Args:
            path: of the request.
            headers: of the request.
        """
        wants_page = "text/html" in headers.get("accept", "") and not path.startswith("/_app/")
        if wants_page or path in ("/", f"/{PAGE}"):
            self._read()
            return self._build.files.get(path) or self._build.files.get(f"/{PAGE}")
        return self._build.files.get(path)

    async def answer(self, scope: Scope, send: Send) -> bool:
        """Answer a GET or HEAD, if there is something to answer with. Gives whether there was."""
        headers = headers_of(scope)
        file = self.find(scope["path"], headers)
        if file is None:
            return False
        encoding = _chosen(file, headers.get("accept-encoding", ""))
        try:
            body = await asyncio.to_thread(file.read, encoding) if file.immutable else file.read(encoding)
        except OSError:
            return False  # it was built anew since the page was asked for
        await send({"type": "http.response.start", "status": 200, "headers": self._headers(file, encoding, len(body))})
        await send({"type": "http.response.body", "body": body})
        return True

    def _headers(self, file: File, encoding: str, length: int) -> list[Header]:
        # each form is other bytes, and so has another strong tag (RFC 9110, 8.8.3.3)
        tag = f'"{file.tag}-{encoding}"' if encoding else f'"{file.tag}"'
        headers: list[Header] = [
            (b"content-type", file.type),
            (b"content-length", b"%d" % length),
            (b"etag", tag.encode()),
            (b"cache-control", _FOREVER if file.immutable else _ASK_AGAIN),
            (b"content-security-policy", self._build.policy),
            *_SAFE,
        ]
        if file.encodings:
            headers.append((b"vary", b"accept-encoding"))
        if encoding:
            headers.append((b"content-encoding", encoding.encode()))
        return headers


def content_security_policy(scripts: list[str]) -> bytes:
    """What the page may load: only what comes from here.

    Styles come from files too: the components set styles by the CSS object model, which the policy leaves alone.

    Args:
        scripts: the hashes of scripts that stand in the page itself, as `sha256-...`.
    """
    own = " ".join(["'self'", *(f"'{each}'" for each in scripts)])
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {own}",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    ).encode("ascii")


def _mark(path: Path) -> _Mark | None:
    """What tells one build from another; none while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _file(folder: Path, name: str, told: Mapping[str, Any]) -> File:
    path = folder / name
    encodings = {encoding: folder / squeezed for encoding, squeezed in told["encodings"].items()}
    immutable = bool(told["immutable"])
    return File(
        path=path,
        type=str(told["type"]).encode("ascii"),
        tag=str(told["tag"]),
        immutable=immutable,
        encodings=encodings,
        held={} if immutable else {each: path.read_bytes() for each, path in ({"": path} | encodings).items()},
    )


def _chosen(file: File, accepted: str) -> str:
    """The best encoding that the client takes and the file has; empty for the file as it is (RFC 9110, 12.5.3)."""
    taken = set()
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        if weight.replace(" ", "") not in _NEVER:
            taken.add(name.strip())
    return next((each for each in _ENCODINGS if each in file.encodings and each in taken), "")
