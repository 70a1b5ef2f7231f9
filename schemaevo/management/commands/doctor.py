"""`manage.py doctor`: looks at every part of the installation and says what is wrong and what to do."""

from typing import Any

from django.core.management.base import CommandParser

from schemaevo.doctor import Finding, examine
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.commands import EXIT_FAILED, ServiceCommand


class Command(ServiceCommand):
    help = "Looks at every part of the installation: one line each, with what to do. Changes nothing."

    def add_options(self, parser: CommandParser) -> None:
        """Nothing beside --json."""

    def run(self, **options: Any) -> JsonObject:
        findings = examine()
        width = max(len(finding.part) for finding in findings)
        for finding in findings:
            self.say(_line(finding, width))
        parts: list[Json] = [
            {"part": f.part, "state": f.state, "detail": f.detail, "advice": f.advice} for f in findings
        ]
        return {"ok": all(finding.state != "wrong" for finding in findings), "parts": parts}

    def exit_code(self, result: JsonObject) -> int:
        """1 if any part is wrong."""
        return 0 if result["ok"] else EXIT_FAILED


def _line(finding: Finding, width: int) -> str:
    advice = f"; {finding.advice}" if finding.advice else ""
    return f"{finding.part:<{width}}  {finding.state:<7}  {finding.detail}{advice}"
