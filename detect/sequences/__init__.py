"""Sequences over tagged events, joined by session, process tree or file: for the stream and for history."""

from detect.sequences.bounds import Counters, Limits
from detect.sequences.engine import SequenceEngine

__all__ = ["Counters", "Limits", "SequenceEngine"]
