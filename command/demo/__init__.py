"""The demo: orders that reach their end whatever happens to the services that they need."""

__all__: list[str] = []
