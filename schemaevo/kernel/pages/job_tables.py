"""Tables on the pages of jobs: what a kind of work lists beside its result, such as the parts that it passed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from django.utils.functional import Promise

from schemaevo.kernel.models import Job

Text: TypeAlias = "str | Promise"


@dataclass(frozen=True, slots=True)
class JobTable:
    """A table: its title, how many there are in all, headings, rows of as many cells (text or safe HTML), and a
    sentence about it. `name` is an identifier, alone on its page.
    """

    name: str
    title: Text
    count: int
    note: Text
    headings: Sequence[Text]
    rows: Sequence[Sequence[Text]]


#: The table for a job's page; None where there is nothing to list. Holds no stored values: everybody sees it who may
#: see jobs.
JobTableProvider: TypeAlias = "Callable[[Job], JobTable | None]"

_providers: dict[str, JobTableProvider] = {}


def job_table_provider(kind: str, provider: JobTableProvider) -> None:
    """Pages of jobs of this kind show the table. Called when the pages of an app are registered."""
    _providers[kind] = provider


def job_table(job: Job) -> JobTable | None:
    """What the page of this job lists, if anything."""
    provider = _providers.get(job.kind)
    return None if provider is None else provider(job)
