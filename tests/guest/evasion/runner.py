"""In the guest: holds the gate, puts the image in force, lets the actor play, and keeps what the ring said.

    runner.py prepare     load the gate and give credentials; say what life.py saw
    runner.py play        play the plan under the image

The folder holds about.json, life.image, image and plan; it leaves plan.answers and denials: each record
behind its length.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import bpf_lsm
from bpf_lsm.gate import Gate
from tests.guest.evasion import life

OBJECT = Path(bpf_lsm.__file__).parent / "objects/menshen.bpf.o"
FOLDER = Path("/run/evasion")
LENGTH = struct.Struct("<I")


def prepare() -> None:
    """Everything that runs already is the host, which no policy is about."""
    about = json.loads((FOLDER / "about.json").read_text())
    for path, (original, ending) in about["copies"].items():
        Path(path).write_bytes(Path(original).read_bytes() + ending.encode())
        Path(path).chmod(0o755)
    Path(life.FILE).parent.mkdir(parents=True, exist_ok=True)
    Path(life.FILE).write_text("secret\n")
    elder = life.Elder()
    gate = Gate.load(OBJECT, catalogue_size=4096)
    gate.set_credentials({bytes.fromhex(digest): number for digest, number in about["credentials"].items()})
    print(json.dumps(life.answers(gate, (FOLDER / "life.image").read_bytes(), about, elder)))


def play() -> None:
    """Group after group; the ring is read in between, so that it is never full."""
    about = json.loads((FOLDER / "about.json").read_text())
    gate = Gate.adopt()
    gate.install((FOLDER / "image").read_bytes())
    gate.denials.read()
    before = gate.counters()
    lead = subprocess.Popen(
        [about["lead"], "lead", FOLDER / "plan"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(FOLDER / "log").open("wb"),
        text=True,
    )
    assert lead.stdin
    assert lead.stdout
    try:
        with (FOLDER / "denials").open("wb") as kept:
            for _ in range(about["groups"]):
                if lead.stdout.readline() != "played\n":
                    raise SystemExit(f"the lead is stuck or ended: {lead.poll()}")
                while records := gate.denials.read():
                    for record in records:
                        kept.write(LENGTH.pack(len(record)) + record)
                lead.stdin.write("\n")
                lead.stdin.flush()
        if status := lead.wait():
            raise SystemExit(f"the lead ended with {status}")
        lost = gate.counters()["denials_lost"] - before["denials_lost"]
    finally:
        lead.kill()
        gate.uninstall()
    print(json.dumps({"lost": lost}))


if __name__ == "__main__":
    {"prepare": prepare, "play": play}[sys.argv[1]]()
