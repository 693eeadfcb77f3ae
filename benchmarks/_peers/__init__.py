"""The contenders of `peers.py`, the laboratory they run in, and how they are measured.

Each contender is one module with one function, `run(work)`, written as its users would
write it for the real API; only their seconds are divided by the simulator's speed. None
of them imports this project but `ours`, so the others run in an environment without it.
"""
