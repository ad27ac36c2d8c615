// The Python that has the package.

import { access } from "node:fs/promises";

/** `$PYTHON`, or that of the repository's virtual environment, or the one there is. */
export async function python() {
  if (process.env.PYTHON) return process.env.PYTHON;
  const own = new URL("../../../.venv/bin/python", import.meta.url).pathname;
  return access(own).then(() => own, () => "python3");
}
