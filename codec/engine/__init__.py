"""What runs a model's network."""

import os

#: `auto` picks one: see `choice`.
ENGINES = ("auto", "onnx", "torch")

# Threads of OpenMP wait for work in a loop, by default for so long that they take a busy machine's time from those who
# have some. This is read when torch loads its OpenMP, which nothing does before it imports this package: let them look
# about a thousand times, or a millisecond, and then sleep. Who says how to wait is obeyed.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ):
    os.environ["GOMP_SPINCOUNT"] = "1000"  # GNU's, on Linux
    # LLVM's and Intel's, on macOS and Windows, where this was not tried: in milliseconds, since older ones know no
    # shorter unit, and warn of it. Intel's runtime under torch on Linux, at 1.6 megapixels on two cores, encodes 3.5
    # MP/s with 1 as with its 200, and 1.3 with either beside a busy loop; with 0, which sleeps at once, 2.4 and 2.1.
    os.environ["KMP_BLOCKTIME"] = "1"
