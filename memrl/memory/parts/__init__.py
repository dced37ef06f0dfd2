"""Modules and base classes that several memories share."""
