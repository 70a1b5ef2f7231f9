"""correct TYPE KEY FIELD VALUE --user U --reason R [--dry-run]"""

from typing import Any

from django.core.management.base import CommandParser

from registry.domain.times import text_of_us
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.owners import user_by_name
from snapshots.domain.correction import beaten_by_words
from snapshots.selectors import snapshot_by_key
from snapshots.selectors_corrections import value_read
from snapshots.services.corrections import Wanted, correction_foresee, field_correct, require_reason


class Command(ServiceCommand):
    help = (
        "Corrects one field of one entity: an observation with a reason says what is right, and wins over all that was "
        "observed. VALUE is JSON; null clears the field. For a field of the type string or date a bare text will do. "
        "Every correction has a source of its own, and is taken back by retracting that."
    )
    usage_codes = frozenset(
        {
            *("unstorable_json", "invalid_name", "undeclared_field", "value_misfit", "repeated_items"),
            *("reason_needed", "reason_too_long"),
        }
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("key", metavar="KEY")
        parser.add_argument("field", metavar="FIELD")
        parser.add_argument("value", metavar="VALUE", help='JSON, such as 12, "red", [1, 2] or null')
        parser.add_argument("--user", required=True, metavar="U", help="owner (id, e-mail or username)")
        parser.add_argument("--reason", required=True, metavar="R", help="why; kept beside the correction")
        parser.add_argument("--dry-run", action="store_true", help="only tell what it would do")

    def run(self, **options: Any) -> JsonObject:
        owner = user_by_name(options["user"])
        snapshot = snapshot_by_key(
            entity_type=options["entity_type"],
            entity_key=options["key"],
            user_id=owner.pk,
            owner=owner.username,
        )
        field: str = options["field"]
        value = value_read(
            entity_type=snapshot.entity_type, user_id=owner.pk, field=field, text=options["value"]
        )
        entity_id, wanted, actor = str(snapshot.pk), Wanted(field, value), Actor.shell()
        is_dry_run: bool = options["dry_run"]
        result: JsonObject = {"dry_run": is_dry_run}
        if is_dry_run:
            require_reason(options["reason"])
            foreseen = correction_foresee(entity_id=entity_id, wanted=wanted, actor=actor)
        else:
            corrected = field_correct(
                entity_id=entity_id, wanted=wanted, reason=options["reason"], actor=actor
            )
            foreseen = corrected.foreseen
            result |= {"observation": corrected.observation_id, "source": corrected.source_id}
        would = "Nothing was written. It would be: " if is_dry_run else ""
        self.say(
            f"{would}{snapshot.entity_type} {snapshot.entity_key}: {field} = {_shown(foreseen.after)}, "
            f"before {_shown(foreseen.before)}"
        )
        beaten_by = beaten_by_words(foreseen)
        self.say(f"Its place is taken by {beaten_by}.")
        if foreseen.holds_off_deletion:
            self.say(
                f"From then on only records with a priority of {foreseen.standing.priority} or more delete the entity."
            )
        if not is_dry_run:
            self.say(f"To take it back, retract its source {result['source']}.")
        return {
            **result,
            "entity": entity_id,
            "entity_type": snapshot.entity_type,
            "key": snapshot.entity_key,
            "user": owner.username,
            "field": field,
            "before": foreseen.before,
            "after": foreseen.after,
            "observed_at": text_of_us(foreseen.standing.observed_us),
            "priority": foreseen.standing.priority,
            "specificity": foreseen.standing.specificity,
            "policy": foreseen.strategy.value,
            "beaten_by": beaten_by,
            "holds_off_deletion": foreseen.holds_off_deletion,
        }


def _shown(value: Json) -> str:
    return "(absent)" if value is None else canonical_json(value)
