"""What the registry engine should hold, without a database: one entity type, its owners, and what each change does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.domain.compatibility import Mode, Predecessor, incompatibilities
from registry.domain.composition import compose, extension_problems
from registry.domain.definition import Definition
from registry.domain.diff import bump, next_version
from registry.domain.edits import Edit, edited
from registry.domain.extension import EMPTY_EXTENSION, Extension, parse_extension
from registry.domain.problems import InvalidDocument
from schemaevo.kernel.canonical import JsonObject, canonical_json

Owner = int | None

#: An audit event that is due: its action, `before`, and what has to be in `after`.
Event = tuple[str, dict[str, Any] | None, dict[str, Any]]


class Refusal(Exception):
    """The change must be refused with this code, and nothing changes."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Version:
    """One version of an owner's schema."""

    number: tuple[int, int, int]
    definition: Definition
    is_active: bool = False
    was_active: bool = False
    is_retired: bool = False

    @property
    def label(self) -> str:
        return ".".join(map(str, self.number))


def same(one: JsonObject, other: JsonObject) -> bool:
    """Whether two documents say the same."""
    return canonical_json(one) == canonical_json(other)


@dataclass
class Model:
    """Versions by owner, oldest number first, and revisions of extensions by user."""

    mode: Mode = Mode.NONE
    versions: dict[Owner, list[Version]] = field(default_factory=lambda: defaultdict(list))
    revisions: dict[int, list[Extension]] = field(default_factory=lambda: defaultdict(list))

    # --- what it holds ----------------------------------------------------------------------------------------
    def active(self, owner: Owner) -> Version | None:
        return next((version for version in self.versions[owner] if version.is_active), None)

    def extension(self, user: int) -> Extension | None:
        return self.revisions[user][-1] if self.revisions[user] else None

    def base(self, owner: Owner) -> Version | None:
        """What the next edit of a schema has to begin from."""
        versions, active = self.versions[owner], self.active(owner)
        if active is None:
            return versions[-1] if versions else None
        drafts = [v for v in versions if v.number > active.number and not v.was_active and not v.is_retired]
        return drafts[-1] if drafts else active

    def effective(self, owner: Owner) -> Definition | None:
        shared = self.active(None)
        if owner is None:
            return shared.definition if shared else None
        own, extension = self.active(owner), self.extension(owner)
        if shared is None:
            return own.definition if own else None
        if extension is None:
            extension = Extension.of_own_schema(own.definition) if own else EMPTY_EXTENSION
        return compose(shared.definition, extension).definition

    # --- versions ---------------------------------------------------------------------------------------------
    def register(self, owner: Owner, definition: Definition) -> list[Event]:
        versions = self.versions[owner]
        if any(same(version.definition.to_json(), definition.to_json()) for version in versions):
            return []
        self._require_compatible(definition, versions)
        present = self.active(owner) or (versions[-1] if versions else None)
        size = bump(present.definition if present else None, definition) or "patch"
        version = Version(next_version(versions[-1].number if versions else None, size), definition)
        versions.append(version)
        return [("schema_version.register", None, {"owner": owner, "number": version.label, "change": size})]

    def update(self, owner: Owner, base: str, edits: Sequence[Edit]) -> list[Event]:
        present = self.base(owner)
        if present is None:
            raise Refusal("schema_not_found")
        if present.label != base:
            raise Refusal("stale_base")
        try:
            definition = edited(present.definition, edits)
        except InvalidDocument as refusal:
            raise Refusal(refusal.code) from refusal
        return self.register(owner, definition)

    def activate(self, owner: Owner, version: Version) -> list[Event]:
        if version.is_active:
            return []
        if owner is not None and self.extension(owner) is not None and self.active(None) is not None:
            raise Refusal("extension_in_force")
        self._require_compatible(version.definition, [v for v in self.versions[owner] if v is not version])
        before = self.active(owner)
        if before is not None:
            before.is_active = False
        retired = {"retired": True} if version.is_retired else {}
        version.is_active, version.was_active, version.is_retired = True, True, False
        return [
            (
                "schema_version.activate",
                {"in_force": before.label if before else None, **retired},
                {"in_force": version.label, "owner": owner},
            )
        ]

    def deactivate(self, owner: Owner) -> list[Event]:
        version = self.active(owner)
        if version is None:
            return []
        version.is_active = False
        return [
            ("schema_version.deactivate", {"in_force": version.label}, {"in_force": None, "owner": owner})
        ]

    def retire(self, owner: Owner, version: Version | None) -> list[Event]:
        if not self.versions[owner]:
            raise Refusal("schema_not_found")
        chosen = self.versions[owner] if version is None else [version]
        events: list[Event] = []
        for one in reversed(chosen):
            if not one.is_retired:
                before = {"in_force": one.is_active, "retired": False}
                after = {"in_force": False, "retired": True, "owner": owner, "number": one.label}
                events.append(("schema_version.retire", before, after))
                one.is_active, one.is_retired = False, True
        return events

    def _require_compatible(self, definition: Definition, others: Sequence[Version]) -> None:
        active = [Predecessor(v.label, v.definition) for v in others if v.is_active]
        ever = [Predecessor(v.label, v.definition) for v in others if v.was_active]
        if incompatibilities(self.mode, definition, active[0] if active else None, ever):
            raise Refusal("incompatible_change")

    # --- extensions -------------------------------------------------------------------------------------------
    def extend(self, user: int, change: Callable[[Extension], Extension]) -> list[Event]:
        shared = self.active(None)
        if shared is None:
            raise Refusal("no_global_schema")
        present = self.extension(user)
        if present is None and self.active(user) is not None:
            raise Refusal("not_adopted")
        wanted = change(present or EMPTY_EXTENSION)
        if present is not None and same(wanted.to_json(), present.to_json()):
            return []
        try:
            parsed = parse_extension(wanted.to_json())
        except InvalidDocument as refusal:
            raise Refusal(refusal.code) from refusal
        if extension_problems(parsed, shared.definition, present or EMPTY_EXTENSION):
            raise Refusal("invalid_extension")
        return [self._revise(user, wanted, "edit", ())]

    def settle(self, users: Sequence[int]) -> list[Event]:
        shared = self.active(None)
        events: list[Event] = []
        for user in sorted(users) if shared else ():
            assert shared is not None
            own, extension = self.active(user), self.extension(user)
            if extension is not None:
                absorbed = compose(shared.definition, extension).absorbed
                if absorbed:
                    events.append(self._revise(user, extension.without(absorbed), "absorption", absorbed))
            elif own is not None:
                whole = Extension.of_own_schema(own.definition, shared.label)
                absorbed = compose(shared.definition, whole).absorbed
                events += self.retire(user, None)
                events.append(self._revise(user, whole.without(absorbed), "adoption", absorbed))
        return events

    def _revise(self, user: int, extension: Extension, cause: str, absorbed: Sequence[str]) -> Event:
        revisions = self.revisions[user]
        before = (
            {"revision": len(revisions), "fields": sorted(revisions[-1].additional_fields)}
            if revisions
            else None
        )
        revisions.append(extension)
        return (
            "extension.change",
            before,
            {
                "owner": user,
                "revision": len(revisions),
                "cause": cause,
                "fields": sorted(extension.additional_fields),
                # An override that says nothing is not stored, and so not told of.
                "overrides": sorted(
                    name for name, said in extension.field_overrides.items() if said.to_json()
                ),
                "absorbed": sorted(absorbed),
            },
        )
