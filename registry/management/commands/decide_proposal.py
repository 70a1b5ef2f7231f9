"""decide_proposal ID (--approve|--request-changes|--reject|--submit|…) [--content HASH] [--note TEXT] --as LOGIN"""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.management.proposals import USAGE_CODES, proposal_in_words, proposal_json
from registry.management.quotas import add_login, login_named
from registry.services.proposal_moves import proposal_by_id
from registry.services.proposal_reviews import proposal_approve, proposal_reject, proposal_request_changes
from registry.services.proposals import (
    proposal_comment,
    proposal_rebase,
    proposal_submit,
    proposal_withdraw,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand

_VERDICTS = {
    "approve": proposal_approve,
    "request_changes": proposal_request_changes,
    "reject": proposal_reject,
}
_MOVES = {"submit": proposal_submit, "withdraw": proposal_withdraw}


class Command(ServiceCommand):
    help = (
        "Brings a proposal into review, or decides it: what is decided about is the content that show_proposal prints. "
        "Whoever wrote it, or edited it last, cannot approve it."
    )
    usage_codes = USAGE_CODES

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("proposal", metavar="ID", type=int, help="number of the proposal")
        what = parser.add_mutually_exclusive_group(required=True)
        for name, says in (
            ("approve", "let it be applied, once enough others agree"),
            ("request_changes", "give it back; needs --note"),
            ("reject", "end it; needs --note"),
            ("submit", "bring it into review"),
            ("withdraw", "end it, by its author"),
            ("rebase", "a stale one begins from what is in force now"),
        ):
            flag = f"--{name.replace('_', '-')}"
            what.add_argument(flag, dest="action", action="store_const", const=name, help=says)
        what.add_argument("--comment", metavar="TEXT", help="say something about it")
        parser.add_argument(
            "--content",
            metavar="HASH",
            help="the content that is decided about; needed for --approve, --request-changes and --reject",
        )
        parser.add_argument("--note", default="", help="why")
        add_login(parser)

    def run(self, **options: Any) -> JsonObject:
        actor = login_named(options["login"])
        more = self._done(actor, options)
        proposal = proposal_by_id(options["proposal"])
        self.say(proposal_in_words(proposal))
        return {**proposal_json(proposal), **more}

    def _done(self, actor: Actor, options: dict[str, Any]) -> JsonObject:
        number, action, note = options["proposal"], options["action"], options["note"]
        verdict = _VERDICTS.get(action)
        if (options["content"] is None) != (verdict is None):
            raise CommandError(
                "--approve, --request-changes and --reject take the --content that show_proposal prints, and no "
                "others.",
                returncode=EXIT_USAGE,
            )
        if note and action in (None, "rebase"):
            raise CommandError("A comment or a rebase takes no --note.", returncode=EXIT_USAGE)
        if verdict is not None:
            verdict(proposal_id=number, actor=actor, content_hash=options["content"], note=note)
            return {}
        if action is None:
            comment = proposal_comment(proposal_id=number, actor=actor, text=options["comment"])
            return {"comment": comment.pk}
        if action != "rebase":
            _MOVES[action](proposal_id=number, actor=actor, note=note)
            return {}
        moved = proposal_rebase(proposal_id=number, actor=actor)
        for path in moved.clashes:
            self.say(f"  {path}: both sides changed it")
        return {"clashes": list(moved.clashes), "before": moved.before, "after": moved.after}
