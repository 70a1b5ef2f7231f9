"""Runs a command and prints the peak of its resident memory, in KiB, as the last line of its output.

Started as a program of its own: the kernel counts into the peak of a child what its parent had at the moment of
the start, and this parent has next to nothing. Standard library only, for the same reason.
"""

import resource
import subprocess
import sys

if __name__ == "__main__":
    code = subprocess.run(sys.argv[1:], check=False).returncode
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # macOS counts bytes.
    print(peak // 1024 if sys.platform == "darwin" else peak)
    sys.exit(code)
