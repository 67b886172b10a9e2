"""What errors of the system and of libraries say, for people."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator

from denodo_ha.definitions import is_secret
from denodo_ha.text import one_line

_VALUE_OF = re.compile(
    r"""(?<![\w.-])([\w.-]{1,80})
        (\\?["']?\s*=\s*|\\?["']\s*:\s*)
        (?:\\?"[^"]*"?|\\?'[^']*'?|\{[^}]*\}?|[^\s&;,"')\]}]+)""",
    re.VERBOSE,
)
"""A name and its value; a value whose quotation mark or bracket is cut off reaches to the end."""


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


_SILENCE = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.EPIPE,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENETRESET,
}


_NO_WAY = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH}
"""What a machine says that has no IPv6, or no IPv4, about an address of the other kind."""


def _numbers(error: BaseException) -> set[int]:
    return {each.errno for each in causes(error) if isinstance(each, OSError) and each.errno}


def is_silence(error: BaseException) -> bool:
    """Whether a request that failed was sent to a server that did not answer.

    What this machine could not do, such as to resolve a name or to open one more file, says nothing about the server.
    """
    found = list(causes(error))
    if group := next((each for each in found if isinstance(each, BaseExceptionGroup)), None):
        tried = [each for each in group.exceptions if not _NO_WAY.intersection(_numbers(each))] or group.exceptions
        return all(map(is_silence, tried))  # each address of a name to which this machine has a way
    of_system = [each for each in found if isinstance(each, OSError) and not isinstance(each, ssl.SSLError)]
    if any(isinstance(each, socket.gaierror | socket.herror) for each in of_system):
        return False
    numbered = [each.errno for each in of_system if each.errno]
    if numbered:
        return numbered[-1] in _SILENCE
    return all(isinstance(each, ConnectionError | TimeoutError) for each in of_system)


def tls_next_step(said: str, *, with_tokens: bool = False) -> str:
    """Tell what a person can do about a failed TLS handshake, by what OpenSSL says of it.

    :param with_tokens: it failed with the token endpoint, and not with the web tool.
    """
    if "expired" in said or "not yet valid" in said:
        whose = "token endpoint" if with_tokens else "web tool"
        return f"Renew the {whose}'s certificate, or correct the clock of this machine"
    if "mismatch" in said or "doesn't match" in said:
        return f"Put a name that the certificate is for into the connection as {'token_url' if with_tokens else 'host'}"
    if with_tokens:
        return (
            "Check token_url of the connection, and verify in its extra: where web tool and token endpoint have "
            "different certificate authorities, it must be the path of one file with the CA certificates of both"
        )
    return (
        "Check schema and port of the connection; for a private certificate authority set verify in its extra to the "
        "path of the CA certificate"
    )


def redacted(text: str) -> str:
    """Leave out what stands before an @, as user and password do in an address, and the values of secrets."""
    return re.sub(r"[^\s@]+@", "…@", without_secrets(text))


def without_secrets(text: str) -> str:
    """Leave out the values of what is named like a secret: ``password=…`` in an address, ``"token": "…"`` in JSON."""
    return _VALUE_OF.sub(lambda found: f"{found[1]}{found[2]}…" if is_secret(found[1]) else found[0], text)
