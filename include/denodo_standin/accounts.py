"""The accounts of a server, and what their roles allow."""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass

ADMINISTRATOR = "scheduler_admin"


@dataclass(frozen=True)
class Account:
    """An account.

    :param local: the one account of the server itself; all others are those of Virtual DataPort [D].
    """

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
    """Return the local account, and two of Virtual DataPort: ``operator``, an administrator, and ``viewer``.

    ``viewer`` may only read. The password of the latter two is their login.
    """
    return (
        Account(login, password, (ADMINISTRATOR,), local=True),
        Account("operator", "operator", (ADMINISTRATOR,)),
        Account("viewer", "viewer", ("scheduler_viewer",)),
    )


def log_in(known: tuple[Account, ...], authorization: str, *, vdp_up: bool) -> Account | None:
    """Find the account of an ``Authorization`` header of HTTP Basic; without VDP only the local one can log in [D]."""
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
