"""Any course of changes by several processes for several users: the engine holds what the model says (I5, I6, I12)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Count
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from registry import cache
from registry.cache import SchemaCache
from registry.domain.compatibility import Mode
from registry.domain.definition import Definition, Field
from registry.domain.edits import Edit
from registry.domain.effective import EffectiveSchema
from registry.domain.extension import EMPTY_EXTENSION, Extension
from registry.domain.vocabulary import FieldType
from registry.models import ExtensionRevision, SchemaEpoch, SchemaVersion
from registry.selectors import effective_schemas, version_by_number
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from registry.services.compatibility import compatibility_set
from registry.services.extensions import extension_remove, extension_remove_fields, extension_save
from registry.services.schemas import schema_register, schema_update
from registry.services.settling import extensions_settle
from schemaevo.kernel.canonical import canonical_json
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import AuditEvent
from tests.domain.strategies import NAMES, definitions, edits, extensions
from tests.factories import SHELL, make_user
from tests.registry.engine_model import Event, Model, Owner, Refusal
from tests.rounds import rounds

USERS = 2
PROCESSES = 3
TTL_S = 300

processes = st.integers(0, PROCESSES - 1)
owners = st.integers(0, USERS)  # 0 stands for the global schema
users = st.integers(1, USERS)
pick = st.integers(0, 5)

_kinds = itertools.count()


class Clock:
    """One clock for all processes."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Engine(RuleBasedStateMachine):
    """The services against the model; each example has an entity type of its own."""

    @initialize(
        owned=st.lists(st.none() | definitions(), min_size=USERS, max_size=USERS),
        shared=st.none() | definitions(),
        said=st.lists(st.none() | extensions(), min_size=USERS, max_size=USERS),
    )
    def begin(
        self,
        owned: list[Definition | None],
        shared: Definition | None,
        said: list[Extension | None],
    ) -> None:
        """Users may have schemas of their own already; then a global one may come, and others extend it."""
        self.kind = f"kind{next(_kinds)}"
        self.clock = Clock()
        self.changer = self._was_revised = 0
        self.caches = [SchemaCache(self.clock) for _ in range(PROCESSES)]
        self.owners: list[Owner] = [None, *(make_user().pk for _ in range(USERS))]
        self.model = Model()
        compatibility_set(entity_type=self.kind, mode=Mode.NONE, actor=SHELL)
        self.last_event = self._newest_event()
        self.last_epochs: dict[Owner, int] = {}
        self.effective = self._read()
        self.held = [dict(self.effective) for _ in self.caches]
        for owner, definition in (*enumerate(owned, 1), (0, shared)):
            if definition is not None:
                self.register_and_activate(owner=owner, process=0, definition=definition)
        for user, extension in enumerate(said, 1):
            if extension is not None and shared is not None:
                self.extend_as_far_as_it_goes(process=0, user=user, extension=extension)

    # --- what may happen --------------------------------------------------------------------------------------
    @rule(process=processes, owner=owners, definition=definitions())
    def register(self, process: int, owner: int, definition: Definition) -> None:
        owned_by = self.owners[owner]
        self._both(
            process,
            lambda: self.model.register(owned_by, definition),
            lambda: schema_register(
                entity_type=self.kind, user_id=owned_by, document=definition.to_json(), actor=SHELL
            ),
        )

    @rule(process=processes, owner=owners, definition=definitions())
    def register_and_activate(self, process: int, owner: int, definition: Definition) -> None:
        """In one transaction, as a command does it; where one part is refused, so is the other."""
        owned_by = self.owners[owner]
        before = len(self.model.versions[owned_by])

        def expect() -> list[Event]:
            events = self.model.register(owned_by, definition)
            [version] = [
                v
                for v in self.model.versions[owned_by]
                if canonical_json(v.definition.to_json()) == canonical_json(definition.to_json())
            ]
            try:
                return events + self.model.activate(owned_by, version)
            except Refusal:
                del self.model.versions[owned_by][before:]
                raise

        def act() -> None:
            with transaction.atomic():
                version = schema_register(
                    entity_type=self.kind, user_id=owned_by, document=definition.to_json(), actor=SHELL
                ).version
                schema_activate(version_id=version.pk, actor=SHELL, without_review="now")

        self._both(process, expect, act)

    @rule(process=processes, owner=owners, some=st.lists(edits(), min_size=1, max_size=3), stale=pick)
    def update(self, process: int, owner: int, some: list[Edit], stale: int) -> None:
        owned_by = self.owners[owner]
        present = self.model.base(owned_by)
        base = present.label if present and stale else "0.0.1"
        self._both(
            process,
            lambda: self.model.update(owned_by, base, some),
            lambda: schema_update(
                entity_type=self.kind,
                user_id=owned_by,
                edits=[edit.to_json() for edit in some],
                base=base,
                actor=SHELL,
            ),
        )

    @precondition(lambda self: any(self.model.versions.values()))
    @rule(process=processes, number=st.integers(0, 30), mode=st.none() | st.sampled_from(Mode))
    def activate(self, process: int, number: int, mode: Mode | None) -> None:
        """Any version, mostly one that is not in force; sometimes the mode was set meanwhile."""
        if mode is not None:
            self._set_mode(mode)
        every = [(owner, one) for owner in self.owners for one in reversed(self.model.versions[owner])]
        owned_by, version = (sorted(every, key=lambda one: one[1].is_active))[number % len(every)]
        found = version_by_number(entity_type=self.kind, user_id=owned_by, number=version.label)
        self._both(
            process,
            lambda: self.model.activate(owned_by, version),
            lambda: schema_activate(version_id=found.pk, actor=SHELL, without_review="now"),
        )

    @precondition(lambda self: self._additions())
    @rule(
        process=processes, number=pick, count=st.integers(1, 3), other=st.sampled_from([False, False, True])
    )
    def take_over(self, process: int, number: int, count: int, other: bool) -> None:
        """The global schema gains fields that somebody has added, sometimes as another type."""
        shared = self.model.active(None)
        assert shared is not None
        additions = self._additions()
        _user, extension = additions[number % len(additions)]
        gained = dict(list(extension.additional_fields.items())[:count])
        if other:
            gained = {name: Field(name, FieldType.OBJECT) for name in gained}
        definition = Definition(
            {**shared.definition.fields, **gained},
            shared.definition.merge_policies,
            shared.definition.observation_source_priority,
        )
        self.register_and_activate(process=process, owner=0, definition=definition)
        self.settle(process=process)

    def _additions(self) -> list[tuple[int, Extension]]:
        if self.model.active(None) is None:
            return []
        said = ((user, self.model.extension(user)) for user in self.owners if user is not None)
        return [(user, one) for user, one in said if one is not None and one.additional_fields]

    @rule(process=processes, owner=owners)
    def deactivate(self, process: int, owner: int) -> None:
        owned_by = self.owners[owner]
        self._both(
            process,
            lambda: self.model.deactivate(owned_by),
            lambda: schema_deactivate(
                entity_type=self.kind, user_id=owned_by, actor=SHELL, without_review="now"
            ),
        )

    @rule(process=processes, owner=owners, number=st.none() | pick)
    def retire(self, process: int, owner: int, number: int | None) -> None:
        owned_by = self.owners[owner]
        versions = self.model.versions[owned_by]
        version = versions[number % len(versions)] if versions and number is not None else None
        self._both(
            process,
            lambda: self.model.retire(owned_by, version),
            lambda: schema_retire(
                entity_type=self.kind,
                user_id=owned_by,
                number=version.label if version else None,
                actor=SHELL,
                without_review="now",
            ),
        )

    @rule(process=processes, user=users, extension=extensions())
    def extend(self, process: int, user: int, extension: Extension) -> None:
        self._extend(process, user, extension)

    @precondition(lambda self: self.model.active(None) is not None)
    @rule(process=processes, user=users, extension=extensions())
    def extend_as_far_as_it_goes(self, process: int, user: int, extension: Extension) -> None:
        """With what the global schema leaves room for: of random extensions few go together with it."""
        shared = self.model.active(None)
        assert shared is not None
        taken = shared.definition.fields.keys()
        additional = {n: f for n, f in extension.additional_fields.items() if n not in taken}
        overrides = {n: o for n, o in extension.field_overrides.items() if n in taken}
        self._extend(
            process,
            user,
            Extension(
                extension.base_schema_version,
                additional,
                {name: p for name, p in extension.merge_policies.items() if name in additional},
                overrides,
            ),
        )

    def _extend(self, process: int, user: int, extension: Extension) -> None:
        owner = self.owners[user]
        assert owner is not None
        self._both(
            process,
            lambda: self.model.extend(owner, lambda _present: extension),
            lambda: extension_save(
                entity_type=self.kind,
                user_id=owner,
                document=extension.to_json(),
                base=len(self.model.revisions[owner]) - self._was_revised,
                actor=SHELL,
            ),
        )

    @rule(process=processes, user=users, names=st.sets(st.sampled_from((*NAMES, "own")), max_size=3))
    def remove_fields(self, process: int, user: int, names: set[str]) -> None:
        owner = self.owners[user]
        assert owner is not None
        self._both(
            process,
            lambda: self.model.extend(owner, lambda present: present.without(names)),
            lambda: extension_remove_fields(entity_type=self.kind, user_id=owner, names=names, actor=SHELL),
        )

    @rule(process=processes, user=users)
    def remove_extension(self, process: int, user: int) -> None:
        owner = self.owners[user]
        assert owner is not None

        def expect() -> list[Event]:
            if self.model.extension(owner) is None:
                raise Refusal("schema_not_found")
            return self.model.extend(owner, lambda _present: EMPTY_EXTENSION)

        self._both(
            process, expect, lambda: extension_remove(entity_type=self.kind, user_id=owner, actor=SHELL)
        )

    @rule(process=processes)
    def settle(self, process: int) -> None:
        before = self._read()
        self._both(
            process,
            lambda: self.model.settle([owner for owner in self.owners if owner is not None]),
            lambda: extensions_settle(entity_type=self.kind, after_user=0, actor=SHELL),
        )
        after = self._read()
        assert {owner: schema.definition for owner, schema in after.items()} == {
            owner: schema.definition for owner, schema in before.items()
        }

    @rule(mode=st.sampled_from([Mode.NONE, Mode.NONE, Mode.BACKWARD]))
    def set_mode(self, mode: Mode) -> None:
        self._set_mode(mode)

    def _set_mode(self, mode: Mode) -> None:
        def expect() -> list[Event]:
            before, self.model.mode = self.model.mode, mode
            return [("compatibility.set", {"mode": before}, {"mode": mode})] if before != mode else []

        self._both(0, expect, lambda: compatibility_set(entity_type=self.kind, mode=mode, actor=SHELL))

    @precondition(lambda self: any(self.model.active(owner) for owner in self.owners))
    @rule(process=processes, number=pick)
    def give_up(self, process: int, number: int) -> None:
        """A change, seen by its own process, and rolled back: its epoch will come again."""
        changeable = [owner for owner in self.owners if self.model.active(owner)]
        owned_by = changeable[number % len(changeable)]

        def act() -> None:
            with transaction.atomic():
                schema_deactivate(
                    entity_type=self.kind, user_id=owned_by, actor=SHELL, without_review="perhaps"
                )
                for one in self.owners:
                    cache.load_active_schema(entity_type=self.kind, user_id=one)
                    cache.load_current_schema(entity_type=self.kind, user_id=one)
                transaction.set_rollback(True)

        self._both(process, list, act)

    @rule()
    def let_time_pass(self) -> None:
        self.clock.now += TTL_S
        self.held = [{} for _ in self.caches]

    # --- what always holds ------------------------------------------------------------------------------------
    @invariant()
    def one_is_in_force_per_owner(self) -> None:
        """I5, and it is the one that the model says."""
        found = SchemaVersion.objects.filter(entity_type=self.kind, is_active=True)
        numbers = sorted((str(version.user_id), version.number) for version in found)
        active = {owner: self.model.active(owner) for owner in self.owners}
        assert numbers == sorted((str(owner), version.label) for owner, version in active.items() if version)
        revisions = ExtensionRevision.objects.filter(entity_type=self.kind)
        in_force = {row.user_id: row for row in revisions.filter(is_active=True)}
        assert in_force.keys() == {user for user, said in self.model.revisions.items() if said}
        for user, row in in_force.items():
            said = self.model.revisions[user]
            assert row.revision == len(said)
            assert canonical_json(row.document) == canonical_json(said[-1].to_json())
            assert row.parsed.field_count == len(said[-1].additional_fields)
        counted = revisions.values_list("user_id").annotate(Count("id"))
        assert dict(counted) == {user: len(said) for user, said in self.model.revisions.items() if said}

    @invariant()
    def what_applies_is_what_the_model_composes(self) -> None:
        for owner, schema in self._read().items():
            expected = self.model.effective(owner)
            assert (schema.definition is None) == (expected is None)
            if schema.definition is not None and expected is not None:
                assert canonical_json(schema.definition.to_json()) == canonical_json(expected.to_json())
                assert schema.reduction_hash == expected.reduction_hash

    @invariant()
    def no_process_is_outdated(self) -> None:
        """I6: a page may be, but not in the process that made the change, and no longer than the time to live."""
        self.effective = self._read()
        for number, process in enumerate(self.caches):
            for owner in self.owners:
                held = self.held[number].get(owner, self.effective[owner])
                seen = process.active(self.kind, owner)
                assert seen in (
                    (self.effective[owner],) if number == self.changer else (held, self.effective[owner])
                )
            assert process.current(self.kind, self.owners) == self.effective
            assert [process.active(self.kind, owner) for owner in self.owners] == list(
                self.effective.values()
            )
            self.held[number] = dict(self.effective)

    # --- how it is compared -----------------------------------------------------------------------------------
    def _both(self, process: int, expect: Callable[[], list[Event]], act: Callable[[], object]) -> None:
        """The model's answer is the service's; what the audit log holds of it, the model foretold."""
        self.changer = process
        cache._cache = self.caches[process]
        before = sum(map(len, self.model.revisions.values()))
        code, events = "", []
        try:
            events = expect()
        except Refusal as refusal:
            code = refusal.code
        self._was_revised = sum(map(len, self.model.revisions.values())) - before
        told = ""
        try:
            act()
        except DomainError as error:
            told = error.code
        assert told == code
        self._compare_events(events)
        self._compare_epochs(events)

    def _compare_events(self, expected: list[Event]) -> None:
        found = list(AuditEvent.objects.filter(id__gt=self.last_event).order_by("id"))
        assert [(event.action, event.before) for event in found] == [
            (action, before) for action, before, _after in expected
        ]
        for event, (_action, _before, after) in zip(found, expected, strict=True):
            assert event.actor_name == SHELL.name
            assert isinstance(event.after, dict)
            assert {name: event.after[name] for name in after} == after
            assert event.target_id == self.kind or event.after["entity_type"] == self.kind
        self.last_event = self._newest_event()

    def _compare_epochs(self, events: list[Event]) -> None:
        """Up for every owner whose part in force changed, and for nobody else."""
        now: dict[Owner, int] = dict(
            SchemaEpoch.objects.filter(entity_type=self.kind).values_list("user_id", "epoch")
        )
        changed = {
            after["owner"]
            for action, before, after in events
            if action in ("schema_version.activate", "schema_version.deactivate", "extension.change")
            or (action == "schema_version.retire" and before and before["in_force"])
        }
        assert {owner for owner in now if now[owner] != self.last_epochs.get(owner, 0)} == changed
        assert all(now[owner] > self.last_epochs.get(owner, 0) for owner in changed)
        self.last_epochs = now

    def _read(self) -> dict[Owner, EffectiveSchema]:
        return dict(effective_schemas(entity_type=self.kind, user_ids=self.owners))

    @staticmethod
    def _newest_event() -> int:
        newest: Any = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first()
        return newest or 0


@pytest.mark.rounds
@pytest.mark.django_db(transaction=True)
def test_whatever_happens_the_engine_holds_what_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_cache", SchemaCache())  # put back when the test ends
    run_state_machine_as_test(
        Engine,
        settings=settings(
            max_examples=rounds(18),
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
