"""The WSGI application that gunicorn serves."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "schemaevo.settings")
application = get_wsgi_application()
# What is loaded by now stays until the process ends: no full collection, in the midst of a request, looks at it again.
gc.collect()
gc.freeze()
