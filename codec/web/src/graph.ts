/** One of the model's ONNX graphs on ONNX Runtime Web, run with the tensors of the weights file. */

import type { InferenceSession, Tensor } from "onnxruntime-common";
import type { Model } from "./model.js";
import type { Runtime } from "./runtime.js";

/** The graphs that decoding takes, and the network's tensors that each leaves to the weights file. */
export type GraphTensors = Record<string, string[]>;

const STATE = "state."; // inputs that hold what a graph keeps from one strip of rows to the next

export class Graph {
  private constructor(private readonly session: InferenceSession, private readonly runtime: Runtime) {}

  /**
   * @param bytes the graph.
   * @param tensors names of those that it leaves to the weights file.
   */
  static async load(bytes: ArrayBuffer, tensors: string[], model: Model, runtime: Runtime): Promise<Graph> {
    const session = await runtime.ort.InferenceSession.create(bytes, {
      executionProviders: [runtime.backend],
      externalData: tensors.map((name) => ({ path: name, data: new Uint8Array(model.network(name).buffer) })),
      logSeverityLevel: 3,
    });
    return new Graph(session, runtime);
  }

  /** Outputs by name for inputs by name.
   *
   * Graphs that work strip by strip are run on one strip, which is the first and the last.
   *
   * @param columns of the coarsest layer in the graph.
   */
  async run(inputs: Record<string, Tensor>, columns: number): Promise<Record<string, Tensor>> {
    const given = { ...inputs };
    const wanted = this.session.outputNames.filter((name) => !name.startsWith("next."));
    for (const input of this.session.inputMetadata) {
      if (input.name === "last") given.last = this.integer(1);
      else if (input.isTensor && input.name.startsWith(STATE)) given[input.name] = this.firstState(input.shape, columns);
    }
    return this.session.run(given, wanted);
  }

  integer(value: number): Tensor {
    return new this.runtime.ort.Tensor("int64", BigInt64Array.of(BigInt(value)), []);
  }

  planes(values: Float32Array, channels: number, rows: number, columns: number): Tensor {
    return new this.runtime.ort.Tensor("float32", values, [1, channels, rows, columns]);
  }

  /** Before the first strip nothing is held back, and zeros are above. An axis named `2w` is twice as long as `w`. */
  private firstState([, channels, rows, width]: readonly (number | string)[], columns: number): Tensor {
    const height = typeof rows === "number" ? rows : 0;
    const across = parseInt(String(width), 10) * columns;
    return this.planes(new Float32Array(Number(channels) * height * across), Number(channels), height, across);
  }
}
