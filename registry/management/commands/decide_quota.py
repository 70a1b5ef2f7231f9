"""decide_quota REQUEST approve|reject|withdraw [--max-schemas N] [--max-fields N] [--until T] [--note …] --as LOGIN"""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.management.quotas import (
    add_login,
    add_maxima,
    login_named,
    moment_named,
    quota_json,
    request_in_words,
    request_json,
)
from registry.models import QuotaRequest
from registry.selectors_quotas import quota_of
from registry.services.quota_requests import (
    quota_request_approve,
    quota_request_reject,
    quota_request_withdraw,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand


class Command(ServiceCommand):
    help = (
        "Decides an upgrade request: approve (as asked, less, or until a time), reject with a note, or withdraw. "
        "Whoever asked can only withdraw."
    )
    usage_codes = frozenset(
        {"maximum_out_of_range", "more_than_asked", "until_passed", "until_too_late", "note_needed"}
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("request", metavar="REQUEST", type=int, help="number of the request")
        parser.add_argument("decision", choices=["approve", "reject", "withdraw"])
        add_maxima(parser, "granted, where that is less than was asked")
        parser.add_argument("--until", metavar="T", help="date or time at which the grant ends")
        parser.add_argument("--note", default="", help="why; needed for reject")
        add_login(parser)

    def run(self, **options: Any) -> JsonObject:
        actor = login_named(options["login"])
        request = self._decided(actor, options)
        owner = request.user
        quota = quota_of(user_id=request.user_id)
        self.say(request_in_words(request, owner))
        self.say(f"{owner} uses {quota.schemas.in_words} and {quota.fields.in_words}.")
        return {**request_json(request, owner), "quota": quota_json(quota)}

    def _decided(self, actor: Actor, options: dict[str, Any]) -> QuotaRequest:
        number, decision, note = options["request"], options["decision"], options["note"]
        granted = {name: options[name] for name in ("max_schemas", "max_fields", "until")}
        if decision == "approve":
            granted["until"] = moment_named(options["until"])
            return quota_request_approve(request_id=number, actor=actor, note=note, **granted)
        if any(value is not None for value in granted.values()):
            raise CommandError("Only an approval takes maxima and an end.", returncode=EXIT_USAGE)
        if decision == "reject":
            return quota_request_reject(request_id=number, actor=actor, note=note)
        return quota_request_withdraw(request_id=number, actor=actor, note=note)
