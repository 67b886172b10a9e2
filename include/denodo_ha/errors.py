"""What errors of the system and of libraries say, for people."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from denodo_ha.text import one_line


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and what it came from, outermost first, linked by Python or wrapped by a library."""
    while error is not None:
        yield error
        wrapped = next((each for each in error.args if isinstance(each, BaseException)), None)
        error = error.__cause__ or error.__context__ or wrapped


def readable(error: BaseException) -> str:
    """Say in one line, without credentials, what happened; the innermost error of the system says it best."""
    inner = [each for each in causes(error) if isinstance(each, OSError) and each.strerror]
    if inner and isinstance(inner[-1], ConnectionError) and inner[-1].errno:
        return os.strerror(inner[-1].errno)
    return redacted(one_line((inner[-1].strerror if inner else str(error)) or type(error).__name__))


def tls_next_step(said: str) -> str:
    """Tell what a person can do about a failed TLS handshake, by what OpenSSL says of it."""
    if "expired" in said or "not yet valid" in said:
        return "Renew the web tool's certificate, or correct the clock of this machine"
    if "mismatch" in said or "doesn't match" in said:
        return "Put a name that the certificate is for into the connection as host"
    return (
        "Check schema and port of the connection; for a private certificate authority set verify in its extra to the "
        "path of the CA certificate"
    )


def redacted(text: str) -> str:
    """Leave out what stands before an @, as user and password do in an address."""
    return re.sub(r"[^\s@]+@", "…@", text)
