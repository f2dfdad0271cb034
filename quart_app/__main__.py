"""python -m quart_app"""

from __future__ import annotations

from quart_app.cli import main

if __name__ == "__main__":
    main()
