"""The documents are true: links lead somewhere, commands, paths, bodies, names and configuration exist.

Board files stand in blocks marked `toml board`, owner's files in `toml owner`; other TOML blocks are parts of files.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from tests.harness.pages import (
    CODE,
    INDEX,
    PAGES,
    ROOT,
    Curl,
    anchors,
    blocks,
    codes,
    commands,
    curls,
    links,
    named,
    prose,
    simple_commands,
    text,
)

from ubmc.boards.check import check
from ubmc.boards.load import parse
from ubmc.boards.owner import OwnerSpec
from ubmc.boards.shape import keys
from ubmc.boards.spec import BoardSpec
from ubmc.cli import main as cli
from ubmc.kit.schema import Schema, load
from ubmc.kit.subjects import kind_of
from ubmc.protocols.redfish.tree import TREE
from ubmc.protocols.rest.decode import decode
from ubmc.protocols.rest.router import Match, Router
from ubmc.services.eventlog.record import EVENTS_LOST
from ubmc.services.websrv.app import METRICS, PUBLIC_PATHS
from ubmc.services.websrv.validation import validate

GENERATED = ROOT / "docs" / "api-reference.md"
REST_PATH = re.compile(r"(?:(?P<verb>GET|POST|PUT|PATCH|DELETE) )?(?P<path>/api/v1alpha1/[^\s`\"'?]+)")
RPC = re.compile(r"\b(?P<service>[A-Z]\w*Service)\.(?P<method>[A-Z]\w+)\b")
CONNECT_PATH = re.compile(r"/ubmc\.v1alpha1\.(?P<service>[A-Z][a-z]\w*)/(?P<method>\w+)")
MESSAGE_ID = re.compile(r"^[A-Z][A-Za-z]+\.[A-Z][A-Za-z]+$")
SOURCE = re.compile(r"^(?:src|schema|tests|targets|docs|tools|bench|\.github)/[\w./-]*\w/?$")
METRIC = re.compile(r"^ubmc_[a-z_]+$")
# Written so that it does not find itself.
OPEN_ITEM = re.compile("|".join(rf"\b{one}{other}\b" for one, other in (("TO", "DO"), ("FIX", "ME"), ("TB", "D"))))
# What is true only for a while: a document says what is, the roadmap what will be.
TEMPORAL = re.compile(
    r"\b(?:currently|nowadays|recently|at the moment|coming soon|in the near future)\b", re.IGNORECASE
)
API = "/api/v1alpha1"
REDFISH = re.compile("/redfish/")


@cache
def schema() -> Schema:
    return load()


@cache
def router() -> Router:
    return Router(schema())


every_page = pytest.mark.parametrize("page", PAGES, ids=named)


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for written, file, anchor in links(page):
        missing_anchor = anchor and file.suffix == ".md" and file.is_file() and anchor not in anchors(file)
        if not file.exists() or missing_anchor:
            wrong.append(written)
    assert wrong == []


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [INDEX]
    while waiting:
        page = waiting.pop()
        if page not in seen and page.is_file():
            seen.add(page)
            waiting += [file for _, file, _ in links(page) if file.suffix == ".md"]
    wanted = {page for page in PAGES if not page.is_relative_to(ROOT / "targets")}
    assert sorted(named(page) for page in wanted - seen) == []


@every_page
def test_nothing_is_left_open_and_nothing_ages(page: Path) -> None:
    assert OPEN_ITEM.findall(text(page)) == []
    assert page == GENERATED or TEMPORAL.findall(prose(page)) == []


# --- commands --------------------------------------------------------------------------------------------------------


def calls_of(page: Path) -> Iterator[tuple[list[str], bool]]:
    """Every call of the program in a page: its arguments, and whether it may be just the beginning of one."""
    for line in commands(page):
        for words in simple_commands(line):
            if words and Path(words[0]).name == "ubmc":
                yield words[1:], False
    for code in codes(page):
        if code.startswith(("ubmc ", ".venv/bin/ubmc ")) and "..." not in code:
            yield shlex.split(code)[1:], True


def resolve(arguments: list[str], *, beginning: bool) -> None:
    """Parse a call as the program would, without doing it."""
    command: click.Command = root()
    context = None
    name: str | None = "ubmc"
    while True:
        if isinstance(command, click.Group):
            if beginning and not arguments:
                return
            context = click.Context(command, info_name=name, parent=context)
            _, rest, _ = command.make_parser(context).parse_args(list(arguments))
            if not rest:
                assert {"--version", "--help"} & set(arguments), "the command is incomplete"
                return
            name, found, arguments = command.resolve_command(context, rest)
            assert found is not None
            command = found
        elif beginning and not arguments:
            return
        else:
            command.make_context(name or "", list(arguments), parent=context)
            return


def root() -> click.Group:
    """The root of the program, whatever it is called."""
    return next(value for value in vars(cli).values() if isinstance(value, cli.Program))


@every_page
def test_commands_of_the_program_exist(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Path, "convert", lambda _self, value, _param, _ctx: Path(str(value)))
    wrong = []
    for arguments, beginning in calls_of(page):
        try:
            resolve(arguments, beginning=beginning)
        except (click.ClickException, ImportError, AssertionError, AttributeError) as error:
            wrong.append(f"ubmc {shlex.join(arguments)}: {error}")
    assert wrong == []


def test_a_wrong_command_would_be_found() -> None:
    for line in ("host list --nonsense", "host nonsense", "host policy nonsense", "nonsense", "host show a b"):
        with pytest.raises(click.ClickException):
            resolve(line.split(), beginning=False)
    with pytest.raises(AssertionError):
        resolve(["host"], beginning=False)


def test_targets_of_make_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = re.findall(r"^([a-z][\w -]*):", makefile, re.MULTILINE)
    there = {target for rule in rules for target in rule.split()}
    wanted = {code for page in PAGES for code in codes(page)} | {line for page in PAGES for line in commands(page)}
    named_in_docs = {line.split()[1] for line in wanted if re.match(r"make [a-z]", line)}
    assert named_in_docs
    assert named_in_docs - there == set()


# --- the API ---------------------------------------------------------------------------------------------------------


def route(verb: str, path: str) -> Match:
    found = router().find(verb, path.encode())
    assert isinstance(found, Match), f"{verb} {path}: {found}"
    return found


@every_page
def test_rest_paths_exist(page: Path) -> None:
    wrong = []
    for found in REST_PATH.finditer(CODE.sub(lambda code: f" {code['code']} ", prose(page))):
        path = found["path"].rstrip(".,;:)|")
        if path in PUBLIC_PATHS or path.endswith(("/...", "/")) or "..." in path:
            continue
        # braces cannot stand in a path; a name can
        answer = router().find(found["verb"] or "GET", re.sub(r"\{[^}]*\}", "name", path).encode())
        if not isinstance(answer, Match) and (found["verb"] or not answer.allow):
            wrong.append(found[0])
    assert wrong == []


def check_curl(call: Curl) -> None:
    """Decode and validate the request as the door would."""
    path, _, query = re.sub(r"^(?:\$\w+|https://[^/]+)", "", call.url).partition("?")
    if path != METRICS and not path.startswith((API, "/ubmc.", "/redfish/")):
        path = API + path  # examples with a shorter prefix
    body = (call.body or "").encode()
    if REDFISH.match(path):
        there = TREE.find(path)
        assert there is not None, path
        assert there.action is not None or call.verb in there.resource.methods, f"{call.verb} {path}"
        return
    if found := CONNECT_PATH.fullmatch(path):
        method = schema().at(path)
        assert method is not None, path
        assert not method.internal, path
        validate(method.token.request.from_json(body.decode()))
        assert found["method"] == method.token.method
    elif path not in PUBLIC_PATHS | {METRICS}:
        validate(decode(route(call.verb, path), query.encode(), body))


@every_page
def test_curl_examples_are_good_requests(page: Path) -> None:
    wrong = []
    for call in curls(page):
        try:
            check_curl(call)
        except Exception as error:
            wrong.append(f"{call}: {error}")
    assert wrong == []


def test_a_wrong_curl_example_would_be_found() -> None:
    good = Curl.parse(shlex.split("""curl $BMC/api/v1alpha1/hosts/host.0:changePower --json '{"action":1}'"""))
    check_curl(good)
    for body in ('{"action":"NONSENSE"}', '{"nonsense":1}', "{}"):
        with pytest.raises(Exception):  # noqa: B017  each is refused in its own way
            check_curl(Curl(good.url, "POST", body))
    with pytest.raises(AssertionError):
        check_curl(Curl("$BMC/api/v1alpha1/nonsense", "GET"))


@every_page
def test_calls_of_the_schema_exist(page: Path) -> None:
    found = [*RPC.finditer(text(page)), *CONNECT_PATH.finditer(text(page))]
    called = [(each["service"], each["method"]) for each in found if each["service"] != "SERVICE"]
    assert [call for call in called if schema().find(*call) is None] == []


@cache
def metric_names() -> frozenset[str]:
    """Every metric that the program names."""
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    return frozenset(name for source in sources for name in re.findall(r'"(ubmc_[a-z_]+)"', source))


@every_page
def test_events_metrics_and_files_exist(page: Path) -> None:
    ids = {kind_of(kind).message_id for kind in schema().events.values()} | {EVENTS_LOST}
    written = codes(page)
    events = {code for code in written if MESSAGE_ID.fullmatch(code) and not RPC.fullmatch(code)}
    assert events - ids == set()
    metrics = {re.sub(r"_(?:total|count|sum|bucket)$", "", code) for code in written if METRIC.fullmatch(code)}
    assert metrics - metric_names() == set()
    files = {code for code in written if SOURCE.fullmatch(code)}
    assert {file for file in files - EXAMPLES if not (ROOT / file).exists()} == set()


EXAMPLES = frozenset(
    {"targets/VENDOR/BOARD/board.toml", "src/ubmc/hw/KIND/", "src/ubmc/hw/KIND/port.py", "docs/NAME.md"}
    | {"src/ubmc/services/NAME/service.py"}
)


# --- configuration and code ------------------------------------------------------------------------------------------


@every_page
def test_blocks_can_be_read(page: Path) -> None:
    known = {"", "console", "json", "mermaid", "proto", "python", "sh", "text", "toml", "toml board", "toml owner"}
    for block in blocks(page):
        assert block.info in known, f"{named(page)}: a block of the kind {block.info}"
        if block.info == "python":
            # A part of a class or function is code too.
            compile(f"async def part():\n{_indented(block.body)}", named(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        elif block.info == "json":
            json.loads(block.body)
        elif block.info.startswith("toml"):
            data = tomllib.loads(block.body)
            if block.info == "toml board":
                assert check(data) == []
                parse(BoardSpec, data, folder=ROOT)
            elif block.info == "toml owner":
                parse(OwnerSpec, data, folder=ROOT)


def _indented(body: str) -> str:
    return "".join(f"    {line}" for line in body.splitlines(keepends=True)) + "    return\n"


def config_keys(model: Any) -> set[str]:
    """All keys of a file, as written in documents: without the kind in which they are, and without indices."""
    found = set()
    for parent, inner in keys(model).items():
        whole = [part for part in parent if not part.startswith("kind=")]
        for key in inner:
            found.add(".".join([*whole, key]))
            found.add(key)
    return found


@pytest.mark.parametrize(
    ("page", "model", "section"),
    [
        ("docs/operator.md", OwnerSpec, "## Configure it"),
        ("docs/porting.md", BoardSpec, "## Reference"),
        ("docs/gpio.md", BoardSpec, "## Reference"),
        ("docs/qemu.md", BoardSpec, "## Reference"),
    ],
)
def test_keys_in_tables_exist(page: str, model: Any, section: str) -> None:
    content = (ROOT / page).read_text(encoding="utf-8").split(section, 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in content.splitlines() if line.startswith("| `")]
    written = {code["code"] for row in rows for code in CODE.finditer(row)}
    assert written
    assert written - config_keys(model) == set()
