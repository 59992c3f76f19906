"""The example shop for a WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_checkout.settings_production")
application = get_wsgi_application()
