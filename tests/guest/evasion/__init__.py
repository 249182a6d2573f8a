"""The catalogue of evasions: ways round a rule, each tried for real in a guest.

catalogue/   the classes and their cases, as data
actor/       the operations, in C: one program that does each for either side and in every variant
cases.py     the catalogue as objects
policies.py  the policies that the cases are held against
stage.py     builds the actor, prepares a guest, plays cases
runner.py    (in the guest) the gate, the image and the ring
life.py      (in the guest) the gate's own programs
judge.py     what a case had to do, and what it did
limits.py    docs/limits.md, from the cases that are open
"""
