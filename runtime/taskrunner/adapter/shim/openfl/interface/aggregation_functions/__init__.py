"""Aggregation functions: the class that a workspace's own derive from.

They run at the aggregator, never in task code. The class is here so that modules
which import it can be imported.
"""

from openfl.interface.aggregation_functions.core import AggregationFunction

__all__ = ["AggregationFunction"]
