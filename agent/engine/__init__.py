"""The synchronous engine: see ``agent.engine.engine``."""
