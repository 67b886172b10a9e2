"""Why the stored HA record of a pair cannot be used."""

from __future__ import annotations

from denodo_ha.reason import Explained, Reason


class RecordError(Explained, ValueError):
    """The stored record cannot be used."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(f"{what}. Next: {next_step}.")
        self.reason = Reason("record_unusable", what, next_step)


class NewerRecordError(RecordError):
    """A newer version of this project wrote the record."""


class LostVersionsError(RecordError):
    """The newest version of the record is older than one that was seen before.

    :param seen: the newest version that was seen. :param newest: the newest that is there; 0 for none.
    :param place: where the versions are kept.
    """

    def __init__(self, seen: int, newest: int, place: str) -> None:
        there = f"ends at version {newest}" if newest else "has no version"
        what = (
            f"the HA record in {place} {there}, and the pair was at version {seen} before: its versions were lost or "
            "restored from a backup, or 'snapshots' of the pair leads elsewhere, such as to a folder of its own on "
            "each worker; nothing was changed"
        )
        how = (
            "correct 'snapshots', or bring the versions back; if they are lost, look which server has enabled jobs, "
            "then initialise the pair with its operations DAG"
        )
        super().__init__(what, how)
        self.reason = Reason("record_lost", what, how)
