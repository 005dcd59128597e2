"""Stands in for the Python package openfl where it is not installed.

It has the names that the code of OpenFL workspaces imports, with the same
behaviour, and nothing else: no network, no plan, no command line. It is written
for fx, and is no copy of the package.
"""
