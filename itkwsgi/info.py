"""phpinfo() for Python: a page of all that a site can know of the process it runs in.

    app = "itkwsgi.info:application"

or called from a route of the site's own.  It is served nowhere unless somebody mounts it; secrets are hidden, but
paths and versions are shown, so it is not for the public.
"""

from __future__ import annotations

from itkwsgi.runtime.info import application

__all__ = ["application"]
