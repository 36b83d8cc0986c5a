"""How gunicorn serves an application that streams.

``gunicorn --config gunicorn_conf.py "flask_answers:create_app()"``.
"""

from __future__ import annotations

bind = "127.0.0.1:8000"
# An answer on its way holds a thread: as many threads in all as answers at once.
worker_class = "gthread"
workers = 2
threads = 64
# Made once, before the fork: each worker makes connections of its own.
preload_app = True
# Of a gthread worker, not of an answer: one that no longer gives a sign of life.
timeout = 30
# A worker that ends waits so long for running answers: longer than the chain's deadline, or they are cut.
graceful_timeout = 55
# Shorter than the keepalive_timeout of the proxy's upstream connections.
keepalive = 75
