"""show_proposal ID"""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from registry.management.proposals import standing_in_words, standing_json
from registry.selectors_proposals import proposal_standing
from registry.selectors_report import proposal_report
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.streams import new_file


class Command(ServiceCommand):
    help = (
        "Tells all about a proposal: what it changes, what was decided and said, its trials, and what it waits for. A "
        "decision names the content that is printed here."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("proposal", metavar="ID", type=int, help="number of the proposal")
        parser.add_argument(
            "--report",
            metavar="PATH",
            help="also write the evidence report as JSON to this file, which does not exist yet",
        )

    def run(self, **options: Any) -> JsonObject:
        standing = proposal_standing(proposal_id=options["proposal"])
        for line in standing_in_words(standing):
            self.say(line)
        result = standing_json(standing)
        if options["report"] is not None:
            report = proposal_report(proposal_id=options["proposal"])
            with new_file(Path(options["report"])) as file:
                file.write(report.as_file)
            self.say(f"Its evidence report, with the hash {report.content_hash}, is in {options['report']}.")
            result["report"] = report.content_hash
        return result
