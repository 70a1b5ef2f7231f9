"""Which shape is allowed: schemas, their immutable versions, and the counters that say when they changed."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from registry.domain.compatibility import DEFAULT_MODE, Mode
from registry.domain.definition import Definition
from registry.domain.extension import Extension
from registry.models_notices import ProposalNews as ProposalNews
from registry.models_notices import ProposalNotice as ProposalNotice
from registry.models_proposals import Proposal as Proposal
from registry.models_proposals import ProposalAct as ProposalAct
from registry.models_proposals import ProposalComment as ProposalComment
from registry.models_proposals import ProposalDecision as ProposalDecision
from registry.models_proposals import ProposalEffect as ProposalEffect
from registry.models_proposals import ProposalOrigin as ProposalOrigin
from registry.models_proposals import ProposalState as ProposalState
from registry.models_proposals import ProposalTrial as ProposalTrial
from registry.models_proposals import ProposalVerdict as ProposalVerdict
from registry.models_proposals import TrialState as TrialState
from registry.models_quotas import QuotaGrant as QuotaGrant
from registry.models_quotas import QuotaLimit as QuotaLimit
from registry.models_quotas import QuotaNotice as QuotaNotice
from registry.models_quotas import QuotaRequest as QuotaRequest
from registry.models_quotas import RequestState as RequestState
from registry.models_quotas import UserQuota as UserQuota
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.fields import ExactJSONField


class Schema(models.Model):
    """The schema of an entity type: global when `user` is empty, else that user's own."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(_("entity type"), max_length=63)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("owner"),
    )
    created_at = models.DateTimeField(_("created"), db_default=Now())

    class Meta:
        db_table = "schemas"
        verbose_name = _("schema")
        verbose_name_plural = _("schemas")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "user"], nulls_distinct=False, name="schemas_owner_uq"
            )
        ]
        permissions = [
            ("register_schema", "Can register versions of a schema"),
            ("activate_schema", "Can activate and deactivate versions of a schema"),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} ({self.user if self.user_id else 'global'})"


class SchemaVersion(models.Model):
    """One immutable version of a schema. Only what says whether it is in force may change.

    `entity_type` and `user` repeat the schema's, so that one exclusion constraint can see to it that at most
    one version per type and owner is in force; a trigger keeps them equal.
    """

    id = models.BigAutoField(primary_key=True)
    schema = models.ForeignKey(
        Schema, on_delete=models.PROTECT, related_name="versions", verbose_name=_("schema")
    )
    entity_type = models.CharField(_("entity type"), max_length=63)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("owner"),
    )
    major = models.IntegerField()
    minor = models.IntegerField()
    patch = models.IntegerField()
    definition = ExactJSONField(_("definition"))
    definition_hash = models.CharField(max_length=64)
    note = models.TextField(_("note"), blank=True)
    is_active = models.BooleanField(_("in force"), default=False)
    first_activated_at = models.DateTimeField(_("first in force"), null=True, blank=True)
    activated_at = models.DateTimeField(_("in force since"), null=True, blank=True)
    retired_at = models.DateTimeField(_("retired"), null=True, blank=True)
    created_at = models.DateTimeField(_("registered"), db_default=Now())
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("registered by"),
    )

    class Meta:
        db_table = "schema_registry"
        verbose_name = _("schema version")
        verbose_name_plural = _("schema versions")
        ordering: ClassVar[list[str]] = ["entity_type", "user_id", "-major", "-minor", "-patch"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "user", "major", "minor", "patch"],
                nulls_distinct=False,
                name="schema_registry_number_uq",
            ),
            models.CheckConstraint(
                condition=models.Q(is_active=False)
                | models.Q(first_activated_at__isnull=False, activated_at__isnull=False),
                name="schema_registry_active_is_stamped_ck",
            ),
            models.CheckConstraint(
                condition=models.Q(is_active=False) | models.Q(retired_at__isnull=True),
                name="schema_registry_retired_is_inactive_ck",
            ),
        ]

    #: What a service that has just changed something has to tell about the owner's quota; not stored.
    quota_warning: str = ""

    def __str__(self) -> str:
        return f"{self.entity_type} {self.number}"

    @property
    def number(self) -> str:
        """The semver number, such as ``1.4.0``."""
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def parsed(self) -> Definition:
        """The definition as the domain reads it."""
        return Definition.from_json(self.definition)

    @property
    def field_count(self) -> int:
        """How many fields it declares."""
        return len(self.definition["fields"])


class SchemaCompatibility(models.Model):
    """How far the versions of an entity type, global or a user's own, must agree with those before them.

    A type without a row has the default, BACKWARD.
    """

    entity_type = models.CharField(_("entity type"), max_length=63, primary_key=True)
    mode = models.CharField(
        _("compatibility"),
        max_length=20,
        choices=[(mode.value, mode.value) for mode in Mode],
        default=DEFAULT_MODE.value,
    )

    class Meta:
        db_table = "schema_compatibility"
        verbose_name = _("compatibility of an entity type")
        verbose_name_plural = _("compatibility of entity types")
        permissions = [("set_compatibility", "Can set how far versions must agree")]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(mode__in=[mode.value for mode in Mode]),
                name="schema_compatibility_mode_ck",
            )
        ]

    def __str__(self) -> str:
        return f"{self.entity_type}: {self.mode}"


class RevisionCause(models.TextChoices):
    """What made a revision of an extension."""

    EDIT = "edit", _("edited")
    ADOPTION = "adoption", _("adopted from the user's own schema")
    ABSORPTION = "absorption", _("fields absorbed by the global schema")
    RESTORATION = "restoration", _("given back by the undo of a proposal")


class ExtensionRevision(models.Model):
    """One immutable revision of what a user adds to, or overrides in, the global schema of an entity type.

    The newest revision is the one in force; an extension that was taken back is a revision that says nothing.
    `absorbed` has the declarations that the global schema took over when this revision was made, by field, and
    `cause_version` the version that did so, or the user's own version that was adopted: what undo needs.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="+", verbose_name=_("owner")
    )
    entity_type = models.CharField(_("entity type"), max_length=63)
    revision = models.IntegerField(_("revision"))
    base_schema_version = models.CharField(_("written for"), max_length=40, blank=True)
    additional_fields = ExactJSONField(_("additional fields"))
    field_overrides = ExactJSONField(_("overrides"))
    content_hash = models.CharField(max_length=64)
    is_active = models.BooleanField(_("in force"), default=True)
    cause = models.CharField(
        _("cause"), max_length=20, choices=RevisionCause.choices, default=RevisionCause.EDIT
    )
    cause_version = models.ForeignKey(
        SchemaVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    absorbed = ExactJSONField(_("absorbed"), default=dict, blank=True)
    note = models.TextField(_("note"), blank=True)
    created_at = models.DateTimeField(_("made"), db_default=Now())
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("made by"),
    )

    class Meta:
        db_table = "user_schema_extensions"
        verbose_name = _("extension")
        verbose_name_plural = _("extensions")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["user", "entity_type", "revision"], name="user_schema_extensions_revision_uq"
            ),
            models.CheckConstraint(
                condition=models.Q(revision__gte=1), name="user_schema_extensions_revision_ck"
            ),
            models.CheckConstraint(
                condition=models.Q(cause__in=RevisionCause.values), name="user_schema_extensions_cause_ck"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # A change of the global schema walks the extensions of its type by owner.
            models.Index(
                fields=["entity_type", "user"],
                condition=models.Q(is_active=True),
                name="user_schema_ext_in_force_ix",
            )
        ]
        permissions = [("extend_schema", "Can change the extensions of users")]

    def __str__(self) -> str:
        return f"{self.entity_type} ({self.user}) r{self.revision}"

    @property
    def document(self) -> JsonObject:
        """The extension as it is written: what `parsed` reads, and what an export holds."""
        document: JsonObject = {
            "additional_fields": self.additional_fields,
            "field_overrides": self.field_overrides,
        }
        if self.base_schema_version:
            document["base_schema_version"] = self.base_schema_version
        return document

    @property
    def parsed(self) -> Extension:
        """The extension as the domain reads it."""
        return Extension.from_json(self.document)


class SchemaEpoch(models.Model):
    """How often what is in force for a type and owner has changed. Readers compare it to trust what they hold."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=63)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, null=True, related_name="+"
    )
    epoch = models.BigIntegerField(default=0)

    class Meta:
        db_table = "schema_epochs"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "user"], nulls_distinct=False, name="schema_epochs_owner_uq"
            )
        ]
