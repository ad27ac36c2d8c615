/** What can go wrong with a file: the errors of the Python package, by the same names. Messages say what to do next. */

/** The base of every error about files and models. */
export class AecError extends Error {
  override readonly name: string = "AecError"; // said, since minifiers rename classes
}

/** The bytes are not an .aec file. */
export class NotAec extends AecError {
  override readonly name = "NotAec";
}

/** The file needs something that this version does not have. */
export class UnsupportedVersion extends AecError {
  override readonly name = "UnsupportedVersion";
}

/** The file was made with other weights, or the weights cannot be loaded. */
export class UnknownModel extends AecError {
  override readonly name = "UnknownModel";
}

/** The file is damaged, cut short, or does not decode to the symbols that were encoded. */
export class CorruptFile extends AecError {
  override readonly name = "CorruptFile";
}

/** The picture is larger than the limit in force, or than the memory there is. */
export class LimitExceeded extends AecError {
  override readonly name = "LimitExceeded";
}

const CLASSES: Record<string, new (message: string) => AecError> = {
  AecError, NotAec, UnsupportedVersion, UnknownModel, CorruptFile, LimitExceeded,
};

/** An error as it crosses from the worker. */
export interface PlainError {
  name: string;
  message: string;
}

export function toPlain(error: unknown): PlainError {
  return error instanceof Error ? { name: error.name, message: error.message }
    : { name: "Error", message: String(error) };
}

export function fromPlain({ name, message }: PlainError): Error {
  const known = CLASSES[name];
  if (known) return new known(message);
  const error = new Error(message);
  error.name = name;
  return error;
}
