"""Every service does for each role what the table says, under its name, or refuses and changes nothing."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
from django.db import transaction

from schemaevo.kernel.errors import Denied
from tests.permissions.scene import Store, actors_since, everything, newest_event, scene_of
from tests.permissions.services import SERVICES, UNGUARDED, Service
from tests.permissions.table import TABLE, Role, roles_for

pytestmark = pytest.mark.django_db

#: Where services are. The doors call them; what they do in somebody's name, they do through these.
ROOMS = ("registry.services", "snapshots.services", "fragments.services", "schemaevo.kernel")
#: There is no actor that nobody is.
NOBODY_AT_ALL = frozenset({Role.STRANGER})


@pytest.mark.parametrize("line", SERVICES, ids=str)
def test_a_service_does_it_for_those_who_may_and_changes_nothing_for_others(
    store: Store, line: Service
) -> None:
    row = TABLE[line.row]
    told: dict[Role, str] = {}
    for role in roles_for(row, but=NOBODY_AT_ALL):
        with scene_of(store, role) as scene:
            line.first(scene)
            before, event = everything(), newest_event()
            try:
                with transaction.atomic():
                    line.call(scene)
            except Denied as refusal:
                told[role] = refusal.code
                assert everything() == before, role
            else:
                told[role] = ""
                assert (everything() != before) == line.writes, role
                assert actors_since(event) == ({scene.actor.name} if line.audited else set()), role
    assert told == {role: row.refusal(role) for role in told}


def services_with_an_actor() -> Iterator[str]:
    for room in ROOMS:
        package = importlib.import_module(room)
        for found in pkgutil.iter_modules(package.__path__, f"{room}."):
            if found.ispkg:
                continue
            module = importlib.import_module(found.name)
            for name, service in vars(module).items():
                is_here = inspect.isfunction(service) and service.__module__ == found.name
                if is_here and not name.startswith("_") and "actor" in inspect.signature(service).parameters:
                    yield f"{found.name}.{name}"


def test_every_service_that_acts_for_somebody_is_tried_or_says_why_not() -> None:
    tried = {f"{line.service.__module__}.{line.service.__name__}" for line in SERVICES}
    assert not tried & UNGUARDED.keys()
    assert tried | UNGUARDED.keys() == set(services_with_an_actor())
