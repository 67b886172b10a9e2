"""Files of pairs that no person writes: each is an error with file and line, in little time and memory."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_demo.slowness import allow
from denodo_ha.pairs import Pair
from denodo_ha.pairs_file import PairsError, load_pairs

PAIR = "pairs:\n  default:\n"
SHIPPED = Path(__file__).parents[2] / "include" / "pairs.yaml"
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
MERGES = "a0: &a0 {a: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 12))

HOSTILE: dict[str, tuple[str | bytes, int, str]] = {
    "anchors of anchors": (f"{BOMB}{PAIR}    description: *a11\n", 1, "holds too much"),
    "merges of merges": (f"{MERGES}{PAIR}    <<: *a11\n", 1, "holds too much"),
    "an anchor in itself": (f"{PAIR}    tags: &a [*a]\n", 3, "is nested too deeply"),
    "lists in lists": (f"{PAIR}    tags: {'[' * 100_000}\n", 3, "is nested too deeply"),
    "mappings in mappings": (f"{PAIR}    tags: {'{a: ' * 100_000}\n", 3, "is nested too deeply"),
    "blocks in blocks": (f"{'- ' * 50_000}x", 1, "is nested too deeply"),
    "keys in keys": (f"{'? ' * 50_000}x", 1, "is nested too deeply"),
    "many values": (f"{PAIR}    tags: [{'a,' * 200_000}]\n", 3, "holds too much"),
    "many documents": ("---\n" * 100_000, 40_002, "holds too much"),
    "many pairs": ("pairs:\n" + "".join(f"  p{i}: {{}}\n" for i in range(9000)), 1, "names 9000 pairs"),
    "many bytes": (b"#" * 50_000_000, 1, "is too large"),
    "a long text": (f"{PAIR}    description: {'x' * 5_000_000}\n", 3, "is too large"),
    "a huge number": (f"{PAIR}    watch: {{fall: {'9' * 4000}}}\n", 3, "fall: cannot be read as int: '9999"),
    "a huge hexadecimal": (f"{PAIR}    watch: {{fall: 0x{'f' * 500_000}}}\n", 3, "fall: cannot be read as int"),
    "a huge number of 60s": (f"{PAIR}    watch: {{fall: {'1:' * 400_000}1}}\n", 3, "fall: cannot be read as int"),
    "a huge fraction": (f"{PAIR}    watch: {{fall: {'1:' * 4000}1.5}}\n", 3, "fall: cannot be read as float"),
    "a number beyond all use": (f"{PAIR}    watch: {{fall: {'9' * 99}}}\n", 3, "watch.fall: must be at most 1000"),
    "a duration of digits": (f"{PAIR}    sync: {{lease: {'9' * 5000}s}}\n", 3, "sync.lease: must be a duration"),
    "a duration of spaces": (f"{PAIR}    sync: {{lease: '1d{' ' * 90_000}x'}}\n", 3, "sync.lease: must be a duration"),
    "a duration of millennia": (f"{PAIR}    sync: {{quiet_timeout: 999999999d}}\n", 3, "must not be longer than"),
    "probes for millennia": (f"{PAIR}    watch: {{fall: 1000, probe_interval: 36500d}}\n", 3, "must not be longer"),
    "a duration that is infinite": (f"{PAIR}    sync: {{lease: .inf}}\n", 3, "sync.lease: must be a duration"),
    "a duration that is none": (f"{PAIR}    sync: {{lease: .nan}}\n", 3, "sync.lease: must be a duration"),
    "a negative duration": (f"{PAIR}    sync: {{lease: -1}}\n", 3, "sync.lease: must be longer than 0"),
    "a duration like 1e400": (f"{PAIR}    sync: {{lease: 1e400}}\n", 3, "sync.lease: must be a duration"),
    "a long schedule": (f"{PAIR}    sync: {{schedule: '{'*/1,' * 200_000}* * * * *'}}\n", 3, "it is too long"),
    "a schedule of digits": (f"{PAIR}    sync: {{schedule: '{'9' * 5000} * * * *'}}\n", 3, "sync.schedule: must be"),
    "a long time zone": (f"{PAIR}    master_timezone: {'E' * 900_000}\n", 3, "must be a time zone such as"),
    "a NUL byte": (b"pairs:\n  default:\n    master: a\0b\n", 3, "the control character U+0000"),
    "a written NUL": (f'{PAIR}    master: "a\\0b"\n', 3, "pairs.default.master: holds a NUL character"),
    "a NUL in a key": ('pairs:\n  "a\\0b": {}\n', 2, "pairs: has a key that holds a NUL character"),
    "a bell": ("pairs:\n  default: {description: \a}\n", 2, "the control character U+0007"),
    "half a surrogate": (f'{PAIR}    master: "\\ud800"\n', 3, "is not valid YAML"),
    "UTF-16": ("pairs: {default: {}}".encode("utf-16"), 1, "is not UTF-8 text"),
    "Latin-1": ("pairs:\n  é: {}".encode("latin-1"), 2, "is not UTF-8 text"),
    "an object of Python": (f"{PAIR}    master: !!python/object/apply:os.system [x]\n", 3, "cannot be read as python"),
    "bytes": (f"{PAIR}    master: !!binary aGVsbG8=\n", 3, "master: cannot be read as binary"),
    "a set": (f"{PAIR}    tags: !!set {{a, b}}\n", 3, "tags: cannot be read as set"),
    "an empty number": (f"{PAIR}    watch: {{fall: !!int ''}}\n", 3, "watch.fall: cannot be read as int"),
    "text as a date": (f"{PAIR}    master: !!timestamp x\n", 3, "master: cannot be read as timestamp"),
    "text as a mapping": (f"{PAIR}    watch: !!map abc\n", 3, "watch: cannot be read as map"),
    "a mapping as text": (f"{PAIR}    master: !!str {{a: b}}\n", 3, "master: cannot be read as str"),
    "a date": (f"{PAIR}    master: 2026-01-01\n", 3, "master: must be text, not datetime.date"),
    "a date that is none": (f"{PAIR}    master: 0000-01-01\n", 3, "master: cannot be read as timestamp"),
    "keys twice": (f"{PAIR}    master: a\n    master: b\n", 4, "master: stands twice; first in line 3"),
    "many wrong keys": (PAIR + "".join(f"    k{i}: 1\n" for i in range(9000)), 3, "k0: is not an option"),
    "wrong keys of wrong pairs": ("pairs:\n" + "".join(f"  p{i}: {{x: 1}}\n" for i in range(900)), 2, "not an option"),
}


def mistakes(file: Path) -> str:
    with pytest.raises(PairsError) as caught:
        load_pairs(file)
    return str(caught.value)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_an_error_with_file_and_line(tmp_path: Path, name: str) -> None:
    """Its message is short enough for a log, however long the file is."""
    text, line, expected = HOSTILE[name]
    file = tmp_path / "pairs.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    first, *told = mistakes(file).splitlines()
    assert first.startswith(f"{file}: ")
    assert told[0].startswith(f"{file}:{line}: ")
    assert expected in told[0]
    assert len(told) <= 100
    assert max(map(len, told)) < 1000


READ_ALL = """
import resource, sys, time
from pathlib import Path
from denodo_ha.pairs_file import PairsError, load_pairs
PAIRS = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
slowest = 0.0
for file in sorted(PAIRS.glob("*.yaml")):
    began = time.process_time()
    try:
        load_pairs(file)
    except PairsError:
        pass
    slowest = max(slowest, time.process_time() - began)
print(slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_all_of_them_take_little_time_and_memory(tmp_path: Path) -> None:
    """In a process of its own, which the worst of them would end."""
    for number, (text, *_) in enumerate(HOSTILE.values()):
        (tmp_path / f"{number}.yaml").write_bytes(text.encode() if isinstance(text, str) else text)

    ended = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=allow(120),
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    slowest, kilobytes = ended.stdout.split()
    assert float(slowest) < allow(1)
    assert int(kilobytes) < 100_000


ODD = (
    *("[", "]", "{", "}", ": ", "- ", "? ", "&a ", "*a", "<<: *a", "!!int ", "!!x ", "'", '"', "|", "%YAML 1.3"),
    *("\n", "\t", "\0", "\x85", "\ufeff", "\n---\n", "9" * 400, ".nan", "-1", "1e400", "2026-01-01", "null", "1:"),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0), st.sampled_from([0, 1, 10, 100]), st.sampled_from(ODD) | st.integers(0))))
def test_whatever_becomes_of_a_file_it_holds_pairs_or_mistakes(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int, str | int]]
) -> None:
    """Pieces of the shipped file are cut, repeated elsewhere, and replaced by what means something in YAML."""
    text = SHIPPED.read_text(encoding="utf-8").replace("# ", "")
    for where, length, new in changes:
        start = where % len(text)
        piece = new if isinstance(new, str) else text[new % len(text) :][:50]
        text = text[:start] + piece + text[start + length :]
    file = tmp_path_factory.getbasetemp() / "changed.yaml"
    file.write_text(text, encoding="utf-8")
    with suppress(PairsError):
        assert all(isinstance(pair, Pair) for pair in load_pairs(file).values())
