// All that is tested in Node, in one process: the runtime is compiled once.

import "./decode.mjs";
import "./icc.mjs";
import "./lossless.mjs";
import "./vectors.mjs";
