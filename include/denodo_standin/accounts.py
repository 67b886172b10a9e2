"""Who may log in to a server, and what the roles allow."""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass

ADMINISTRATOR = "scheduler_admin"


@dataclass(frozen=True)
class Account:
    """:param local: the one account that the server knows by itself; all others are Virtual DataPort's [D]"""

    login: str
    password: str
    roles: tuple[str, ...] = ()
    local: bool = False

    @property
    def is_administrator(self) -> bool:
        return ADMINISTRATOR in self.roles

    def __repr__(self) -> str:
        return f"Account({self.login!r})"


def accounts(login: str, password: str) -> tuple[Account, ...]:
    """The local account, and two of Virtual DataPort: ``operator`` is an administrator, ``viewer`` may only look.

    The password of the latter two is their login.
    """
    return (
        Account(login, password, (ADMINISTRATOR,), local=True),
        Account("operator", "operator", (ADMINISTRATOR,)),
        Account("viewer", "viewer", ("scheduler_viewer",)),
    )


def log_in(known: tuple[Account, ...], authorization: str, *, vdp_up: bool) -> Account | None:
    """The account of an ``Authorization`` header of HTTP Basic; without VDP only the local one can log in [D]."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        login, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    for account in known:
        if account.login == login and secrets.compare_digest(account.password.encode(), password.encode()):
            return account if account.local or vdp_up else None
    return None
