"""How the web UI is built: once for each state of its sources, and all of it goes into the wheel."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import webui

BUILT = ("index.html", "manifest.json", "licences.json", "_app/version.json", "_app/immutable/nodes/1.abc.js.br")


def test_it_is_built_anew_only_when_a_source_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, made, out = tmp_path / "app.html", tmp_path / "made", tmp_path / "out"
    commands: list[str] = []

    def vite(*command: str, **_env: str) -> None:
        commands.append(command[-1])
        made.mkdir()
        (made / "index.html").write_text(source.read_text())

    changes = {"ROOT": tmp_path, "WEBUI": tmp_path, "OUT": out, "MADE": made, "run": vite, "prepare": lambda: None}
    for name, value in changes.items():
        monkeypatch.setattr(webui, name, value)
    monkeypatch.setattr(webui, "sources", lambda: iter([source]))
    source.write_text("one")
    for _ in range(2):
        webui.build()
        assert commands == ["build"]
    source.write_text("two")
    webui.build()
    assert commands == ["build", "build"]
    assert (out / "index.html").read_text() == "two"


def test_the_wheel_carries_all_that_is_built(tmp_path: Path) -> None:
    for name in BUILT:
        path = tmp_path / "webui" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    project = tomllib.loads((webui.ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["ubmc"]
    carried = {path for pattern in patterns for path in tmp_path.glob(pattern)}
    assert {tmp_path / "webui" / name for name in BUILT} <= carried
    assert webui.OUT == webui.ROOT / "src" / "ubmc" / "webui"
