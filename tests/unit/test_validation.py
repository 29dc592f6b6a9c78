"""What is wrong with a request is said in words."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from ubmc.kit.errors import Invalid
from ubmc.services.websrv.validation import FORMS, validate
from ubmc.v1alpha1.account_pb import Ldap
from ubmc.v1alpha1.network_pb import Network, UpdateNetworkRequest

SCHEMA = Path(__file__).parents[2] / "schema" / "ubmc" / "v1alpha1"
PATTERN = re.compile(r'\bpattern(?:: | = )("(?:[^"\\]|\\.)*")')


def test_every_pattern_of_the_schema_is_said_in_words() -> None:
    patterns = {orjson.loads(found) for file in SCHEMA.glob("*.proto") for found in PATTERN.findall(file.read_text())}
    assert patterns == set(FORMS)


def test_a_wrong_form_is_told_without_its_pattern() -> None:
    with pytest.raises(Invalid) as told:
        validate(UpdateNetworkRequest(network=Network(host_name="-bmc")))
    assert told.value.message.startswith("network.hostName: must be a name without a dot: letters, digits and `-`, ")
    assert [violation.rule for violation in told.value.violations] == ["string.pattern"]


def test_an_element_of_a_list_is_told_so_too() -> None:
    with pytest.raises(Invalid, match=r"servers: must be `HOST` or `HOST:PORT`"):
        validate(Ldap(servers=["ldap.example.org", "ldap://example.org"]))
