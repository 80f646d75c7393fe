// A session of ONNX Runtime that waits for requests, for latency.py:
//
//     node onnxruntime_session.js PACKAGE MODEL.onnx INPUT BATCH SIZE THREADS
//
// PACKAGE is the folder of the package onnxruntime-node; the others and the requests are those of latency.cpp.  The
// session has ONNX Runtime's own settings, all optimisations on.  Its threads spin for a while when a run is over,
// which would take processors from whoever is timed next: an answer is given when they have come to rest.
const fs = require('fs');
const readline = require('readline');

const [package_, model, input, batch, size, threads] = process.argv.slice(2);
const ort = require(package_);

const cpuMilliseconds = () => {
  const {user, system} = process.cpuUsage();
  return (user + system) / 1e3;
};

/// Until the process used less than a tenth of a processor for 20 ms; false if it does not in two seconds.
async function rest() {
  for (let i = 0; i < 100; ++i) {
    const begin = cpuMilliseconds();
    await new Promise(resolve => setTimeout(resolve, 20));
    if (cpuMilliseconds() - begin < 2) return true;
  }
  return false;
}

async function main() {
  const session = await ort.InferenceSession.create(
      model, {intraOpNumThreads: +threads, interOpNumThreads: 1, graphOptimizationLevel: 'all'});
  const bytes = fs.readFileSync(input);
  const values = new Float32Array(bytes.byteLength / 4);
  new Uint8Array(values.buffer).set(bytes);
  const feeds = {[session.inputNames[0]]: new ort.Tensor('float32', values, [+batch, 3, +size, +size])};
  const run = async () => (await session.run(feeds))[session.outputNames[0]];

  const replies = {
    answer: async () => ({logits: Array.from((await run()).data)}),
    run: async seconds => {
      const warm = performance.now() + 500;
      do await run(); while (performance.now() < warm);
      const times = [];
      const beginCpu = cpuMilliseconds();
      const begin = performance.now();
      for (let last = begin; last - begin < 1e3 * seconds;) {
        await run();
        const now = performance.now();
        times.push(now - last);
        last = now;
      }
      return {ms: times, cpu_ms: (cpuMilliseconds() - beginCpu) / times.length};
    },
  };

  for await (const line of readline.createInterface({input: process.stdin})) {
    const [request, argument] = line.split(' ');
    const reply = await replies[request](+argument);
    const rested = await rest();
    console.log(JSON.stringify({...reply, rested}));
  }
}

main().catch(error => {
  console.error(error.message);
  process.exitCode = 1;
});
