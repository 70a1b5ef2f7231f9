"""What the undo of a proposal gives back to an extension is a revision of its own cause."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0010_guard_proposals"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="extensionrevision",
            name="user_schema_extensions_cause_ck",
        ),
        migrations.AlterField(
            model_name="extensionrevision",
            name="cause",
            field=models.CharField(
                choices=[
                    ("edit", "edited"),
                    ("adoption", "adopted from the user's own schema"),
                    ("absorption", "fields absorbed by the global schema"),
                    ("restoration", "given back by the undo of a proposal"),
                ],
                default="edit",
                max_length=20,
                verbose_name="cause",
            ),
        ),
        migrations.AddConstraint(
            model_name="extensionrevision",
            constraint=models.CheckConstraint(
                condition=models.Q(("cause__in", ["edit", "adoption", "absorption", "restoration"])),
                name="user_schema_extensions_cause_ck",
            ),
        ),
    ]
