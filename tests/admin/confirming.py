"""Deciding as people do: looking at what it changes, and confirming it there."""

import re
from html import unescape
from typing import Any

from django.test import Client


def shown_at(client: Client, url: str) -> str:
    """What was in force when the preview was made, as its form carries it."""
    found = re.search(r'name="shown" value="([^"]*)"', client.get(url).content.decode())
    assert found is not None, f"{url} offers nothing to confirm"
    return unescape(found.group(1))


def confirm(client: Client, url: str, **said: str) -> Any:
    """The preview is looked at and confirmed; the page after it."""
    return client.post(url, {"shown": shown_at(client, url), **said}, follow=True)
