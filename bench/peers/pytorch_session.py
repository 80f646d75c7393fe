#!/usr/bin/env python3
"""PyTorch waiting for requests, for latency.py:

    pytorch_session.py MODEL.pt INPUT BATCH SIZE THREADS

MODEL.pt is TorchScript; it is frozen and optimised for inference, which folds
batch norms and gives weights the order of oneDNN.  The others and the requests
are those of latency.cpp.
"""
import json
import os
import sys
import time

# Attention is many small products, which PyTorch shares out by itself.  Threads
# of OpenBLAS would be a second where one is asked for, and beside two they made
# caformer_s18 four times slower.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy
import torch


def main():
    model, file, batch, size, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    network = torch.jit.optimize_for_inference(
        torch.jit.freeze(torch.jit.load(model).eval()))
    shape = (int(batch), 3, int(size), int(size))
    image = torch.from_numpy(
        numpy.fromfile(file, numpy.float32).reshape(shape))

    def answer(_):
        return {"logits": network(image).flatten().tolist()}

    def run(seconds):
        warm = time.perf_counter() + 0.5
        while time.perf_counter() < warm:
            network(image)
        times = []
        begin_cpu = time.process_time()
        begin = last = time.perf_counter()
        while last - begin < seconds:
            network(image)
            now = time.perf_counter()
            times.append(1e3 * (now - last))
            last = now
        cpu = time.process_time() - begin_cpu
        return {"ms": times, "cpu_ms": 1e3 * cpu / len(times)}

    replies = {"answer": answer, "run": run}
    with torch.inference_mode():
        for line in sys.stdin:
            request, *argument = line.split()
            reply = replies[request](float(argument[0]) if argument else None)
            print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
