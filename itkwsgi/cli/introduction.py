"""How settings are set, in words: what docs/settings.md begins with."""

from __future__ import annotations

INTRODUCTION = """\
# Settings

<!-- Written by "itkwsgi settings --markdown": change the declarations in itkwsgi/ini/registry.py, not this file. -->

Settings are to itkwsgi what the directives of php.ini are to PHP: limits, walls and habits of a site, which the
administrator says for the whole site, for a directory or for a location, the site's owner in files of their own, and
the code of the site while it runs. `itkwsgi explain itk.toml URL` shows what holds for a URL, and where that was
said; `itkwsgi.info:application` is an app that shows the same from within a site.

## In itk.toml

```toml
[[vhost]]
name = "jess.example.org"
user = "jess"
root = "/srv/jess"
public = "/srv/jess/public"         # URLs mean files below it, whether these exist or not
app = "blog.wsgi:application"
allow_override = ["values"]         # what a .itk.toml may set; []: none is read

[vhost.value]                       # php_value, php_flag: the site may change these
timezone = "Europe/Berlin"

[vhost.admin_value]                 # php_admin_value, php_admin_flag: final
memory_limit = "256M"
open_basedir = ["/srv/jess"]

[[vhost.directory]]                 # <Directory>: by the file that the URL means
path = "/srv/jess/public/reports"
value = { max_execution_time = "5m" }

[[vhost.location]]                  # <Location>: by the path of the URL, in whole segments
path = "/api/"
admin_value = { post_max_size = "1M" }
```

A site without `public` has one file, that of its app: the directories that this file is in hold for all its requests.
`public` says nothing more than which file a URL means: in this version every request goes to the app.

## In the site's own files

A file `.itk.toml` in a directory of a site is what `.htaccess` and `.user.ini` are to PHP. It has one table:

```toml
[value]
max_execution_time = "2m"
display_errors = true
```

It is read as the site's user, from the root of the site (or from `public`, where that is further out) down to the
directory of the request, and again whenever it changed. It may set what its mode permits and `allow_override` grants.
A mistake in it breaks nothing: it is said with file and line in the site's log and by `itkwsgi explain`, and the rest
of the file applies.

## In code

```python
from itkwsgi import SettingLocked, settings

print(settings["memory_limit"])  # bytes, None for no limit; times are seconds, flags are bools
try:
    settings.set("max_execution_time", "90s")  # starts to count anew
except SettingLocked as reason:  # the administrator fixed it, or its mode is not ALL
    print(reason)
value, master, mode, origin = settings.explain("memory_limit")
settings.restore()  # what this request set; it ends with the request anyway
```

The same object is `environ["itkwsgi.settings"]`. What code sets while it is imported holds for all requests of the
site.

## What wins

Each of these counts more than those before it:

1. the tables of the vhost,
2. its directories, from the shortest path to the longest,
3. the site's `.itk.toml` files, from the outermost directory inwards,
4. its locations, from the shortest prefix to the longest,
5. the site's code.

An `admin_value` beats every `value`, wherever that stands, and locks the setting: only an `admin_value` of a
directory or a location further down this list changes it. `"none"` takes back what was said: no limit, nothing set,
or for what cannot be nothing its default.

A limit that the kernel keeps is the soft limit as a `value` and the hard one as an `admin_value`: what is fixed
cannot be raised by `settings.set`, by `resource.setrlimit` or by another program that the site starts.

Some settings cannot be taken back once a process has them: hard limits, `open_basedir`, `disable` and `optimize`.
Said for the whole site, they hold from before its code is imported. A directory or a location may be stricter: then
each of its requests puts up the further wall for itself. Where it is less strict, its requests have a pool of
processes of their own; `itkwsgi check` says which. `open_basedir` in a `.itk.toml` or in code can only narrow what
holds.

## How values are written

* Sizes: `"256M"`, with K, M or G for powers of 1024, or a number of bytes.
* Times: `"30s"`, `"500ms"`, `"5m"`, `"1h"`, or a number of seconds.
* Flags: `true` and `false`, or `"on"`, `"off"`, `"yes"`, `"no"`, `"1"`, `"0"`, in any case.
* Lists: `["/srv/jess", "/srv/shared"]`; a text alone is a list of one. A list replaces the one above it.
* Paths: relative ones begin at the directory of the file they stand in.
* `umask`: `"0027"` or `0o027`.

The mode says who may set a setting beside the administrator: ALL is the site's `.itk.toml` files and its code, PERDIR
the files alone, SYSTEM nobody.
"""
