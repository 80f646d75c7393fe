// The worker's functions for the page, each as a promise.

const worker = new Worker('worker.js', { type: 'module' });
const waiting = new Map();
let last = 0;

worker.onmessage = ({ data: { id, result, error } }) => {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) resolve(result);
  else reject(new Error(error));
};

worker.onerror = (event) => {
  waiting.forEach(({ reject }) => reject(new Error(event.message || 'worker.js cannot be loaded')));
  waiting.clear();
};

/// For instance ask('classify', 5). `transfer`: buffers among the arguments that need not be copied.
export function ask(call, ...given) {
  return askWith([], call, ...given);
}

export function askWith(transfer, call, ...given) {
  return new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage({ id: last, call, arguments: given }, transfer);
  });
}
