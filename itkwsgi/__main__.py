"""``python -m itkwsgi``: the command line."""

from __future__ import annotations

from itkwsgi.cli.main import main

if __name__ == "__main__":
    main()
