"""draft_proposal TYPE EDITS|- --title TEXT [--reason TEXT] --as LOGIN"""

from typing import Any

from django.core.management.base import CommandParser

from registry.management.documents import changes_in_words, difference_json, read_json
from registry.management.proposals import USAGE_CODES, proposal_in_words, proposal_json
from registry.management.quotas import add_login, login_named
from registry.selectors_proposals import proposal_standing
from registry.services.proposals import proposal_draft
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand


class Command(ServiceCommand):
    help = (
        "Drafts a change to the global schema of a type, for others to approve. EDITS is a JSON file: "
        '[{"op": "add_field", "field": …, "declaration": {"type": …}}, {"op": "remove_field", …}, …].'
    )
    usage_codes = USAGE_CODES

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("edits", metavar="EDITS", help="path of the JSON file, or -")
        parser.add_argument("--title", required=True, help="what it changes, in a line")
        parser.add_argument("--reason", default="", help="why")
        add_login(parser)

    def run(self, **options: Any) -> JsonObject:
        actor = login_named(options["login"])
        proposal = proposal_draft(
            entity_type=options["entity_type"],
            title=options["title"],
            edits=read_json(options["edits"]),
            actor=actor,
            reason=options["reason"],
        )
        difference = proposal_standing(proposal_id=proposal.pk).difference
        self.say(proposal_in_words(proposal))
        for line in changes_in_words(difference):
            self.say(line)
        return {**proposal_json(proposal), **difference_json(difference)}
