// Protocol buffers as bytes: enough of them to change a field of a message and keep all others as they are.

const INTEGER = 0; // wire types
const EIGHT_BYTES = 1;
const BYTES = 2;

/** A message's fields in their order: number, all bytes, and the value: `body` if it is bytes, `value` if an integer. */
export function* fields(message) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const start = at;
    const key = varint();
    const wire = key % 8;
    let body;
    let value;
    if (wire === BYTES) {
      const length = varint();
      body = message.subarray(at, at + length);
      at += length;
    } else if (wire === INTEGER) {
      value = varint();
    } else {
      at += wire === EIGHT_BYTES ? 8 : 4;
    }
    yield { number: Math.floor(key / 8), whole: message.subarray(start, at), body, value };
  }
}

/** A message whose fields of a number, which hold bytes, are replaced by what `change` makes of those. */
export function replaced(message, wanted, change) {
  return Buffer.concat([...fields(message)].map(({ number, whole, body }) => {
    const now = number === wanted ? change(body) : body;
    return now === body ? whole : field(number, now);
  }));
}

/** A field that holds bytes or a small integer. */
export function field(number, value) {
  if (typeof value === "number") return Buffer.concat([varintBytes(number * 8 + INTEGER), varintBytes(value)]);
  return Buffer.concat([varintBytes(number * 8 + BYTES), varintBytes(value.length), value]);
}

function varintBytes(value) {
  const out = [];
  for (; value > 127; value = Math.floor(value / 128)) out.push((value % 128) + 128);
  return Buffer.from([...out, value]);
}
