"""request_quota OWNER [--max-schemas N] [--max-fields N] --reason TEXT --as LOGIN"""

from typing import Any

from django.core.management.base import CommandParser

from registry.management.quotas import add_login, add_maxima, login_named, request_in_words, request_json
from registry.services.quota_requests import quota_request_create
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.owners import user_by_name


class Command(ServiceCommand):
    help = "Asks for higher maxima for an owner. Somebody else decides: decide_quota, or the page of the request."
    usage_codes = frozenset({"maximum_needed", "maximum_out_of_range", "note_needed", "not_more"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("owner", metavar="OWNER", help="id, e-mail or username")
        add_maxima(parser, "that the owner should be allowed")
        parser.add_argument("--reason", required=True, help="why")
        add_login(parser)

    def run(self, **options: Any) -> JsonObject:
        owner = user_by_name(options["owner"])
        request = quota_request_create(
            user_id=owner.pk,
            actor=login_named(options["login"]),
            reason=options["reason"],
            max_schemas=options["max_schemas"],
            max_fields=options["max_fields"],
        )
        self.say(request_in_words(request, owner))
        return request_json(request, owner)
