"""Which shape is allowed: schemas, their immutable versions, and the counters that say when they changed."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from registry.domain.definition import Definition
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
        ]

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
