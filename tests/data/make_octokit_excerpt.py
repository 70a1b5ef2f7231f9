"""Writes the excerpt in tests/data/octokit from the npm package @octokit/webhooks-examples.

`npm pack @octokit/webhooks-examples@7.6.1`, unpack it, and name its `api.github.com/index.json`. Of each example that
has a `repository` object one record is kept, without names, addresses and everything that is about a person.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

#: Nobody is named by these.
KEPT = (
    *(
        "id",
        "private",
        "fork",
        "created_at",
        "updated_at",
        "pushed_at",
        "size",
        "stargazers_count",
        "stargazers",
    ),
    *(
        "watchers_count",
        "forks_count",
        "open_issues_count",
        "language",
        "has_issues",
        "has_projects",
        "has_downloads",
    ),
    *("has_wiki", "has_pages", "has_discussions", "archived", "disabled", "allow_forking", "is_template"),
    *("web_commit_signoff_required", "topics", "visibility", "default_branch"),
)


def records(index: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One record for each example with a repository, in the order of the index, numbered."""
    found = [
        (event["name"], example["repository"])
        for event in index
        for example in event["examples"]
        if isinstance(example.get("repository"), dict)
    ]
    return [
        {
            "delivery": f"{event}-{number:03}",
            "event": event,
            **{name: repository[name] for name in KEPT if name in repository},
        }
        for number, (event, repository) in enumerate(found, 1)
    ]


def main() -> None:
    """Writes the lines, and prints of which types the values of each field are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    out = Path(__file__).parent / "octokit" / "repositories.jsonl.gz"
    found = records(json.loads(parser.parse_args().index.read_text(encoding="utf-8")))
    content = "".join(f"{json.dumps(record, separators=(',', ':'))}\n" for record in found)
    with out.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(content.encode())
    types = Counter((name, type(value).__name__) for record in found for name, value in record.items())
    print(len(found), "records", dict(types))


if __name__ == "__main__":
    main()
