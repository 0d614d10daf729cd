"""Count seconds; a killed count continues from its last state. Writes where every attempt started, and the end."""

import argparse
import time
from pathlib import Path

import torch

from rlgen.resume import Resume


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    resume = Resume(args.state)
    state = resume.load()
    done, starts = (int(state[0]["done"]), state[1]["starts"]) if state else (0, [])
    starts = [*starts, done]
    while done < args.seconds:
        time.sleep(1)
        done += 1
        if resume.due():
            resume.save({"done": torch.tensor(done)}, {"starts": starts})
    args.output.write_text(" ".join(map(str, [*starts, done])), encoding="utf-8")


if __name__ == "__main__":
    main()
