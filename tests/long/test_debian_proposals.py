"""The whole package index of Debian: what many maintainers do is proposed, reviewed, applied to all, and undone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from fragments.domain.trial import Trial
from fragments.models import RawFragment
from registry.models import (
    ExtensionRevision,
    Proposal,
    ProposalEffect,
    ProposalState,
    ProposalTrial,
    UserQuota,
)
from registry.selectors_trials import TRY
from registry.services.proposal_apply import proposal_apply, proposal_undo
from registry.services.proposal_reviews import proposal_approve
from registry.services.proposal_trials import trial_request
from registry.services.proposals import proposal_submit
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.jobs import job_alive
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import owners_by_username
from tests.factories import make_extension, make_login, make_version
from tests.long.test_debian_index import PACKAGE, SCHEMA, carriers, load, read_index
from tests.proposals.standing import work

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True)]

FIELD = "Ruby-Versions"
#: Everything that the undo has to bring back, as hashes: what is declared, counted, shown and waits.
CONTENT = {
    "in force": "SELECT user_id, definition_hash FROM schema_registry WHERE is_active",
    "extensions": "SELECT user_id, additional_fields, field_overrides FROM user_schema_extensions WHERE is_active",
    "quotas": "SELECT user_id, schema_count, total_fields FROM user_schema_quotas",
    "snapshots": """SELECT id, "values", provenance, merge_state, deleted, observation_count, reduction_hash
                      FROM entity_snapshots""",
    "fragments": "SELECT id, fragment_key, value, lifecycle_state, reason FROM raw_fragments",
    "aggregates": """SELECT user_id, fragment_key, sample_count, type_counts, format_counts, unique_sources
                       FROM raw_fragment_aggregates WHERE sample_count > 0""",
}


def content() -> dict[str, str]:
    """The hash of each part."""
    with connection.cursor() as cursor:
        hashes = {}
        for part, query in CONTENT.items():
            cursor.execute(
                f"SELECT md5(string_agg(md5(one::text), '' ORDER BY one::text)) FROM ({query}) AS one"
            )
            (hashes[part],) = cursor.fetchone()
        return hashes


def told(command: str, *options: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command(command, *options, "--json", stdout=out, stderr=io.StringIO())
    said: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return said


def test_from_what_maintainers_do_to_everybodys_schema_and_back(tmp_path: Path) -> None:
    records = read_index(tmp_path)
    definition = json.loads(SCHEMA.read_text(encoding="utf-8"))["definition"]
    make_version(document=definition, entity_type=PACKAGE)
    load(records, PACKAGE, "index")
    having = carriers(records)
    owners = owners_by_username(having[FIELD].keys())
    # Some of them have declared it themselves, one of them as something else.
    declaring = sorted(owners.values())[:8]
    for owner in declaring[1:]:
        make_extension(
            user=owner_of(owner),
            document={"additional_fields": {FIELD: {"type": "string"}}},
            entity_type=PACKAGE,
        )
    odd: Any = {"additional_fields": {FIELD: {"type": "array"}}}
    make_extension(user=owner_of(declaring[0]), document=odd, entity_type=PACKAGE)
    work()

    call_command("analyze_patterns", "--entity-type", PACKAGE, stdout=io.StringIO())
    proposed = {one.subject: one for one in Proposal.objects.filter(entity_type=PACKAGE)}
    assert {FIELD, "Build-Ids"} <= proposed.keys()
    assert "Ghc-Package" not in proposed
    assert all(len(having[name]) >= 10 for name in proposed), "fewer than ten users"
    assert all(one.evidence["users"] == len(having[name]) for name, one in proposed.items())
    before = content()

    author, reviewer = (Actor.login(make_login(role="schema_admin")) for _ in range(2))
    proposal = proposal_submit(proposal_id=proposed[FIELD].pk, actor=author)
    trial_request(proposal_id=proposal.pk, actor=author)
    assert job_alive(TRY, str(ProposalTrial.objects.latest("pk").pk)) is not None
    work()
    trial = Trial.from_json(ProposalTrial.objects.latest("pk").result)
    assert trial is not None
    assert content() == before, "a trial changes nothing"
    proposal_approve(proposal_id=proposal.pk, actor=reviewer, content_hash=proposal.content_hash)
    assert proposal_apply(proposal_id=proposal.pk, actor=reviewer).state == ProposalState.APPLIED
    work()

    packages = {package for ours in having[FIELD].values() for package in ours}
    with connection.cursor() as cursor:
        cursor.execute('SELECT entity_key FROM entity_snapshots WHERE "values" ? %s', [FIELD])
        shown = {key for (key,) in cursor.fetchall()}
    odd_ones = having[FIELD][next(name for name, pk in owners.items() if pk == declaring[0])]
    assert shown == packages - odd_ones
    held = ExtensionRevision.objects.filter(is_active=True, user__in=declaring[1:])
    assert [one.additional_fields for one in held] == [{}] * (len(declaring) - 1)
    quotas = UserQuota.objects.filter(user__in=declaring[1:])
    assert set(quotas.values_list("total_fields", flat=True)) == {0}
    effect = ProposalEffect.objects.get(proposal=proposal, act="apply", field=FIELD)
    foreseen = trial.fields[FIELD]
    assert (effect.absorbed, effect.promoted) == (foreseen.absorbed, foreseen.fits + foreseen.converted)
    assert effect.absorbed == len(declaring) - 1
    assert (
        not RawFragment.objects.filter(fragment_key=FIELD, lifecycle_state="active")
        .exclude(user=declaring[0])
        .exists()
    )
    clean()

    proposal_undo(proposal_id=proposal.pk, actor=author)
    work()
    assert content() == before
    clean()
    print(f"{len(records)} records, {sorted(proposed)} proposed; {foreseen}")


def clean() -> None:
    """Nothing that verification looks at is divergent, or waits."""
    checks = told("verify", "--all")["checks"]
    assert {name: (one["divergent"], one["waiting"]) for name, one in checks.items()} == dict.fromkeys(
        checks, (0, 0)
    )


def owner_of(pk: int) -> User:
    return User.objects.get(pk=pk)
