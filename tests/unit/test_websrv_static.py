"""The files of the web UI at the door: what is listed is served, and nothing else."""

from __future__ import annotations

import gzip
import hashlib
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

import webui
from ubmc.services.websrv.static import MANIFEST, Pages, content_security_policy

PAGE = b"<!doctype html><script>start()</script><script src='/theme.js'></script>"
HTML = {"accept": "text/html,*/*;q=0.8"}
SCRIPT = "_app/immutable/a.1234.js"


def test_who_builds_for_the_first_time_is_not_told_of_changes() -> None:
    assert webui.why_built(built_before=False) == "Building the web UI for the first time ..."
    assert "changed" in webui.why_built(built_before=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    built = tmp_path / "built"
    (built / "_app" / "immutable").mkdir(parents=True)
    (built / "index.html").write_bytes(PAGE)
    (built / "index.html.gz").write_bytes(gzip.compress(PAGE))
    (built / "theme.js").write_bytes(b"theme()")
    (built / SCRIPT).write_bytes(b"export {}")
    (built / f"{SCRIPT}.gz").write_bytes(gzip.compress(b"export {}"))
    (built / f"{SCRIPT}.br").write_bytes(b"not looked into")
    (built / MANIFEST).write_text(json.dumps(webui.describe(built)))
    (tmp_path / "secret").write_text("secret")
    return built


async def ask(pages: Pages, path: str, **headers: str) -> tuple[dict[str, str], bytes] | None:
    """The headers and the body of the answer, if there is one."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    if not await pages.answer(scope, send):
        assert not sent
        return None
    start, body = sent
    assert start["status"] == 200
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    assert int(found["content-length"]) == len(body["body"])
    return found, body["body"]


async def test_a_file_is_served_with_a_tag_a_type_and_a_long_life(folder: Path) -> None:
    answer = await ask(Pages(folder), f"/{SCRIPT}")
    assert answer is not None
    headers, body = answer
    assert body == b"export {}"
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["etag"].strip('"') == hashlib.sha256(body).hexdigest()[:32]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["vary"] == "accept-encoding"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=0.000, gzip;q=0.0", ""),
        ("zstd", ""),
        ("", ""),
    ],
)
async def test_the_best_form_that_the_client_takes(folder: Path, accepted: str, encoding: str) -> None:
    answer = await ask(Pages(folder), f"/{SCRIPT}", accept_encoding=accepted)
    assert answer is not None
    assert answer[0].get("content-encoding", "") == encoding
    assert answer[0]["etag"].endswith(f'-{encoding}"') == bool(encoding)


async def test_every_path_of_the_pages_is_the_one_page_for_a_browser_and_for_nobody_else(folder: Path) -> None:
    pages = Pages(folder)
    for path in ("/", "/sensors", "/users/admin", "/index.html"):
        answer = await ask(pages, path, **HTML)
        assert answer is not None
        assert answer[1] == PAGE
        assert answer[0]["cache-control"] == "no-cache"
    assert (await ask(pages, "/")) is not None
    assert await ask(pages, "/sensors") is None
    assert await ask(pages, "/_app/immutable/gone.js", **HTML) is None


@pytest.mark.parametrize(
    "path",
    ["/../secret", "//secret", f"/{MANIFEST}", "/index.html.gz", "/.stamp", "/_app", "/_app/../../secret", "\0", ""],
)
async def test_no_path_leads_to_what_is_not_listed(folder: Path, path: str) -> None:
    assert await ask(Pages(folder), path) is None


async def test_the_policy_allows_the_one_script_in_the_page_and_nothing_else(folder: Path) -> None:
    answer = await ask(Pages(folder), "/", **HTML)
    assert answer is not None
    policy = answer[0]["content-security-policy"]
    digest = b64encode(hashlib.sha256(b"start()").digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert policy.count("sha256-") == 1
    assert "unsafe" not in policy
    assert content_security_policy([]).startswith(b"default-src 'none'; script-src 'self';")


async def test_the_page_stays_what_its_policy_says_while_it_is_changed(folder: Path) -> None:
    pages = Pages(folder)
    (folder / "index.html").write_bytes(b"<script>other()</script>")
    (folder / SCRIPT).unlink()
    answer = await ask(pages, "/", **HTML)
    assert answer is not None
    assert answer[1] == PAGE
    assert await ask(pages, f"/{SCRIPT}") is None


def rebuilt(beside: Path) -> bytes:
    """Another build, and its page."""
    page = b"<!doctype html><script>other()</script>"
    (beside / "_app" / "immutable").mkdir(parents=True)
    (beside / "index.html").write_bytes(page)
    (beside / "_app" / "immutable" / "b.5678.js").write_bytes(b"export const b = 1")
    (beside / MANIFEST).write_text(json.dumps(webui.describe(beside)))
    return page


async def test_a_new_build_is_noticed_by_the_next_page(folder: Path, tmp_path: Path) -> None:
    pages = Pages(folder)
    page = rebuilt(tmp_path / "made")
    webui.swap(tmp_path / "made", folder)
    answer = await ask(pages, "/sensors", **HTML)
    assert answer is not None
    assert answer[1] == page
    digest = b64encode(hashlib.sha256(b"other()").digest()).decode()
    assert f"'sha256-{digest}'" in answer[0]["content-security-policy"]
    assert await ask(pages, "/_app/immutable/b.5678.js") is not None
    assert await ask(pages, f"/{SCRIPT}") is None
    assert sorted(each.name for each in tmp_path.iterdir()) == ["built", "secret"]


async def test_a_ui_that_is_built_later_is_served_without_a_restart(folder: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    pages = Pages(later)
    assert await ask(pages, "/", **HTML) is None
    webui.swap(folder, later)
    assert await ask(pages, "/", **HTML) is not None
    assert pages.built


async def test_while_there_is_no_whole_build_the_page_is_the_last_one(folder: Path) -> None:
    pages = Pages(folder)
    manifest = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).unlink()
    assert await ask(pages, "/", **HTML) is not None
    (folder / MANIFEST).write_bytes(b"{")
    assert await ask(pages, "/", **HTML) is not None
    (folder / MANIFEST).write_bytes(manifest)
    assert await ask(pages, "/", **HTML) is not None


async def test_without_a_built_ui_there_is_none(tmp_path: Path) -> None:
    pages = Pages(tmp_path / "nothing")
    assert not pages.built
    assert await ask(pages, "/", **HTML) is None


@pytest.mark.parametrize("manifest", ["", "[]", '{"files": 1, "scripts": []}', '{"files": {"a": {}}, "scripts": []}'])
def test_a_damaged_list_is_no_ui_and_no_crash(tmp_path: Path, manifest: str) -> None:
    (tmp_path / MANIFEST).write_text(manifest)
    assert not Pages(tmp_path).built


def test_the_lock_file_holds_hashes_and_no_place_to_fetch_from() -> None:
    text = (webui.WEBUI / "package-lock.json").read_text("utf-8")
    assert "://" not in text
    assert webui.without_addresses(text) == text, "run: python tools/webui.py lock"
    lock = json.loads(text)
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert len(packages) > 100
    alone = {name: each for name, each in packages.items() if not each.get("inBundle")}
    assert [name for name, each in alone.items() if not each.get("integrity", "").startswith("sha512-")] == []
    wanted = json.loads((webui.WEBUI / "package.json").read_text("utf-8"))
    assert lock["packages"][""]["devDependencies"] == wanted["devDependencies"]


def test_what_a_build_is_made_of_is_all_that_is_looked_at() -> None:
    names = {path.relative_to(webui.ROOT).as_posix() for path in webui.sources()}
    assert {"webui/src/app.html", "webui/package-lock.json", "schema/ubmc/v1alpha1/host.proto"} <= names
    assert not any("node_modules" in name or "/gen/" in name for name in names)
