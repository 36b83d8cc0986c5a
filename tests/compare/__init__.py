"""What orfallback and its peers make of the same faults; ``python tests/compare --help`` says how to measure it.

Each trial is a process of its own, which asks the project's simulator once, in one of two modes, with the documented
fallback of one product between two models, of which the first has a fault.
"""
