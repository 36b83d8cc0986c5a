"""A folder for ``PYTHONPATH``: what Python imports of it at its start lets requests fall back."""
