"""Asks people for secrets and consent, on a terminal only; programs give secrets on stdin."""

from __future__ import annotations

import sys

import click

_LONGEST = 4096


def is_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def secret_line() -> str:
    """The next line of stdin, without its end; empty at its end."""
    return sys.stdin.readline(_LONGEST).rstrip("\r\n")


def ask_secret(text: str, *, twice: bool = False) -> str:
    """Ask without echo."""
    return str(click.prompt(text, hide_input=True, confirmation_prompt=twice, err=True))


def ask_text(text: str, default: str) -> str:
    """Ask with a default."""
    return str(click.prompt(text, default=default, err=True))


def ask_consent(text: str) -> bool:
    """Ask for yes or no; no unless told otherwise."""
    return bool(click.confirm(text, default=False, err=True))
