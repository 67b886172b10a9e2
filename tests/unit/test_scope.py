from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.jobs import JobKey
from denodo_ha.scope import Scope, ScopeError

SALES = JobKey(project="Sales", name="Load orders")
NIGHTLY = JobKey(project="Sales", name="nightly[eu]")
HR = JobKey(project="Ströme HR", name="Load people")
names = st.text(alphabet="aBcß*?[]! ", max_size=6)


@pytest.mark.parametrize(
    ("projects", "jobs", "inside"),
    [
        (("*",), ("*",), [SALES, NIGHTLY, HR]),
        (("sales",), ("*",), [SALES, NIGHTLY]),
        (("SA*",), ("*",), [SALES, NIGHTLY]),
        (("*HR", "nothing"), ("*",), [HR]),
        (("STRÖME*",), ("*",), [HR]),
        (("*",), ("load *",), [SALES, HR]),
        (("Sales",), ("load *", "NIGHTLY[EU]"), [SALES, NIGHTLY]),
        (("Sales",), ("nightly[[]eu]",), [NIGHTLY]),
    ],
)
def test_patterns(projects: tuple[str, ...], jobs: tuple[str, ...], inside: list[JobKey]) -> None:
    scope = Scope(projects, jobs)
    assert [key for key in (SALES, NIGHTLY, HR) if scope.matches(key)] == inside


@settings(deadline=None)
@given(names, names)
def test_a_name_without_pattern_selects_itself_and_case_never_matters(project: str, name: str) -> None:
    scope = Scope((project,), (name,))
    assert scope.matches(JobKey(project=project, name=name))
    assert scope.matches(JobKey(project=_swapped(project), name=_swapped(name)))


def _swapped(name: str) -> str:
    """The name in the other case, character by character as Java compares: ``ß`` is none of two."""
    return "".join(each if len(each.swapcase()) > 1 else each.swapcase() for each in name)


def test_everything() -> None:
    assert Scope().everything
    assert not Scope(projects=("sales",)).everything
    assert not Scope(jobs=("a*",)).everything


def test_a_project_pattern_that_matches_nothing_names_what_there_is() -> None:
    with pytest.raises(ScopeError) as caught:
        Scope(projects=("sales", "finanze*")).check([SALES, HR])
    assert str(caught.value) == (
        'Project pattern "finanze*" matches no project. Projects on the server: Sales, Ströme HR. '
        "Correct `projects` of the pair."
    )


def test_job_patterns_that_select_nothing_name_the_jobs_of_the_chosen_projects() -> None:
    with pytest.raises(ScopeError) as caught:
        Scope(projects=("Sales",), jobs=("load people",)).check([SALES, NIGHTLY, HR])
    assert str(caught.value) == (
        'Job pattern "load people" matches no job of the chosen projects. '
        "Jobs there: Sales / Load orders, Sales / nightly[eu]. Correct `jobs` of the pair."
    )


def test_check_passes_what_selects_something() -> None:
    Scope(projects=("sales",)).check([SALES, HR])
    Scope().check([])


def test_a_pattern_may_match_a_project_without_jobs() -> None:
    Scope(projects=("sales", "shared")).check([SALES], projects=["Shared"])


def test_a_long_list_of_projects_is_cut() -> None:
    keys = [JobKey(project=f"p{number:02}", name="x") for number in range(25)]
    with pytest.raises(ScopeError, match=r"p18, p19 and 5 more\. Correct"):
        Scope(projects=("q",)).check(keys)


_NAMES = ["".join(letters) for size in range(7) for letters in product("ab", repeat=size)]
_PATTERN = st.text("ab?*", min_size=1, max_size=3)


@given(_PATTERN, _PATTERN)
def test_two_scopes_may_share_a_job_exactly_when_there_is_a_name_that_both_match(one: str, other: str) -> None:
    """The shortest such name has no more letters than the two patterns have parts."""
    common = any(fnmatchcase(name, one) and fnmatchcase(name, other) for name in _NAMES)
    assert Scope(projects=(one,)).may_share_a_job(Scope(projects=(other,))) is common


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("sales_*", "hr_*", False),
        ("sales_*", "*_eu", True),
        ("a*c", "*b", False),
        ("x?", "x", False),
        ("SALES", "sales", True),
        ("s[ab]", "sc", False),
        ("s[ab]", "sa", True),
        ("s[ab]", "s[cd]", True),
        ("sales[eu]", "sales[eu]", True),
        ("*" * 30 + "a", "*" * 30 + "b", False),
    ],
)
def test_which_patterns_may_share_a_name(one: str, other: str, shared: bool) -> None:
    """Two sets of characters are taken to overlap, which refuses what might be allowed, and never the reverse."""
    assert Scope(jobs=(one,)).may_share_a_job(Scope(jobs=(other,))) is shared
    assert not Scope(projects=("x",), jobs=(one,)).may_share_a_job(Scope(projects=("y",), jobs=(one,)))
