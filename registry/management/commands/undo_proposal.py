"""undo_proposal ID [--note TEXT] --as LOGIN"""

from typing import Any

from django.core.management.base import CommandParser

from registry.management.proposals import USAGE_CODES, proposal_in_words, proposal_json
from registry.management.quotas import add_login, login_named
from registry.services.proposal_apply import proposal_undo
from registry.services.proposal_moves import proposal_by_id
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand


class Command(ServiceCommand):
    help = (
        "The version before an applied proposal is in force again; jobs give back what extensions had, take "
        "fragments back and recompute."
    )
    usage_codes = USAGE_CODES

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("proposal", metavar="ID", type=int, help="number of the proposal")
        parser.add_argument("--note", default="", help="why")
        add_login(parser)

    def run(self, **options: Any) -> JsonObject:
        number = options["proposal"]
        proposal_undo(proposal_id=number, actor=login_named(options["login"]), note=options["note"])
        proposal = proposal_by_id(number)
        self.say(proposal_in_words(proposal))
        return proposal_json(proposal)
