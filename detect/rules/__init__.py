"""Single rules, written in Sigma: parsed by pySigma, asked once for each distinct value, joined by event."""
