"""The contenders of `money.py`, the server they meet, and how they are judged.

Each contender is one module with one coroutine, `wish(work, prompt)`: one picture, asked
for as the package's README shows, with its defaults; only the seconds it waits for an
answer are cut short. None of them imports this project but `ours`, so the others run in
an environment without it.
"""
