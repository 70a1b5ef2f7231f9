"""list_proposals [--entity-type T] [--state S] [--all]"""

from typing import Any

from django.core.management.base import CommandParser

from registry.domain.proposal import OPEN, State
from registry.management.documents import entity_type_named
from registry.management.proposals import proposal_in_words, proposal_json
from registry.selectors_proposals import proposals_list
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand

#: Proposals that are listed at most.
LISTED = 1000


class Command(ServiceCommand):
    help = "Lists the proposals of which something may still come, the newest first; or those of one state, or all."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--entity-type", metavar="T", help="only for this type")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--state", choices=[state.value for state in State], help="only in this state")
        which.add_argument("--all", action="store_true", help="those that ended, too")

    def run(self, **options: Any) -> JsonObject:
        named = options["entity_type"]
        states = None if options["all"] else OPEN
        if options["state"] is not None:
            states = (State(options["state"]),)
        found = proposals_list(entity_type=None if named is None else entity_type_named(named), states=states)
        proposals = list(found[: LISTED + 1])
        listed = proposals[:LISTED]
        for proposal in listed:
            self.say(proposal_in_words(proposal))
        if not listed:
            self.say("There are none.")
        if proposals[LISTED:]:
            self.say(f"These are the newest {LISTED}; name a type or a state to see others.")
        return {
            "proposals": [proposal_json(proposal) for proposal in listed],
            "is_complete": len(proposals) == len(listed),
        }
