"""The projects and jobs of a pair that are synchronised."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product

from denodo_ha.doctor.scratch import is_scratch
from denodo_ha.jobs import JobKey, fold
from denodo_ha.text import listed

_PARTS = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)
"""The parts of a pattern: a set of characters in brackets, or one character, which may be * or ?."""


class ScopeError(ValueError):
    """A pattern matches nothing; the message names the pattern and the existing names."""


def _matches_any(name: str, patterns: Sequence[str]) -> bool:
    folded = fold(name)
    return any(folded == pattern or fnmatchcase(folded, pattern) for pattern in map(fold, patterns))


def named(patterns: Sequence[str], key: JobKey) -> bool:
    """Whether a pattern matches the name of the job, or ``project / name``, as messages have it."""
    return _matches_any(key.name, patterns) or _matches_any(str(key), patterns)


def _may_share(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether there may be a name that both lists of patterns match."""
    pairs = product(map(fold, one), map(fold, other))
    return any(fnmatchcase(a, b) or fnmatchcase(b, a) or _have_common_name(a, b) for a, b in pairs)


def _have_common_name(one: str, other: str) -> bool:
    """Whether one name matches both patterns; two sets of characters in brackets are taken to have one in common."""
    a, b = _PARTS.findall(one), _PARTS.findall(other)
    reached, seen = [(0, 0)], {(0, 0)}
    while reached:
        i, j = reached.pop()
        if i == len(a) and j == len(b):
            return True
        star, other_star = a[i : i + 1] == ["*"], b[j : j + 1] == ["*"]
        further = [(i + 1, j)] * star + [(i, j + 1)] * other_star
        if i < len(a) and j < len(b):
            if star or other_star:
                further += [(i, j + 1)] * star + [(i + 1, j)] * other_star
            elif (_is_set(a[i]) and _is_set(b[j])) or fnmatchcase(a[i], b[j]) or fnmatchcase(b[j], a[i]):
                further.append((i + 1, j + 1))
        reached += [place for place in further if place not in seen]
        seen.update(further)
    return False


def _is_set(part: str) -> bool:
    return part == "?" or len(part) > 1


def _sorted(names: Iterable[str]) -> str:
    ordered = sorted(set(names), key=fold)
    return listed(ordered, 20) or "none"


@dataclass(frozen=True)
class Scope:
    """Glob patterns over project names and over job names, both compared without case like the names themselves [D].

    A name that equals a pattern matches too, so that ``sales[eu]`` needs no escape.
    """

    projects: tuple[str, ...] = ("*",)
    jobs: tuple[str, ...] = ("*",)

    @property
    def everything(self) -> bool:
        """Whether every project and job is in scope, but for the scratch projects of a doctor."""
        return "*" in self.projects and "*" in self.jobs

    def matches_project(self, project: str) -> bool:
        """Whether a project is in scope; a scratch project of a doctor never is."""
        return not is_scratch(project) and _matches_any(project, self.projects)

    def matches(self, key: JobKey) -> bool:
        return self.matches_project(key.project) and _matches_any(key.name, self.jobs)

    def may_share_a_job(self, other: Scope) -> bool:
        """Whether there may be a job that is in both scopes, judged by the patterns alone."""
        return _may_share(self.projects, other.projects) and _may_share(self.jobs, other.jobs)

    def check(self, jobs: Iterable[JobKey], projects: Iterable[str] = ()) -> None:
        """Raise ScopeError when a project pattern matches no project, or no job at all is in scope.

        ``projects`` names projects that may have no job.
        """
        if self.everything:
            return
        keys = list(jobs)
        names = {key.project for key in keys} | set(projects)
        idle = [pattern for pattern in self.projects if not any(_matches_any(name, [pattern]) for name in names)]
        if idle:
            quoted = ", ".join(f'"{pattern}"' for pattern in idle)
            raise ScopeError(
                f"Project pattern {quoted} matches no project. Projects on the server: {_sorted(names)}. "
                f"Correct `projects` of the pair."
            )
        if not any(self.matches(key) for key in keys):
            quoted = ", ".join(f'"{pattern}"' for pattern in self.jobs)
            within = [str(key) for key in keys if self.matches_project(key.project)]
            raise ScopeError(
                f"Job pattern {quoted} matches no job of the chosen projects. Jobs there: {_sorted(within)}. "
                f"Correct `jobs` of the pair."
            )
