"""What auto-enhancement did for one owner is found without looking at everybody's."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("fragments", "0015_count_many_at_once")]

    operations = [
        migrations.AddIndex(
            model_name="enhancement",
            index=models.Index(fields=["user", "id"], name="enhancements_owner_ix"),
        ),
    ]
