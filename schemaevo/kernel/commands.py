"""What every management command of the project shares: one JSON result, readable errors, stable exit codes."""

import sys
from abc import abstractmethod
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from schemaevo.kernel.errors import DomainError, NotFound

EXIT_FAILED = 1
EXIT_USAGE = 2


class ServiceCommand(BaseCommand):
    """Parses, calls one service, prints. Subclasses write `add_options` and `run`.

    `run` returns the result; with ``--json`` it is printed as one JSON object, last on stdout, and what is for
    people goes to stderr. A DomainError becomes one message, or one line per problem, and exit code 1.
    """

    #: Codes of errors that mean that an option, and not the data, is wrong; so does every NotFound.
    usage_codes: frozenset[str] = frozenset()
    requires_system_checks = []  # a command must also run where something else is wrong

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
        self.add_options(parser)

    @abstractmethod
    def add_options(self, parser: CommandParser) -> None:
        """Adds what the command takes beside --json."""

    @abstractmethod
    def run(self, **options: Any) -> JsonObject:
        """Does the work, says it through `say`, and returns the result."""

    def handle(self, *args: Any, **options: Any) -> None:
        self._is_json = bool(options.pop("json"))
        try:
            result = self.run(**options)
        except DomainError as error:
            if self._is_json:
                self._print(
                    {"error": error.code, "message": _plain(error.message), "context": _plain(error.context)}
                )
            usage = isinstance(error, NotFound) or error.code in self.usage_codes
            raise CommandError(_text(error), returncode=EXIT_USAGE if usage else EXIT_FAILED) from error
        if self._is_json:
            self._print(result)
        exit_code = self.exit_code(result)
        if exit_code:
            sys.exit(exit_code)

    def exit_code(self, result: JsonObject) -> int:
        """The exit code that a finished run stands for; 0 unless a subclass knows better."""
        return 0

    def say(self, text: str) -> None:
        """Tells people; never mixes into the JSON on stdout."""
        (self.stderr if self._is_json else self.stdout).write(text, style_func=lambda message: message)

    def _print(self, result: JsonObject) -> None:
        self.stdout.write(canonical_json(result))


def _text(error: DomainError) -> str:
    """One line per problem of a document, or per reason of a refusal; else the message."""
    found = error.context.get("problems", error.context.get("reasons"))
    if not isinstance(found, list):
        return error.message
    lines = [f"  {p['path']}: {p['message']} [{p['rule']}]" for p in found if isinstance(p, dict)]
    count = error.context.get("problem_count", len(lines))
    what = "one problem" if count == 1 else f"{count} problems"
    listed = what if count == len(lines) else f"{what}, of which the first {len(lines)} are"
    return "\n".join([f"{listed} [{error.code}]", *lines])


def _plain(value: Any) -> Json:
    """A context as JSON; what JSON does not know becomes text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, Decimal)):
        return value
    # An argument may be bytes that are no text.
    return str(value).encode(errors="backslashreplace").decode()
