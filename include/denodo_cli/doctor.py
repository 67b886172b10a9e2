"""``denodo-ha doctor``: have a doctor look at a pair, show what the last one has found, and write it to a file."""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

from denodo_cli.airflow_api import ApiClient
from denodo_cli.reading import read_state
from denodo_cli.runs import RunError, ended, start
from denodo_ha.doctor.diagnosis import Answer, Diagnosis
from denodo_ha.doctor.redaction import to_attach
from denodo_ha.pairs import Pair
from denodo_ha.status import Level


def add_arguments(parser: argparse.ArgumentParser, duration: Any) -> None:
    parser.add_argument("--now", action="store_true", help="have a doctor read both servers now, and wait for it")
    parser.add_argument(
        "--probe",
        action="store_true",
        help="the same, and your consent to try things out in scratch projects on the passive server",
    )
    parser.add_argument("--reason", default="denodo-ha doctor", help="why; kept in the history (default: %(default)s)")
    parser.add_argument(
        "--patience",
        type=duration,
        default=timedelta(minutes=30),
        metavar="DURATION",
        help="how long to wait for the end of the run (default: 30m)",
    )
    parser.add_argument("--file", type=Path, metavar="FILE", help="write the report to be attached to an issue")
    parser.add_argument("--hash-names", action="store_true", help="hashes in place of names and hosts in that file")
    parser.add_argument("--verbose", action="store_true", help="name what is in order too")


def doctor(args: argparse.Namespace, api: ApiClient) -> int:
    """Show what the doctor has found; the exit code is the level of the worst answer.

    :raises RunError: none has run yet, or the run did not end well.
    """
    pair = Pair(name=args.pair)
    before = read_state(api, args.pair).get("doctor")  # an unknown pair is told before anything is started
    if args.now or args.probe:
        _run(args, api, pair.dag_id_operations, before)
    stored = read_state(api, args.pair).get("doctor")
    if stored is None:
        how = f"denodo-ha doctor {args.pair} --now, or trigger {pair.dag_id_operations} with the operation 'doctor'"
        raise RunError(f"no doctor has looked at this pair yet; run: {how}")
    found = Diagnosis.from_json(stored)
    tried = "tried out" if found.tried else "read only"
    print(f"{found.level.name} - pair {args.pair}: {found.at:%Y-%m-%d %H:%M:%S}Z, {tried}; {found.summary}")
    for each in found.ordered:
        if args.verbose or _worth_telling(each):
            print(each)
    if args.file:
        attached = to_attach(stored, hashed=args.hash_names, salt=token_hex())
        args.file.write_text(json.dumps(attached, indent=2, ensure_ascii=False) + "\n")
        print(f"Written: {args.file}")
    return found.level


def _worth_telling(answer: Answer) -> bool:
    return answer.level is not Level.OK or answer.verdict == "refuted"


def _run(args: argparse.Namespace, api: ApiClient, dag_id: str, before: Any) -> None:
    def found() -> bool:
        stored = read_state(api, args.pair).get("doctor")
        return stored not in (None, before) and (not args.probe or stored["tried"])

    conf = {"operation": "doctor", "probe": args.probe, "hash_names": args.hash_names, "reason": args.reason}
    run_id = start(api, dag_id, conf)
    run = ended(api, dag_id, run_id, args.patience, found)
    if run["state"] == "failed":
        raise RunError(f"the run {run_id} of {dag_id} has failed: {run.get('note') or 'see its log'}")
