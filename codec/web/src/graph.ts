/** One of the model's ONNX graphs on ONNX Runtime Web, run with the tensors of the weights file. */

import type { InferenceSession, Tensor } from "onnxruntime-common";
import type { Model } from "./model.js";
import type { Runtime } from "./runtime.js";

/** What the manifest beside the graphs says of one. */
export interface GraphInfo {
  /** The network's tensors that it leaves to the weights file. */
  tensors: string[];
  /** Level vectors that it takes as inputs of the same names. */
  vectors: string[];
  /** Inputs that hold what it keeps from one strip of rows to the next, as `[channels, rows, times]`: their first values,
   * zeros, are `times` as wide as the coarsest layer in the graph. */
  states: Record<string, [number, number, number]>;
}

export type Manifest = Record<string, GraphInfo>;

export class Graph {
  private constructor(private readonly session: InferenceSession, private readonly info: GraphInfo,
    private readonly model: Model, private readonly runtime: Runtime) {}

  static async load(bytes: ArrayBuffer, info: GraphInfo, model: Model, runtime: Runtime): Promise<Graph> {
    const session = await runtime.ort.InferenceSession.create(bytes, {
      executionProviders: runtime.backend === "webgpu" ? ["webgpu", "wasm"] : ["wasm"],
      externalData: info.tensors.map((name) => ({ path: name, data: new Uint8Array(model.network(name).buffer) })),
      graphOptimizationLevel: "disabled", // it takes a third of loading, and decoding is no faster for it
      logSeverityLevel: 3,
      extra: { session: { intra_op: { allow_spinning: "0" } } }, // on a busy machine spinning takes time from who has work
    });
    return new Graph(session, info, model, runtime);
  }

  /** Outputs by name for inputs by name; level vectors come by themselves.
   *
   * A graph that works strip by strip is run on one strip, which is the first and the last.
   *
   * @param columns of the coarsest layer in the graph.
   */
  async run(inputs: Record<string, Tensor>, point: number, columns: number): Promise<Record<string, Tensor>> {
    const { vectors, states } = this.info;
    const given = { ...inputs };
    for (const name of vectors) {
      const gains = this.model.gains(name, point);
      given[name] = this.planes(gains, gains.length, 1, 1);
    }
    for (const [name, [channels, rows, times]] of Object.entries(states)) {
      const zeros = new Float32Array(channels * rows * times * columns);
      given[name] = this.planes(zeros, channels, rows, times * columns);
      given.last = this.integer(1);
    }
    return this.session.run(given, this.session.outputNames.filter((name) => !name.startsWith("next.")));
  }

  integer(value: number): Tensor {
    return new this.runtime.ort.Tensor("int64", BigInt64Array.of(BigInt(value)), []);
  }

  /** `[1, channels, rows, columns]` */
  planes(values: Float32Array, channels: number, rows: number, columns: number): Tensor {
    return new this.runtime.ort.Tensor("float32", values, [1, channels, rows, columns]);
  }
}
