"""Whatever is done, by services or by SQL: counters are the count, maxima what was granted, notices the crossings, and
nothing grows past a maximum but by adoption and undo (I4)."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from registry.models import QuotaNotice, SchemaVersion
from registry.selectors import extension_in_force
from registry.selectors_quotas import usage_counted
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from registry.services.extensions import extension_remove, extension_remove_fields, extension_save
from registry.services.quota_requests import (
    quota_request_approve,
    quota_request_create,
    quota_request_reject,
    quota_request_withdraw,
)
from registry.services.quotas import (
    quota_grants_expire,
    quota_may_pass,
    quota_recount,
    quota_set_maximum,
)
from registry.services.schemas import schema_register
from registry.services.settling import extensions_settle
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import AuditEvent, User
from tests.factories import SHELL, make_compatibility, make_login, make_user
from tests.quotas import counted, counters, fields_named, maxima
from tests.registry.quota_model import Crossing, Grant, Pair, QuotaModel
from tests.rounds import rounds

TYPES = 3
USERS = 2

users = st.integers(0, USERS - 1)
types = st.integers(0, TYPES - 1)
#: Mostly the type that can be extended from the beginning.
extended_types = st.sampled_from([0, 0, 0, *range(TYPES)])
sizes = st.integers(0, 9)
#: Small ones, so that they are reached; and none, which leaves a limit as it is.
some_maxima = st.tuples(st.none() | st.integers(0, 4), st.none() | st.integers(0, 9)).filter(
    lambda pair: pair != (None, None)
)

#: The last two revisions of every extension of a user take each other's place, in one statement.
SWAP = (
    "UPDATE user_schema_extensions AS e SET is_active = NOT e.is_active"
    "  FROM (SELECT user_id, entity_type, max(revision) AS last FROM user_schema_extensions"
    "         GROUP BY user_id, entity_type HAVING count(*) > 1) AS n"
    " WHERE e.user_id = n.user_id AND e.entity_type = n.entity_type AND e.revision IN (n.last, n.last - 1)"
    "   AND n.user_id = %s"
)
#: What else somebody may do with psql, each about one user.
STATEMENTS = {
    "retire some": (
        "UPDATE schema_registry SET is_active = false, retired_at = now() WHERE user_id = %s AND major %% 2 = 0"
    ),
    "bring all back": "UPDATE schema_registry SET retired_at = NULL WHERE user_id = %s",
    # Of everybody at once: what is refused to one is refused to all.
    "bring back everybody's": "UPDATE schema_registry SET retired_at = NULL WHERE user_id >= %s",
    "delete drafts": "DELETE FROM schema_registry WHERE user_id = %s AND first_activated_at IS NULL",
    "set counters": "UPDATE user_schema_quotas SET schema_count = 0, total_fields = 0 WHERE user_id = %s",
    "set maxima": "UPDATE user_schema_quotas SET max_schemas = 99, max_fields = 999 WHERE user_id = %s",
}

_kinds = itertools.count(1)


class Quotas(RuleBasedStateMachine):
    """Two users and three entity types of their own, in which every rule is one transaction."""

    @initialize()
    def begin(self) -> None:
        """One of the types can be extended; both users have something, and little room for more."""
        number = next(_kinds)
        self.types = [f"q{number}_{kind}" for kind in range(TYPES)]
        self.users = [make_user() for _ in range(USERS)]
        self.model = {user.pk: QuotaModel() for user in self.users}
        self.asker = Actor.login(make_login(is_superuser=True))
        self.decider = Actor.login(make_login(is_superuser=True))
        self.before: dict[int, Pair] = {user.pk: (0, 0) for user in self.users}
        self.passed: set[str] = set()
        for entity_type in self.types:
            make_compatibility(entity_type=entity_type)
        self.global_schema(kind=0, size=2)
        for user in range(USERS):
            self.register(user=user, kind=1, size=2)
            for size in (1, 3):
                self.extend(user=user, kind=0, size=size, is_shared=False)
            self.set_maximum(user=user, given=(3, 6))

    # --- schemas ----------------------------------------------------------------------------------------------
    @rule(user=users, kind=types, size=sizes)
    def register(self, user: int, kind: int, size: int) -> None:
        self._step(lambda: self._register(self.users[user], kind, size))

    @rule(user=users, kind=types, size=sizes)
    def register_and_activate(self, user: int, kind: int, size: int) -> None:
        """As a command does it, in one transaction: where one part is refused, so is the other."""

        def act() -> None:
            self._register(self.users[user], kind, size)
            self._activate(self.users[user], kind, -1)

        self._step(act)

    @rule(kind=types, size=sizes)
    def global_schema(self, kind: int, size: int) -> None:
        """It comes, or changes; for users with a schema of their own there is something to adopt then."""

        def act() -> None:
            self._register(None, kind, size)
            self._activate(None, kind, -1)

        self._step(act)

    @rule(user=users, kind=types, move=st.sampled_from(["activate", "deactivate", "retire"]), number=sizes)
    def move(self, user: int, kind: int, move: str, number: int) -> None:
        owned: Any = {"entity_type": self.types[kind], "user_id": self.users[user].pk, "actor": SHELL}
        moves: dict[str, Callable[[], object]] = {
            "activate": lambda: self._activate(self.users[user], kind, number),
            "deactivate": lambda: schema_deactivate(**owned),
            "retire": lambda: schema_retire(**owned),
        }
        self._step(moves[move])

    # --- extensions -------------------------------------------------------------------------------------------
    @rule(user=users, kind=extended_types, size=sizes, is_shared=st.booleans())
    def extend(self, user: int, kind: int, size: int, is_shared: bool) -> None:
        """Some of the fields are named like those that the global schema may gain, and will be absorbed."""
        document: Any = {"additional_fields": fields_named(size, "f" if is_shared else "own_")}
        self._step(lambda: extension_save(**self._extended(user, kind), document=document))

    @rule(user=users, kind=extended_types)
    def rename_fields(self, user: int, kind: int) -> None:
        """Another revision with as many fields: what is used stays the same."""
        present = extension_in_force(entity_type=self.types[kind], user_id=self.users[user].pk)
        if present is not None:
            names = {f"new_{name}": field for name, field in present.additional_fields.items()}
            document: Any = {"additional_fields": names}
            self._step(lambda: extension_save(**self._extended(user, kind), document=document))

    @rule(user=users, kind=extended_types, size=sizes)
    def remove_fields(self, user: int, kind: int, size: int) -> None:
        names = fields_named(size, "own_").keys()
        self._step(lambda: extension_remove_fields(**self._extended(user, kind), names=names))

    @rule(user=users, kind=extended_types)
    def take_back(self, user: int, kind: int) -> None:
        self._step(lambda: extension_remove(**self._extended(user, kind)))

    @rule(kind=types)
    def settle(self, kind: int) -> None:
        """Adoption and absorption; the first may pass, and neither is ever refused."""
        self._step(
            lambda: extensions_settle(entity_type=self.types[kind], after_user=0, actor=SHELL),
            may_pass="adoption",
        )

    @rule(user=users, kind=types, size=sizes)
    def undo(self, user: int, kind: int, size: int) -> None:
        def act() -> None:
            with quota_may_pass(cause="undo", actor=SHELL):
                self._register(self.users[user], kind, size)

        self._step(act, may_pass="undo")

    # --- maxima -----------------------------------------------------------------------------------------------
    @rule(user=users, given=some_maxima)
    def set_maximum(self, user: int, given: tuple[int | None, int | None]) -> None:
        owner, (schemas, fields) = self.users[user], given
        done = self._step(
            lambda: quota_set_maximum(
                user_id=owner.pk, actor=SHELL, note="x", max_schemas=schemas, max_fields=fields
            )
        )
        assert done
        self.model[owner.pk].set_by_hand(schemas, fields)

    @rule(
        user=users,
        more=st.integers(1, 4),
        decision=st.sampled_from(["approve", "less", "until", "reject", "withdraw"]),
    )
    def upgrade(self, user: int, more: int, decision: str) -> None:
        """Asked for and decided: as asked, less, until a time that is far, or not at all."""
        owner = self.users[user]
        present = self.model[owner.pk].maxima[1]
        granted = present + (more - 1 if decision == "less" else more)

        def act() -> None:
            request = quota_request_create(
                user_id=owner.pk, actor=self.asker, reason="x", max_fields=present + more
            )
            decided: Any = {"request_id": request.pk}
            if decision == "withdraw":
                quota_request_withdraw(**decided, actor=self.asker)
            elif decision == "reject":
                quota_request_reject(**decided, actor=self.decider, note="no")
            else:
                until = timezone.now() + timedelta(days=1) if decision == "until" else None
                quota_request_approve(**decided, actor=self.decider, max_fields=granted, until=until)

        done = self._step(act)
        assert done == (granted > present)
        if done and decision not in ("reject", "withdraw"):
            self.model[owner.pk].grant(Grant(None, granted, has_end=decision == "until"))

    @rule(user=users, given=some_maxima)
    def grant_until_now(self, user: int, given: tuple[int | None, int | None]) -> None:
        """A grant whose end has just come: the guards take it from SQL, and it holds until the job ends it."""
        owner = self.users[user]
        done = self._execute(
            "INSERT INTO quota_grants (user_id, max_schemas, max_fields, until, granted_by_name, note)"
            " VALUES (%s, %s, %s, now(), 'x', '')",
            owner.pk,
            *given,
        )
        assert done
        self.model[owner.pk].grant(Grant(*given, has_end=True, is_over=True))

    @rule()
    def expire(self) -> None:
        assert self._step(lambda: quota_grants_expire(actor=SHELL))
        for model in self.model.values():
            model.expire()

    @rule(user=users)
    def recount(self, user: int) -> None:
        """There is never anything to put right."""
        assert quota_recount(user_id=self.users[user].pk, actor=SHELL) is None

    # --- round the services -----------------------------------------------------------------------------------
    @rule(user=users, statement=st.sampled_from(sorted(STATEMENTS)))
    def sql(self, user: int, statement: str) -> None:
        self._execute(STATEMENTS[statement], self.users[user].pk)

    @rule(user=users)
    def sql_swap_extensions(self, user: int) -> None:
        self._execute(SWAP, self.users[user].pk)

    # --- what always holds ------------------------------------------------------------------------------------
    @invariant()
    def counters_are_the_count(self) -> None:
        for user in self.users:
            assert counters(user) == counted(user) == usage_counted(user_ids=[user.pk])[user.pk]

    @invariant()
    def maxima_are_what_was_granted(self) -> None:
        for user in self.users:
            assert maxima(user) == self.model[user.pk].maxima

    @invariant()
    def nothing_grows_past_a_maximum_but_by_adoption_and_undo(self) -> None:
        for user in self.users:
            now, model = counters(user), self.model[user.pk]
            for usage, was, maximum in zip(now, self.before[user.pk], model.maxima, strict=True):
                assert usage <= max(was, maximum) or str(user.pk) in self.passed
            self.before[user.pk] = now
        self.passed = set()

    @invariant()
    def notices_are_the_crossings(self) -> None:
        for user in self.users:
            model = self.model[user.pk]
            model.see(counters(user))
            rows = list(QuotaNotice.objects.filter(user=user))
            still: set[Crossing] = {(row.limit, row.threshold) for row in rows if row.cleared_at is None}
            assert still == model.crossed
            assert Counter((row.limit, row.threshold) for row in rows) == model.noted

    # --- how it is done ---------------------------------------------------------------------------------------
    def _step(self, act: Callable[[], object], *, may_pass: str = "") -> bool:
        """Says whether it was done. A refusal is about what would have been too much, and nothing has happened."""
        before = {user.pk: counters(user) for user in self.users}
        last = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
        is_done = False
        refused: DomainError | None = None
        try:
            with transaction.atomic():
                act()
            is_done = True
        except DomainError as error:
            refused = error
        except (IntegrityError, DataError):
            # What SQL wanted is no better.
            pass
        if refused is not None and refused.code == "quota_exceeded":
            # Neither adoption nor undo is refused for want of it.
            assert not may_pass
            assert refused.context["wanted"] > refused.context["maximum"]
        now = {user.pk: counters(user) for user in self.users}
        assert is_done or now == before
        passes = AuditEvent.objects.filter(id__gt=last, action="quota.pass")
        assert {event.reason for event in passes} <= ({may_pass} if may_pass else set())
        self.passed = {event.target_id for event in passes}
        return is_done

    def _execute(self, statement: str, *parameters: Any) -> bool:
        def act() -> None:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)

        return self._step(act)

    def _register(self, user: User | None, kind: int, size: int) -> None:
        schema_register(
            entity_type=self.types[kind],
            document={"fields": fields_named(size)},
            user_id=user.pk if user else None,
            actor=SHELL,
        )

    def _activate(self, user: User | None, kind: int, number: int) -> None:
        """That version, counted from the oldest; -1 is the newest."""
        versions = list(SchemaVersion.objects.filter(user=user, entity_type=self.types[kind]).order_by("pk"))
        if versions:
            schema_activate(
                version_id=versions[number % len(versions)].pk, actor=SHELL, without_review="a test"
            )

    def _extended(self, user: int, kind: int) -> dict[str, Any]:
        return {"entity_type": self.types[kind], "user_id": self.users[user].pk, "actor": SHELL}


@pytest.mark.rounds
@pytest.mark.django_db(transaction=True)
def test_whatever_happens_quotas_hold_what_the_model_says() -> None:
    run_state_machine_as_test(
        Quotas,
        settings=settings(
            max_examples=rounds(7),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
