"""Why storage cannot be used: what the errors of its clients mean, and what a person can do."""

from __future__ import annotations

import re

from denodo_ha.errors import causes
from denodo_ha.reason import Reason

_OPTION = "'snapshots' of the pair"
_NO_BUCKET = r"NoSuchBucket|ContainerNotFound|(bucket|container) does not exist"
_MEANINGS = (
    (
        r"AirflowNotFoundException",
        "the connection does not exist, or this worker may not read it",
        f"create it, or correct the name before the @ in {_OPTION}",
    ),
    (
        r"No filesystem registered|Unsupported filesystem|ImportError|ModuleNotFoundError",
        "the provider package for this kind of storage is not installed here",
        "install it in every Airflow component, such as apache-airflow-providers-amazon[s3fs] for s3",
    ),
    (_NO_BUCKET, "the bucket does not exist", f"create it, or correct {_OPTION}"),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|NoCredentials|PartialCredentials|"
        r"AuthenticationFailed|RefreshError|DefaultCredentialsError|InvalidClientTokenId",
        "the credentials are missing or refused",
        "correct login and password of the storage's connection",
    ),
    (
        r"PermissionError|AccessDenied|Access Denied|Forbidden|AuthorizationFailure|AuthorizationPermissionMismatch",
        "access is denied",
        "check the login of its connection, and that it may list, read, write and delete there",
    ),
    (r"NotADirectoryError|FileExistsError", "a file is where a folder should be", f"correct {_OPTION}"),
    (
        r"\[Errno (27|28|122)\]|No space left|File too large|Quota ?[Ee]xceeded",
        "it is full",
        "make room, or lower snapshots.keep",
    ),
    (
        r"EndpointConnectionError|ConnectTimeout|ReadTimeout|ClientConnect|ServerDisconnected|TimeoutError|"
        r"ConnectionError|ConnectionRefused|ConnectionClosed|SlowDown|ServiceUnavailable",
        "it does not answer",
        "check the network and the endpoint of its connection; then clear the task",
    ),
)
"""What the errors of the storages' clients say by themselves or by their causes, in the order of being asked."""


def is_configuration(error: Exception) -> bool:
    """Whether trying again cannot help: the connection of the storage, or the package for it, is missing."""
    said = " ".join(f"{type(each).__name__} {each}" for each in causes(error))
    return any(re.search(pattern, said, re.IGNORECASE) for pattern, *_ in _MEANINGS[:2])


def storage_trouble(place: str, error: Exception) -> Reason | None:
    """Say why the storage of ``place`` cannot be used; None for a file that is missing in a storage that can be.

    A missing bucket is no such file: an answer that is merely empty would say that there never was a snapshot.
    """
    said = " ".join(f"{type(each).__name__} {each}" for each in causes(error))
    if isinstance(error, FileNotFoundError) and not re.search(_NO_BUCKET, said, re.IGNORECASE):
        return None
    what, next_step = next(
        (meaning for pattern, *meaning in _MEANINGS if re.search(pattern, said, re.IGNORECASE)),
        (f"it failed ({type(error).__name__})", "see the log of this task"),
    )
    return Reason("storage", f"the storage {place} cannot be used: {what}", next_step)
