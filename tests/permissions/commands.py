"""The commands that act: in the name of a login that they are told, or of whoever has the shell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fragments.models import LifecycleState, RawFragment
from fragments.models_promotions import Promotion
from schemaevo.kernel.pause import store_pause
from tests.factories import NOON, SHELL, THING, make_definition, make_file
from tests.fragments.patterns import users_with_own
from tests.lifecycle import put
from tests.permissions.proposals import (
    applied,
    approved,
    in_review,
    newest_content,
    newest_proposal,
    stale,
    written,
)
from tests.permissions.scene import LATE, OWN, Scene
from tests.permissions.services import (
    ADDED,
    diverge,
    eligible,
    falsified_aggregate,
    falsify,
    old_ledger,
    promote,
    retracted,
)
from tests.registry.commands import written as written_file


@dataclass(frozen=True)
class Command:
    """A call of a command that changes something. One with a row takes ``--as``; the others act as the shell."""

    call: Callable[[Scene], tuple[str, ...]]
    row: str = ""
    first: Callable[[Scene], object] = lambda scene: None
    #: Some of what the shell does is in no audit log: ingest leaves a run, and a sweep rings bells.
    audited: bool = True


def _file(scene: Scene, name: str, content: Any) -> str:
    return written_file(scene.store.folder / name, content)


def _records(scene: Scene) -> str:
    return str(make_file(path=scene.store.folder / "records.jsonl", records=[{"k": "new", "colour": "x"}]))


def old_fragments() -> None:
    RawFragment.objects.update(last_seen_at=NOON.replace(year=2000))


def shared_by_many() -> None:
    """So many users have a field that it is proposed for all."""
    users_with_own(10, entity_type="scented", smell="string")


def newest_promotion() -> str:
    """Its number, 0 where there is none."""
    return str(Promotion.objects.values_list("pk", flat=True).order_by("-pk").first() or 0)


def retract(scene: Scene) -> tuple[str, ...]:
    return "retract", "--source", str(scene.store.source.pk), "--user", scene.store.owner.username


def decide(*said: str) -> Callable[[Scene], tuple[str, ...]]:
    return lambda scene: ("decide_quota", str(scene.request.pk), *said)


def propose(*said: str) -> Callable[[Scene], tuple[str, ...]]:
    return lambda scene: ("decide_proposal", newest_proposal(), *said)


def review(decision: str) -> Callable[[Scene], tuple[str, ...]]:
    return lambda scene: (
        *("decide_proposal", newest_proposal(), decision),
        *("--content", newest_content(), "--note", "so"),
    )


COMMANDS = [
    Command(
        lambda s: ("request_quota", s.store.other_login.username, "--max-fields", "300", "--reason", "grows"),
        "ask for quota",
    ),
    Command(decide("withdraw"), "withdraw"),
    Command(decide("approve"), "decide requests"),
    Command(decide("approve", "--max-schemas", "11", "--until", "2099-01-31"), "decide requests"),
    Command(decide("reject", "--note", "no"), "decide requests"),
    Command(
        lambda s: ("draft_proposal", THING, _file(s, "edits.json", [ADDED]), "--title", "More"),
        "draft proposals",
    ),
    Command(
        lambda s: ("edit_proposal", newest_proposal(), _file(s, "edits.json", [ADDED])),
        "draft proposals",
        first=written,
    ),
    Command(propose("--submit"), "draft proposals", first=written),
    Command(propose("--rebase"), "draft proposals", first=stale),
    Command(propose("--comment", "so"), "draft proposals", first=written),
    Command(propose("--withdraw"), "withdraw proposals", first=written),
    Command(review("--approve"), "approve proposals", first=in_review),
    Command(review("--request-changes"), "decide proposals", first=in_review),
    Command(review("--reject"), "decide proposals", first=in_review),
    Command(lambda s: ("try_proposal", newest_proposal()), "draft proposals", first=written),
    Command(lambda s: ("apply_proposal", newest_proposal()), "apply proposals", first=approved),
    Command(lambda s: ("undo_proposal", newest_proposal()), "apply proposals", first=applied),
    # --- as the shell ---
    Command(
        lambda s: (
            "register_schema",
            _file(s, "schema.json", make_definition(k="string")),
            "--entity-type",
            "new_things",
        )
    ),
    Command(
        lambda s: (
            *("update_schema", OWN, _file(s, "edits.json", [ADDED]), "--base", "1.1.0"),
            *("--user", s.store.owner.username),
        )
    ),
    Command(lambda s: ("activate_schema", OWN, "1.1.0", "--user", s.store.owner.username)),
    Command(lambda s: ("retire_schema", OWN, "--user", s.store.owner.username)),
    Command(
        lambda s: (
            *("extend_schema", "--remove", "--entity-type", THING),
            *("--user", s.store.owner.username),
        )
    ),
    Command(lambda s: ("set_compatibility", OWN, "FULL")),
    Command(lambda s: ("settle_extensions", LATE)),
    Command(lambda s: ("recount_quotas", "--repair"), first=diverge),
    Command(
        lambda s: (
            *("ingest", _records(s), "--entity-type", THING, "--key-field", "k"),
            *("--user", s.store.owner.username),
        ),
        audited=False,
    ),
    Command(
        lambda s: (
            *("correct", THING, "one", "colour", "x"),
            *("--user", s.store.owner.username, "--reason", "a mistake"),
        )
    ),
    Command(lambda s: ("recompute_snapshots", "--entity-type", THING)),
    Command(lambda s: ("recompute_snapshots", "--refresh", "--inline")),
    Command(lambda s: (*retract(s), "--reason", "the wrong file")),
    Command(lambda s: (*retract(s), "--undo"), first=retracted),
    Command(lambda s: ("cleanup_fragments",), first=lambda s: put(LifecycleState.PROMOTED)),
    Command(lambda s: ("archive_fragments",), first=lambda s: old_fragments()),
    Command(lambda s: ("promote_field", THING, "smell", "--user", s.store.owner.username)),
    Command(
        lambda s: (
            *("auto_enhance", "--mode", "auto", "--entity-type", THING),
            *("--user", s.store.owner.username),
        )
    ),
    Command(lambda s: ("auto_enhance",), first=eligible),
    Command(lambda s: ("undo_promotion", newest_promotion()), first=lambda s: promote(s, SHELL)),
    Command(lambda s: ("ignore_fields", "X-*")),
    Command(lambda s: ("dismiss_field", THING, "smell", "--user", s.store.owner.username)),
    Command(lambda s: ("dismiss_field", THING, "smell", "--until", "2099-01-31")),
    Command(
        lambda s: ("restore_fragments", THING, "--user", s.store.owner.username, "--reason", "a mistake"),
        first=lambda s: put(LifecycleState.PENDING_DELETION),
    ),
    Command(lambda s: ("analyze_patterns", "--entity-type", "scented"), first=lambda s: shared_by_many()),
    Command(lambda s: ("rebuild_aggregates",)),
    Command(lambda s: ("rebuild_aggregates", "--inline"), first=falsified_aggregate),
    Command(lambda s: ("verify",), audited=False),
    Command(lambda s: ("verify", "--all", "--repair"), first=falsify),
    Command(lambda s: ("pause",)),
    Command(lambda s: ("resume",), first=lambda s: store_pause(actor=SHELL)),
    Command(lambda s: ("erase", "--user", s.store.owner.username, "--reason", "asked", "--yes")),
    Command(
        lambda s: (
            *("erase", THING, "one", "--user", s.store.owner.username),
            *("--reason", "wrong", "--yes"),
        )
    ),
    Command(lambda s: ("reset_admin", "--username", "root")),
    Command(lambda s: ("trim_ledgers",), first=old_ledger),
    Command(lambda s: ("sweep_jobs",), audited=False),
]

#: Commands that act for nobody, or that tests of their own run, and why they are not tried here.
OTHERS = {
    "backup": "reads the whole database, by PostgreSQL's own programs",
    "diff_schema": "reads",
    "doctor": "reads",
    "export_observations": "reads in a transaction of its own; tests/admin/test_exports.py says who is audited",
    "export_schema": "reads",
    "export_snapshots": "as export_observations",
    "list_proposals": "reads",
    "load_demo": "ingests the committed records, and plays the demo by its own logins",
    "recommend_fields": "reads",
    "restore": "replaces the whole database, by PostgreSQL's own programs",
    "schedule": "the clock: asks for periodic work as the system",
    "show_proposal": "reads",
    "show_quota": "reads",
    "show_schema": "reads",
    "show_snapshot": "reads",
    "up": "starts servers and programs",
    "work": "a worker: runs jobs as the system",
}
