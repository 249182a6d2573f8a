"""Others' suites, Landlock's selftests and LTP, give the same results with Menshen as without it."""
