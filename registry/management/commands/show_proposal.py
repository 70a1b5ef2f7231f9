"""show_proposal ID"""

from typing import Any

from django.core.management.base import CommandParser

from registry.management.proposals import standing_in_words, standing_json
from registry.selectors_proposals import proposal_standing
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand


class Command(ServiceCommand):
    help = (
        "Tells all about a proposal: what it changes, what was decided and said, its trials, and what it waits for. A "
        "decision names the content that is printed here."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("proposal", metavar="ID", type=int, help="number of the proposal")

    def run(self, **options: Any) -> JsonObject:
        standing = proposal_standing(proposal_id=options["proposal"])
        for line in standing_in_words(standing):
            self.say(line)
        return standing_json(standing)
