"""The class above all splitters."""

from abc import ABC, abstractmethod


class DataSplitter(ABC):
    """Parts data among collaborators."""

    @abstractmethod
    def split(self, data, num_collaborators):
        """Return one part for each collaborator."""
        raise NotImplementedError
