"""Real accesses in a guest, held against what the evaluator says.

actor.c      does the system calls, as whoever its digest says
script.py    what the actors are to do, as bytes; and what they answered
runner.py    (in the guest) the gate, the images and the rings
stage.py     builds the actors, prepares a guest, plays rounds
world.py     the tree that accesses are made to
policies.py  random policies about it
accesses.py  random accesses to it, each with the question that the evaluator is asked
judge.py     the kernel's answer beside the evaluator's
match.py     rounds of accesses that are undone, from a seed; what differs made small
tree.py      a tree with links, mounts and namespaces, to say what a path leads to and is judged by
life.py      accesses that are not undone, on such a tree, under one image after the other
life_names.py, life_mounts.py   those that give names, and those that mount
"""
