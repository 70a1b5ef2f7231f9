"""What figures came to on each day is kept, when what they were counted from has gone."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("kernel", "0006_keep_verifications"),
    ]

    operations = [
        migrations.CreateModel(
            name="DailyFigure",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField(verbose_name="day")),
                ("figure", models.CharField(max_length=64, verbose_name="figure")),
                ("value", models.BigIntegerField(verbose_name="value")),
                ("is_exact", models.BooleanField(default=True, verbose_name="exact")),
                (
                    "counted_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="counted"
                    ),
                ),
            ],
            options={
                "verbose_name": "figure of a day",
                "verbose_name_plural": "figures of days",
                "db_table": "daily_figures",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("day", "figure"), name="daily_figures_day_uq"),
                    models.CheckConstraint(
                        condition=models.Q(("value__gte", 0)), name="daily_figures_value_ck"
                    ),
                ],
            },
        ),
    ]
