"""What reads bytes of others, given any bytes: it says an error of its own kind or answers, nothing else.

    python -m tests.fuzz TARGET --seconds 60     one target, coverage-guided by atheris
    make fuzz SECONDS=3600                       all of them, an hour each

What was found interesting stays in build/fuzz/TARGET and is where the next run begins.
"""
