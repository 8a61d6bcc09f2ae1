"""Settings, the ini analogue: what php_value and php_admin_value are to PHP.

`itkwsgi.ini.registry` declares each setting once: name, kind, unit, default, who may set it, who enforces it, help.
The server reads them in itk.toml with these declarations, a site's own interpreter in its own files: so the standard
library only, from Python 3.9 on, and of that as little as can be.
"""
