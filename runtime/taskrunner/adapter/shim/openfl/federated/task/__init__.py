"""Task runners."""

from openfl.federated.task.runner import TaskRunner

__all__ = ["TaskRunner"]


def __getattr__(name):
    import openfl.federated

    if name.endswith("TaskRunner"):
        return getattr(openfl.federated, name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
