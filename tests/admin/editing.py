"""What a browser sends from an editor."""

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

from tests.admin.test_pages import text_of

#: Names of real data, and of people who try what happens.
ODD_NAMES = (
    "Straße",
    "lint-staged",
    "a.b",
    "x" * 128,
    "\"quoted\" 'names'",
    "<script>alert(1)</script>",
    "a/b~c",
    "field-0-name",
    "日本語",
)

Row = dict[str, Any]


def controls(*rows: Row, section: str = "field") -> dict[str, str]:
    """Rows as fields of their own, as they come where no script runs."""
    return {
        f"{section}-{place}-{part}": "on" if value is True else value
        for place, row in enumerate(rows)
        for part, value in row.items()
        if value
    }


def scripted(*rows: Row, overrides: tuple[Row, ...] = ()) -> dict[str, str]:
    """Rows as the script sends them."""
    return {"rows": json.dumps({"fields": rows, "overrides": overrides})}


def as_json(document: Any) -> dict[str, str]:
    """A document as it is typed in the JSON view."""
    return {"shown": "json", "document": document if isinstance(document, str) else json.dumps(document)}


def post(client: Client, url: str, go: str, *parts: dict[str, str], **more: str) -> HttpResponse:
    sent: dict[str, str] = {"base": "", "shown": "rows", "go": go}
    for part in parts:
        sent.update(part)
    answer: HttpResponse = client.post(url, {**sent, **more})  # type: ignore[assignment]
    return answer


def told(answer: HttpResponse) -> str:
    """What the page says that came back instead of a saved document."""
    assert answer.status_code == 200
    return text_of(answer.content.decode())


def asked(client: Client, url: str, *parts: dict[str, str], **more: str) -> dict[str, Any]:
    """What the check answers."""
    answer = post(client, url, "check", *parts, **more)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    found: dict[str, Any] = json.loads(answer.content)
    return found
