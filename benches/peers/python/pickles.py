"""Writes trajectories (JSON lines on stdin) in the original system's layout and times reading them back.

One line a trajectory: a list of generations {"expressions", "fitnesses", "heritages", "best"}. The file is a gzipped
pickle of a list of trajectories, each a list of dicts, fitnesses 32-bit floats, as the original wrote them.
Prints one JSON object: bytes, and seconds of every reading.
"""

import gzip
import json
import pickle
import sys
import time

import numpy


def generation(number, g):
    fitnesses = numpy.array([-numpy.inf if f is None else f for f in g["fitnesses"]], "f4")
    return {
        "generation": number,
        "population_size": len(fitnesses),
        "expressions": g["expressions"],
        "fitnesses": fitnesses,
        "best_fitness": float(fitnesses[g["best"]]),
        "best_expression": g["expressions"][g["best"]],
        "heritages": [tuple(parents) for parents in g["heritages"]],
    }


def main(path, rounds):
    trajectories = [[generation(n, g) for n, g in enumerate(json.loads(line))] for line in sys.stdin]
    with gzip.open(path, "wb") as file:
        pickle.dump(trajectories, file, protocol=pickle.HIGHEST_PROTOCOL)
    del trajectories
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        with gzip.open(path) as file:
            read = pickle.load(file)
        seconds.append(time.perf_counter() - started)
        del read
    print(json.dumps({"python": sys.version.split()[0], "seconds": seconds}))


main(sys.argv[1], int(sys.argv[2]))
