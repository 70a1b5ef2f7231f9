"""apply_proposal ID [--note TEXT] --as LOGIN"""

from typing import Any

from django.core.management.base import CommandParser

from registry.management.proposals import USAGE_CODES, proposal_in_words, proposal_json
from registry.management.quotas import add_login, login_named
from registry.services.proposal_apply import proposal_apply
from registry.services.proposal_moves import proposal_by_id
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand


class Command(ServiceCommand):
    help = (
        "An approved proposal is the global schema in force, at once for every user; jobs absorb, promote and "
        "recompute what follows."
    )
    usage_codes = USAGE_CODES

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("proposal", metavar="ID", type=int, help="number of the proposal")
        parser.add_argument("--note", default="", help="why")
        add_login(parser)

    def run(self, **options: Any) -> JsonObject:
        number = options["proposal"]
        proposal_apply(proposal_id=number, actor=login_named(options["login"]), note=options["note"])
        proposal = proposal_by_id(number)
        self.say(proposal_in_words(proposal))
        return proposal_json(proposal)
