"""Data loaders."""

from openfl.federated.data.loader import DataLoader

__all__ = ["DataLoader"]


def __getattr__(name):
    import openfl.federated

    if name.endswith("DataLoader"):
        return getattr(openfl.federated, name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
