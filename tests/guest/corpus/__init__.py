"""Attacks of several steps, each with a benign twin, acted in a guest: what the watch makes of them.

stories.py   the stories, as data
world.py     the host that they are acted on
acting.py    acts them, each in a session of its own, and reads what the watch found
"""
