"""show_quota [OWNER]"""

from typing import Any

from django.core.management.base import CommandParser

from registry.management.quotas import quota_json, request_in_words, request_json
from registry.models import QuotaGrant, QuotaRequest, RequestState
from registry.providers import fields_without_data
from registry.selectors_quotas import largest_consumers, quota_of, quotas_near
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import owners_by_id, user_by_name

#: Entity types and owners that are listed.
LISTED = 20


class Command(ServiceCommand):
    help = (
        "Tells how much of its quota an owner uses, by what, and what could be given back; without OWNER, who comes "
        "up to a maximum, and which upgrade requests wait."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("owner", metavar="OWNER", nargs="?", help="id, e-mail or username")

    def run(self, **options: Any) -> JsonObject:
        if options["owner"] is None:
            return self._overview()
        return self._one(user_by_name(options["owner"]))

    def _one(self, owner: User) -> JsonObject:
        quota = quota_of(user_id=owner.pk)
        consumers = largest_consumers(user_id=owner.pk, limit=LISTED)
        unused = fields_without_data(user_id=owner.pk, limit=LISTED)
        self.say(f"{owner} uses {quota.schemas.in_words} and {quota.fields.in_words}.")
        for consumer in consumers:
            self.say(f"  {consumer.entity_type}: {consumer.fields} fields")
        for found in unused:
            self.say(f"  {found.entity_type}: no data in {', '.join(found.names)} {found.in_words}")
        grants: list[Json] = []
        for grant in QuotaGrant.objects.filter(user=owner, ended_at__isnull=True, until__isnull=False):
            self.say(f"  until {grant.until:%Y-%m-%d %H:%M} UTC by grant {grant.pk}: {_maxima(grant)}")
            grants.append({"grant": grant.pk, "until": grant.until.isoformat() if grant.until else None})
        waiting = self._waiting(owner)
        return {
            "user": owner.username,
            **quota_json(quota),
            "consumers": [{"entity_type": one.entity_type, "fields": one.fields} for one in consumers],
            "without_data": [found.to_json() for found in unused],
            "ending_grants": grants,
            "requests": waiting,
        }

    def _overview(self) -> JsonObject:
        near = quotas_near(limit=LISTED)
        names = owners_by_id([quota.user_id for quota in near])
        for quota in near:
            uses = " and ".join(use.in_words for use in quota.near)
            self.say(f"{names.get(quota.user_id, quota.user_id)} uses {uses}.")
        if not near:
            self.say("Nobody comes up to a maximum.")
        return {
            "near": [{"user": names.get(quota.user_id), **quota_json(quota)} for quota in near],
            "requests": self._waiting(None),
        }

    def _waiting(self, owner: User | None) -> list[Json]:
        requests = QuotaRequest.objects.filter(state=RequestState.PENDING).select_related("user")
        if owner is not None:
            requests = requests.filter(user=owner)
        found = list(requests.order_by("pk")[:LISTED])
        for request in found:
            self.say(f"{request_in_words(request, request.user)} {request.reason}")
        return [request_json(request, request.user) for request in found]


def _maxima(grant: QuotaGrant) -> str:
    named = ((grant.max_schemas, "schemas"), (grant.max_fields, "fields"))
    return " and ".join(f"{number} {limit}" for number, limit in named if number is not None)
