"""`python -m forebay.pipelines.compiler --repo DIR --out FILE`: writes the plan file of a feature repo.

Silent on success; else one line on stderr and exit status 2.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from forebay.pipelines.compiler import compile_repo
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.errors import ForebayError


def main() -> int:
    """Compiles with the arguments of the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m forebay.pipelines.compiler", description=__doc__)
    parser.add_argument("--repo", type=Path, required=True, help="folder with feature_store.yaml")
    parser.add_argument("--out", type=Path, required=True, help="plan file to write")
    parser.add_argument("--generation", type=int, default=0, help="of the plan: the greater one is newer")
    options = parser.parse_args()
    try:
        plan = compile_repo(options.repo)
        write_plan(msgspec.structs.replace(plan, generation=options.generation), options.out)
    except ForebayError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
