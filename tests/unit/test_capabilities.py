"""What is learned of a target server, and when it is forgotten."""

from __future__ import annotations

from denodo_ha.delivery.capabilities import Capabilities


def test_nothing_is_assumed() -> None:
    nothing = Capabilities()
    assert (nothing.import_replaces, nothing.faithful, nothing.unfaithful, nothing.longest_import) == (
        None,
        (),
        (),
        None,
    )
    assert nothing.lines() == [
        "Nothing was learned of this server yet.",
        "Whether an import deletes the jobs that it does not hold is not known yet.",
        "Written over REST and read back equal: no type of job yet.",
        "No import was measured yet.",
    ]


def test_what_was_learned_is_said_and_survives_json() -> None:
    learned = (
        Capabilities()
        .for_version("9.1.0")
        .learned_faithful("VDP")
        .learned_faithful("VDPCache")
        .learned_unfaithful("VDPCache")
        .learned_import(replaces=False, seconds=0.42)
    )
    assert learned.lines() == [
        "Learned of version 9.1.0.",
        "An import leaves the jobs that it does not hold as they are.",
        "Written over REST and read back equal: VDP.",
        "Not written over REST, because it loses or refuses something: VDPCache.",
        "The longest import took 0.4s until all its jobs were read back disabled.",
    ]
    assert Capabilities.model_validate(learned.model_dump(mode="json")) == learned


def test_another_version_starts_from_nothing() -> None:
    learned = Capabilities(version="9.1.0").learned_faithful("VDP").learned_import(replaces=True, seconds=90)
    assert learned.for_version("9.1.0") == learned
    assert learned.for_version("9.1.1") == Capabilities(version="9.1.1")
    assert "The longest import took 1m30s" in learned.lines()[-1]


def test_what_once_went_wrong_is_not_trusted_again() -> None:
    lossy = Capabilities().learned_faithful("VDP").learned_unfaithful("VDP").learned_faithful("VDP")
    assert (lossy.faithful, lossy.unfaithful) == ((), ("VDP",))
    replaces = Capabilities().learned_import(replaces=False).learned_import(replaces=True)
    assert replaces.learned_import(replaces=False).import_replaces is True
    assert replaces.learned_import().import_replaces is True


def test_the_longest_import_stays() -> None:
    measured = Capabilities().learned_import(seconds=4.5).learned_import(seconds=1.0)
    assert (measured.longest_import, measured.import_replaces) == (4.5, None)
