"""Random users of a type, random changes of its global schema, and what applying one really does."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from django.db import connection

from fragments.domain.trial import Trial
from fragments.models import LifecycleState, RawFragment
from fragments.services.backfill_runs import PROMOTE
from registry.domain.definition import NO_FIELDS, Definition
from registry.domain.edit_documents import parse_edits
from registry.domain.edits import edited
from registry.domain.fit import fits
from registry.models import ExtensionRevision, Proposal, ProposalTrial, UserQuota
from registry.selectors import effective_schema
from registry.selectors_trials import trial_job
from registry.services.activation import SETTLE
from registry.services.proposal_trials import trial_request
from registry.services.restoring import RESTORE
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject, decode_trusted
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, User
from snapshots.models import EntitySnapshot
from snapshots.services.observations import RECOMPUTE
from tests.factories import THING, make_extension, make_login, make_run, make_user, make_version
from tests.lifecycle import put
from tests.snapshots.reduction_model import CONVERTED_FROM
from tests.snapshots.store_draws import (
    CONVERTED_TO,
    FEEDS,
    NAMES,
    POLICIES,
    draw_batch,
    draw_document,
    draw_field,
)
from tests.snapshots.store_model import OWNER

USERS = 3


def tried(proposal: Proposal, actor: Actor | None = None) -> ProposalTrial:
    """A trial of the proposal that was asked for and made."""
    actor = actor or Actor.login(make_login(role="schema_admin"))
    trial = trial_request(proposal_id=proposal.pk, actor=actor)
    job = trial_job(trial)
    assert job is not None
    run_job(str(job.pk))
    trial.refresh_from_db()
    return trial


def result_of(trial: ProposalTrial) -> Trial:
    """The result of a trial that is done."""
    result = Trial.from_json(trial.result)
    assert result is not None, (trial.state, trial.error)
    return result


def work(dice: random.Random | None = None) -> list[Job]:
    """All jobs that a change of schemas asks for are done, in any order; those that were."""
    done: list[Job] = []
    live = Job.objects.filter(kind__in=[SETTLE, RESTORE, PROMOTE, RECOMPUTE], state__in=LIVE_JOB_STATES)
    while jobs := list(live.order_by("kind", "target")):
        job = dice.choice(jobs) if dice else jobs[0]
        run_job(str(job.pk))
        job.refresh_from_db()
        done.append(job)
    return done


def recomputed_by(jobs: list[Job]) -> int:
    """How many snapshots the recomputations among the jobs did, by their own count."""
    results = [job.result for job in jobs if job.kind == RECOMPUTE]
    return sum(int(str(result["recomputed"])) for result in results if result)


class Population:
    """Some users of a type, each with something of their own or nothing, and their records."""

    def __init__(self, dice: random.Random, *, has_global: bool) -> None:
        self.dice = dice
        self.users = [make_user() for _ in range(USERS)]
        if dice.random() < 0.3:
            # From before any schema: some of it is in observations, and comes to nothing new.
            self.ingest()
        if not has_global or dice.random() < 0.3:
            for user in self.users:
                if dice.random() < 0.6:
                    make_version(document={**self._document()}, user=user)
            self.ingest()
        if has_global:
            make_version(document=self._document())
            work(dice)
            for user in self.users:
                if dice.random() < 0.7:
                    self._extend(user)
        for _ in range(dice.randint(1, 3)):
            self.ingest()
        work(dice)
        put(LifecycleState.ARCHIVED, lifecycle_state="active", value_type="string")

    def _document(self) -> JsonObject:
        document = draw_document(self.dice)
        document["fields"]["k"] = {"type": "string"}
        return document

    def _extend(self, user: User) -> None:
        """The user's extension has fields and overrides, as far as that is possible."""
        shared = effective_schema(entity_type=THING, user_id=None).definition
        declared = {} if shared is None else shared.fields
        document: dict[str, Any] = {"additional_fields": {}, "field_overrides": {}}
        for name in NAMES:
            if self.dice.random() < 0.4:
                continue
            if name not in declared:
                document["additional_fields"][name] = {
                    **draw_field(self.dice),
                    "merge_policy": self.dice.choice(POLICIES),
                }
            else:
                drawn = self._converters(declared[name].type.value)
                document["field_overrides"][name] = self.dice.choice(
                    [{"converters": drawn}, {"merge_policy": self.dice.choice(POLICIES)}]
                )
        try:
            make_extension(user=user, document=document)
        except DomainError:
            # What was adopted before stands against it.
            return

    def _converters(self, kind: str) -> list[str]:
        ending = [name for name in CONVERTED_FROM if CONVERTED_TO[name] == kind]
        return self.dice.sample(ending, self.dice.randint(0, len(ending)))

    def ingest(self) -> None:
        feed = self.dice.choice(FEEDS)
        records = [
            {**record, OWNER: self.users[number % USERS].username} for number, record in draw_batch(self.dice)
        ]
        options = {name: value for name, value in feed.options.items() if name != "id_field"}
        make_run(records=records, source=feed.source, entity_type=THING, **options)

    def edits(self) -> list[JsonObject]:
        """A change that a proposal may make, as far as there is one."""
        shared = effective_schema(entity_type=THING, user_id=None).definition or NO_FIELDS
        found: list[JsonObject] = []
        for name in self.dice.sample(NAMES, self.dice.randint(1, len(NAMES))):
            edit = self._edit(shared, name)
            try:
                edited(shared, parse_edits([*found, edit]))
            except DomainError:
                continue
            found.append(edit)
        return found

    def _edit(self, shared: Definition, name: str) -> JsonObject:
        held = shared.fields.get(name)
        if held is None:
            added: Any = {"op": "add_field", "field": name, "declaration": draw_field(self.dice)}
            return {**added, "merge_policy": self.dice.choice(POLICIES)}
        converters = self._converters(held.type.value)
        possible: list[Any] = [
            {"op": "remove_field", "field": name},
            {"op": "set_policy", "field": name, "merge_policy": self.dice.choice(POLICIES)},
            {"op": "set_description", "field": name, "description": "otherwise"},
            *[{"op": "add_converter", "field": name, "converter": one} for one in converters],
        ]
        chosen: JsonObject = self.dice.choice(possible)
        return chosen


class Counted:
    """What stands in the tables, so that what was done can be told from them alone."""

    def __init__(self, users: list[User]) -> None:
        ids = [user.pk for user in users]
        self.definitions = {
            user_id: effective_schema(entity_type=THING, user_id=user_id).definition for user_id in ids
        }
        self.fragments = {
            row.pk: row for row in RawFragment.objects.filter(entity_type=THING, user_id__in=ids)
        }
        self.revisions = {
            row.user_id: row for row in ExtensionRevision.objects.filter(is_active=True, user_id__in=ids)
        }
        self.quota = sum(UserQuota.objects.filter(user_id__in=ids).values_list("total_fields", flat=True))
        with connection.cursor() as cursor:
            cursor.execute(
                'SELECT id::text, reduction_hash, "values"::text FROM entity_snapshots WHERE entity_type = %s',
                [THING],
            )
            rows = cursor.fetchall()
        self.hashes = {identity: reduction_hash for identity, reduction_hash, _ in rows}
        self.values = {identity: decode_trusted(values) for identity, _, values in rows}
        self.keys = dict(EntitySnapshot.objects.values_list("pk", "entity_key"))


def waits(row: RawFragment) -> bool:
    return row.lifecycle_state in (LifecycleState.ACTIVE, LifecycleState.ARCHIVED)


def done_between(before: Counted, after: Counted, names: list[str]) -> dict[str, dict[str, Any]]:
    """What was done about each field, by the names that a trial has for it."""
    found: dict[str, dict[str, Any]] = {
        name: {"absorbed": 0, "fits": 0, "converted": 0, "misfits": Counter()} for name in names
    }
    for user_id, revision in after.revisions.items():
        held = before.revisions.get(user_id)
        if held is None or held.pk != revision.pk:
            for name in revision.absorbed:
                found[name]["absorbed"] += 1
    for pk, row in after.fragments.items():
        name, old = row.fragment_key, before.fragments[pk]
        definition = after.definitions[row.user_id]
        if name not in found or definition is None or name not in definition.fields or not waits(old):
            continue
        if waits(row):
            held_definition = before.definitions[row.user_id]
            held_field = None if held_definition is None else held_definition.fields.get(name)
            new = definition.fields[name]
            if held_field is None or _rules(held_field) != _rules(new):
                found[name]["misfits"][row.reason] += 1
        else:
            is_as_it_is = fits(row.value, definition.fields[name]) is None
            found[name]["fits" if is_as_it_is else "converted"] += 1
    return found


def _rules(field: Any) -> Any:
    return field.type, field.constraints, field.converters
