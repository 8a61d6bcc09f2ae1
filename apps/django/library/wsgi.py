"""What the server runs.  Django itself serves the style sheets, which spares a small site a file server."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "library.settings")
application = StaticFilesHandler(get_wsgi_application())
