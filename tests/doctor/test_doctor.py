"""What a doctor finds out of a pair: each answer both ways, and nothing of the pair is touched."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from denodo_demo.processes import free_port
from denodo_demo.standin import PASSWORD
from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.delivery.definition import UntranslatableError, for_target
from denodo_ha.doctor.diagnosis import Answer, Diagnosis
from denodo_ha.doctor.redaction import to_attach
from denodo_ha.doctor.scratch import is_scratch
from denodo_ha.jobs import Job
from denodo_ha.record import Role
from denodo_ha.status import Level
from denodo_scheduler.steps.doctor import trial
from denodo_scheduler.steps.doctor.look import look
from denodo_scheduler.steps.doctor.probe import probe
from support.delivery import job, put
from support.sync import VERSION, Books, Sync, act, add_job, enabled, untouched

CONFIRMED, REFUTED, UNKNOWN = "confirmed", "refuted", "unknown"
ASKED = {"reason": "a test", "run_id": "a run"}


def read(pair: Sync) -> Diagnosis:
    """The first step, as the next one gets it."""
    return Diagnosis.from_json(json.loads(json.dumps(look(pair.prepared(**ASKED)).to_json())))


def tried(pair: Sync, **asked: Any) -> Diagnosis:
    """Both steps, as one run of the operations DAG does them."""
    return probe(pair.prepared(**ASKED, **asked), read(pair))


def by_code(found: Diagnosis) -> dict[str, Answer]:
    return {each.code: each for each in found.answers}


def verdicts(found: Diagnosis) -> dict[str, str]:
    return {each.code: each.verdict for each in found.answers if each.claim}


def scratch(pair: Sync) -> set[str]:
    """The scratch projects that either server has."""
    names = (each["name"] for server in pair.servers.servers for each in server.request("GET", "/projects"))
    return set(filter(is_scratch, names))


def foreign(books: Books) -> list[dict[str, Any]]:
    """What happened to jobs that are no doctor's."""
    return [each for each in books.audit if not is_scratch(each["project"])]


def learned(pair: Sync, role: Role = Role.SLAVE) -> Capabilities:
    return pair.record.capabilities[role]


def test_reading_changes_nothing_and_needs_no_record(pair: Sync) -> None:
    pair.lose_record()
    with untouched(pair.master, pair.slave):
        found = read(pair)
    assert set(verdicts(found).values()) == {CONFIRMED}
    assert {each.level for each in found.answers if not each.code.startswith("clock")} == {Level.OK}
    assert set(found.servers["slave"]["fields"]["/jobs/status"]) >= {"jobID", "jobName", "projectID", "projectName"}
    assert found.servers["master"]["options"]["export"]["places"]["drivers"] == "drivers (query)"
    assert set(found.servers["master"]["seconds"]) >= {"/me", "/jobs/status", "/v3/api-docs"}
    assert "15 confirmed" not in found.summary
    assert pair.records.load() is None


def test_all_that_is_tried_on_a_server_of_the_likely_kind(pair: Sync) -> None:
    books = Books(pair.slave)
    with untouched(pair.master):
        found = tried(pair)
    wrong = {code for code, verdict in verdicts(found).items() if verdict != CONFIRMED}
    assert wrong == {"past start, enabled", "past start, imported"}
    assert learned(pair).model_copy(update={"tried": ()}) == Capabilities(
        version=VERSION,
        import_replaces=False,
        faithful=("VDP", "VDPCache"),
        offsets=(-5 * 3600, -4 * 3600),
        past_start_fires=False,
    )
    assert {each.question for each in learned(pair).tried} == {
        code for code in verdicts(found) if not code.endswith((", master", ", slave"))
    }
    assert foreign(books) == []
    assert books.contents == books._contents()
    assert [row for row in books.journal if row["project"] == "Sales"] == []
    assert scratch(pair) == set()
    assert pair.record.scratch is None
    (event,) = pair.record.outbox
    assert (event["kind"], event["after"], event["verdicts"]["unknown"]) == ("doctor", {"scratch": 0}, 0)
    pair.synced()


@dataclass
class Other:
    """A server of another kind: what is found otherwise, and what is learned."""

    guesses: dict[str, Any]
    refuted: set[str]
    learned: dict[str, Any]
    unknown: frozenset[str] = frozenset()
    touches: bool = False


AFTER_IMPORT = frozenset({"import with replace", "import keeps ids", "import enables what it replaces"})
OTHERS = {
    "born enabled": Other(
        {"born_disabled": False},
        {"born disabled", "put", "content VDP", "content VDPCache"},
        {"faithful": (), "unfaithful": ("VDP", "VDPCache")},
    ),
    "loses a section": Other(
        {"put_loses": ["exportationSection"], "replaces": "never"},
        {"content VDP", "import with replace", "import enables what it replaces"},
        {"faithful": ("VDPCache",), "unfaithful": ("VDP",)},
    ),
    "refuses a type": Other(
        {"unwritable_types": ["VDPCache"], "keeps_disabled": True},
        {"content VDPCache", "import enables what it replaces"},
        {"faithful": ("VDP",), "unfaithful": ("VDPCache",)},
    ),
    "fires what is past": Other({"past_start_fires": True}, set(), {"past_start_fires": True}),
    "replaces everything": Other(
        {"replace_everything": True}, {"import deletes"}, {"import_replaces": True}, AFTER_IMPORT
    ),
    "brings disabled, under new ids": Other(
        {"imports_disabled": True, "new_ids": True},
        {"import enables", "import keeps ids"},
        {"past_start_fires": None},
        frozenset({"past start, imported"}),
    ),
    "replaces always": Other({"replaces": "always"}, {"import without replace"}, {}, touches=True),
    "one at a time": Other({"bulk": False}, {"bulk"}, {}, frozenset({"time zone", "past start, enabled"})),
    "restless fields": Other(
        {"volatile_fields": True, "server_fields": True, "newer_fields": True, "crlf": True}, set(), {}
    ),
}
PAST = {"past start, enabled", "past start, imported"}


@pytest.mark.parametrize("name", OTHERS)
def test_a_server_of_another_kind(pair: Sync, name: str) -> None:
    wanted, usual = OTHERS[name], learned_usually()
    pair.slave.scheduler.guesses(**wanted.guesses)
    books = Books(pair.slave)
    found = tried(pair)
    said = verdicts(found)
    refuted = {code for code, verdict in said.items() if verdict == REFUTED}
    assert refuted - PAST == wanted.refuted, [each for each in found.lines if "refuted" in each]
    assert {code for code, verdict in said.items() if verdict == UNKNOWN} == wanted.unknown
    assert refuted & PAST == (set() if name == "fires what is past" else PAST - wanted.unknown)
    assert learned(pair).model_dump(exclude={"tried"}) == {**usual, **wanted.learned, "offsets": offsets(wanted)}
    assert bool(foreign(books)) is wanted.touches
    assert enabled(pair.slave) == set()
    assert scratch(pair) == set()
    assert books.journal == [] or name == "fires what is past"


def learned_usually() -> dict[str, Any]:
    return Capabilities(
        version=VERSION, import_replaces=False, faithful=("VDP", "VDPCache"), past_start_fires=False
    ).model_dump(exclude={"tried"})


def offsets(of: Other) -> tuple[int, int] | None:
    return None if "time zone" in of.unknown else (-18000, -14400)


def test_a_server_that_ignores_its_switches_wakes_no_job_for_long(pair: Sync) -> None:
    """Neither one of the pair nor one of another pair, nor is one disabled that was enabled before."""
    for name in ("of another pair", "enabled there"):
        add_job(pair.slave, "Elsewhere", name)
    act(pair.slave, "disable", "Elsewhere / of another pair")
    pair.slave.scheduler.guesses(replaces="always")
    pair.options = {"projects": ["Sales"]}
    tried(pair)
    assert enabled(pair.slave) == {"Elsewhere / enabled there"}
    told = {event["kind"]: event for event in pair.record.outbox}
    assert told.keys() == {"drift", "doctor"}
    assert "Elsewhere / of another pair" in told["drift"]["jobs"]
    assert told["drift"]["after"] == {"enabled": 0}


@pytest.mark.parametrize("hidden", [False, True])
def test_a_server_that_is_paused_is_no_broken_one(pair: Sync, hidden: bool) -> None:
    """Nothing is imported there, since what an import has enabled would not be seen before it is resumed."""
    pair.slave.scheduler.guesses(pause_hides_flags=hidden, replaces="always")
    pair.slave.scheduler.control("POST", "/pause", json={"paused": True})
    books = Books(pair.slave)
    found = tried(pair)
    answers = by_code(found)
    for code in ("bulk", "time zone", "past start, enabled", "import deletes"):
        assert (answers[code].verdict, answers[code].level) == (UNKNOWN, Level.UNKNOWN), code
        assert "paused" in answers[code].text
        assert "resume" in answers[code].next_step
    assert found.level is not Level.CRITICAL
    assert foreign(books) == []
    assert scratch(pair) == set()


def test_a_type_whose_jobs_cannot_be_translated_is_not_condemned(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server was not asked, so nothing is learned of it."""

    def untranslatable(job: Job, *rest: Any) -> dict[str, Any]:
        if job.type == "VDPCache":
            raise UntranslatableError("an id")
        return for_target(job, *rest)

    monkeypatch.setattr(trial, "for_target", untranslatable)
    found = by_code(tried(pair))
    assert found["content VDPCache"].verdict == UNKNOWN
    assert (learned(pair).faithful, learned(pair).unfaithful) == (("VDP",), ())


def test_an_export_that_ignores_its_options(pair: Sync) -> None:
    """Each server that lies is found, the one that is only read too."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data/server-metadata.properties", "installation.version=9.1.0\n")
        archive.writestr("data/resources/config/of-this-host.txt", b"x")
    octets = {"content-type": "application/octet-stream"}
    for server in pair.servers.servers:
        server.request("POST", "/serverMetadata/import", content=file.getvalue(), headers=octets)
    for liar, honest in ((pair.master, "slave"), (pair.slave, "master")):
        liar.scheduler.guesses(exports_always=["config"])
        found = by_code(read(pair))
        liar.scheduler.guesses(exports_always=[])
        assert (found[f"export, {liar.name}"].verdict, found[f"export, {honest}"].verdict) == (REFUTED, CONFIRMED)
        assert "config/of-this-host.txt" in found[f"export, {liar.name}"].text


def test_options_without_a_place_and_other_spellings(pair: Sync, tamper: Callable[..., Any]) -> None:
    pair.slave.webtool.faults({"kind": "status", "status": 404, "match": {"path": "api-docs"}})
    found = by_code(read(pair))
    lost = [code for code, each in found.items() if each.level is Level.CRITICAL]
    assert lost == ["options of the export, slave", "options of the import, slave"]
    assert found["export, slave"].verdict == UNKNOWN
    pair.slave.webtool.faults()
    tamper(pair.slave, "jobs/status", lambda body: body.replace(b'"jobID"', b'"id"').replace(b'"jobName"', b'"name"'))
    found = by_code(read(pair))
    assert found["fields of /jobs/status, slave"].verdict == REFUTED
    assert "id for jobID, name for jobName" in found["fields of /jobs/status, slave"].text


@pytest.mark.parametrize("style", ["json_nested", "one_replace", "composed", "selection"])
def test_wherever_the_options_go(pair: Sync, style: str) -> None:
    pair.slave.webtool.guesses(api_docs_style=style)
    books = Books(pair.slave)
    found = tried(pair)
    assert {code for code, verdict in verdicts(found).items() if verdict != CONFIRMED} == PAST
    assert foreign(books) == []
    assumed = {"one_replace", "selection", "composed", "json_nested"}
    said = found.servers["slave"]["options"]
    assert bool(said["export"]["assumed"] or said["import"]["assumed"]) is (style in assumed) or style == "json_nested"


def test_the_silence_of_one_server_hides_nothing_of_the_other(pair: Sync, connect: Callable[..., None]) -> None:
    connect(pair.slave, port=free_port())
    found = by_code(read(pair))
    assert found["version, slave"].level is Level.CRITICAL
    assert found["roles, slave"].level is Level.UNKNOWN
    assert {each.level for code, each in found.items() if code.endswith(", master") and "clock" not in code} == {
        Level.OK
    }


def test_nothing_secret_is_in_what_is_attached_and_on_request_no_name(pair: Sync, tamper: Callable[..., Any]) -> None:
    """Not even where the server repeats the password, or a name, in what it says."""
    said = json.dumps({"status": "500", "message": f"Sales / first: {PASSWORD} of //vdp-a:9999 is wrong"}).encode()
    pair.slave.webtool.faults({"kind": "status", "status": 500, "match": {"method": "GET", "path": "dataSources"}})
    tamper(pair.slave, "dataSources", lambda body: said)
    pair.change(slave=pair.prepared().slave.address)
    found = tried(pair)
    stored = found.to_json()
    plain, hashed = (json.dumps(to_attach(stored, hashed=on, salt="salt")) for on in (False, True))
    assert PASSWORD not in json.dumps(stored)
    assert "*** of //vdp-a:9999" in plain
    names = {"Sales", "first", "cached", "sealed", "vdp-a", "127.0.0.1", *pair.pair().name.split()}
    assert {name for name in names if re.search(rf"\b{name}\b", plain)} >= {"Sales", "first", "vdp-a"}
    assert {name for name in names if re.search(rf"\b{name}\b", hashed)} == set()
    assert json.loads(hashed)["answers"][0]["verdict"] == json.loads(plain)["answers"][0]["verdict"]
    assert "names" not in json.loads(plain)


def planned(pair: Sync) -> dict[str, Any]:
    """What a sync would deliver."""
    out = pair.dag_run()
    for task in ("guard", "export_metadata"):
        out.task(task)
    assert out.exported, out.errors
    return out.exported.delivery


def test_a_sync_goes_by_what_was_tried(pair: Sync) -> None:
    """A job whose start time is past can be imported, and a job fires in the server's own zone only."""
    pair.synced()
    pair.change(capabilities={})
    late = {"sealed": "s", "cron": "5 7 6 * * ?"}
    put(pair.master, job("begun", sealed="s", start="2020-01-01T00:00:00Z"), job("early", **late))
    before = planned(pair)
    assert [each["element"][2] for each in before["pending"]] == ["begun"]
    assert [each["moment"] for each in before["pieces"]] == ["2026-03-02T06:07:06+00:00"]
    tried(pair)
    after = planned(pair)
    assert after["pending"] == []
    assert [each["moment"] for each in after["pieces"]] == ["2026-03-02T06:07:00+00:00"]
    pair.change(capabilities={Role.SLAVE: Capabilities(version=VERSION, past_start_fires=True)})
    assert [each["element"][2] for each in planned(pair)["pending"]] == ["begun"]
