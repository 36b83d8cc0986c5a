"""Plugins that come with the library; a chain has those that it is given."""
