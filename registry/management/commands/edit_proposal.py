"""edit_proposal ID [EDITS|-] [--title TEXT] [--reason TEXT] [--content HASH] --as LOGIN"""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.management.documents import changes_in_words, difference_json, read_json
from registry.management.proposals import USAGE_CODES, proposal_in_words, proposal_json
from registry.management.quotas import add_login, login_named
from registry.selectors_proposals import proposal_standing
from registry.services.proposals import proposal_edit
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand


class Command(ServiceCommand):
    help = (
        "A proposal has other edits, all of them in a JSON file, or another title or reason. Other edits void every "
        "approval."
    )
    usage_codes = USAGE_CODES

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("proposal", metavar="ID", type=int, help="number of the proposal")
        parser.add_argument("edits", metavar="EDITS", nargs="?", help="path of the JSON file, or -")
        parser.add_argument("--title", help="what it changes, in a line")
        parser.add_argument("--reason", help="why")
        parser.add_argument("--content", metavar="HASH", help="refuse if it says something else by now")
        add_login(parser)

    def run(self, **options: Any) -> JsonObject:
        if all(options[name] is None for name in ("edits", "title", "reason")):
            raise CommandError("Name a file of edits, a title or a reason.", returncode=EXIT_USAGE)
        actor = login_named(options["login"])
        edits = None
        if options["edits"] is not None:
            # A file that says null is no list of edits; None would mean that there is no file.
            document = read_json(options["edits"])
            edits = False if document is None else document
        proposal = proposal_edit(
            proposal_id=options["proposal"],
            actor=actor,
            edits=edits,
            title=options["title"],
            reason=options["reason"],
            expected_hash=options["content"],
        )
        difference = proposal_standing(proposal_id=proposal.pk).difference
        self.say(proposal_in_words(proposal))
        for line in changes_in_words(difference):
            self.say(line)
        return {**proposal_json(proposal), **difference_json(difference)}
