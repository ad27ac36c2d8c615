// The model's ONNX graphs for a browser. They leave their tensors to the weights file as one "external file" without
// saying where in it; ONNX Runtime Web takes one such file a tensor, so each tensor gets a file of its own name.

const GRAPH = 7; // field of ModelProto
const INITIALIZER = 5; // of GraphProto
const NAME = 8; // of TensorProto
const EXTERNAL_DATA = 13;
const KEY = 1; // of StringStringEntryProto
const VALUE = 2;
const BYTES = 2; // wire type

/** A graph whose external tensors lie in files of their own names. */
export function withTensorsByName(model) {
  return replaced(model, GRAPH, (graph) => replaced(graph, INITIALIZER, relocated));
}

function relocated(tensor) {
  const found = [...fields(tensor)];
  if (!found.some(({ number }) => number === EXTERNAL_DATA)) return tensor;
  const name = found.find(({ number }) => number === NAME).body;
  const kept = found.filter(({ number }) => number !== EXTERNAL_DATA).map(({ whole }) => whole);
  const entry = Buffer.concat([field(KEY, Buffer.from("location")), field(VALUE, name)]);
  return Buffer.concat([...kept, field(EXTERNAL_DATA, entry)]);
}

/** A protobuf message whose fields of a number are replaced by what `change` makes of their bytes. */
function replaced(message, wanted, change) {
  return Buffer.concat([...fields(message)].map(({ number, whole, body }) =>
    number === wanted ? field(number, change(body)) : whole));
}

/** A message's fields in their order: number, all bytes, and the bytes of the value if it is of that wire type. */
function* fields(message) {
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
    if (wire === BYTES) {
      const length = varint();
      body = message.subarray(at, at + length);
      at += length;
    } else if (wire === 0) {
      varint();
    } else {
      at += wire === 1 ? 8 : 4;
    }
    yield { number: Math.floor(key / 8), whole: message.subarray(start, at), body };
  }
}

function field(number, body) {
  return Buffer.concat([varintBytes(number * 8 + BYTES), varintBytes(body.length), body]);
}

function varintBytes(value) {
  const out = [];
  for (; value > 127; value = Math.floor(value / 128)) out.push((value % 128) + 128);
  return Buffer.from([...out, value]);
}
