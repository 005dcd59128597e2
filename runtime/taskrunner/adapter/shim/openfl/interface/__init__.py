"""Interfaces that workspaces derive from."""
