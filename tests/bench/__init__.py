"""What orfallback costs, beside its floors and its peers; ``python tests/bench --help`` says how to measure it.

Every ratio is of two things that were measured in the same run, in turns: machines are noisy, and noise then falls on
both. CPU time is what this process spends; the server is a process of its own and answers with canned bytes.
"""
