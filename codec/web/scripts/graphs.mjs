// The model's ONNX graphs for a browser.
//
// They leave their tensors to the weights file as one "external file" without saying where in it; ONNX Runtime Web takes
// one such file a tensor, so each tensor gets a file of its own name. And constants of 64 bits that are cast to
// floats become floats: on WebGPU nothing casts them.

import { field, fields, replaced } from "./protobuf.mjs";

const GRAPH = 7; // field of ModelProto
const NODE = 1; // of GraphProto
const INITIALIZER = 5;
const INPUT = 1; // of NodeProto
const OUTPUT = 2;
const OP_TYPE = 4;
const ATTRIBUTE = 5;
const ATTRIBUTE_INTEGER = 3; // of AttributeProto
const ATTRIBUTE_TENSOR = 5;
const DATA_TYPE = 2; // of TensorProto
const NAME = 8;
const RAW_DATA = 9;
const EXTERNAL_DATA = 13;
const KEY = 1; // of StringStringEntryProto
const VALUE = 2;
const FLOAT = 1; // a data type
const WIDE = { 7: BigInt64Array, 11: Float64Array };

/** The bytes of a graph, as ONNX Runtime Web takes it. */
export function forBrowsers(model) {
  return replaced(model, GRAPH, (graph) => replaced(withFloatConstants(graph), INITIALIZER, relocated));
}

function relocated(tensor) {
  const found = [...fields(tensor)];
  if (!found.some(({ number }) => number === EXTERNAL_DATA)) return tensor;
  const name = found.find(({ number }) => number === NAME).body;
  const kept = found.filter(({ number }) => number !== EXTERNAL_DATA).map(({ whole }) => whole);
  const entry = Buffer.concat([field(KEY, Buffer.from("location")), field(VALUE, name)]);
  return Buffer.concat([...kept, field(EXTERNAL_DATA, entry)]);
}

function withFloatConstants(graph) {
  const constants = new Map(); // nodes by the name of their output
  return replaced(graph, NODE, (node) => {
    const [input, output, kind] = [INPUT, OUTPUT, OP_TYPE].map((number) => text(node, number));
    if (kind === "Constant") constants.set(output, node);
    if (kind !== "Cast" || !constants.has(input) || integer(attribute(node), ATTRIBUTE_INTEGER) !== FLOAT) return node;
    const constant = constants.get(input);
    const cast = replaced(constant, ATTRIBUTE, (value) => replaced(value, ATTRIBUTE_TENSOR, asFloats));
    return replaced(cast, OUTPUT, () => Buffer.from(output));
  });
}

/** A tensor of 64-bit numbers as one of floats. */
function asFloats(tensor) {
  const type = WIDE[integer(tensor, DATA_TYPE)];
  if (!type) return tensor;
  const parts = [...fields(tensor)].map(({ number, whole, body }) => {
    if (number === DATA_TYPE) return field(DATA_TYPE, FLOAT);
    if (number !== RAW_DATA) return whole;
    const values = new type(body.buffer.slice(body.byteOffset, body.byteOffset + body.length));
    return field(RAW_DATA, Buffer.from(Float32Array.from(values, Number).buffer));
  });
  return Buffer.concat(parts);
}

const first = (message, number) => [...fields(message)].find((found) => found.number === number);
const attribute = (node) => first(node, ATTRIBUTE)?.body ?? Buffer.alloc(0);
const text = (message, number) => first(message, number)?.body.toString();
const integer = (message, number) => first(message, number)?.value;
