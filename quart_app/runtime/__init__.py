"""The parts of one process, and how they start and stop. No HTTP."""

from quart_app.runtime.life import Runtime

__all__ = ["Runtime"]
