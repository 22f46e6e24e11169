"""Driver of pyoperon and gplearn; what it is asked and answers is told in benches/peers/src/peer.rs."""

import json
import math
import os
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")  # gplearn's, about bad numbers in trees

SAMPLE = 0.1  # seconds that a sample takes at least
SEED = 0x1234_5678_9ABC_DEF1
COLUMNS = 3
BINARY = "+-*/"
FUNCTIONS = ("sin", "cos", "exp", "log", "sqrt")


def stream(seed, rows):
    """The stream of benches/peers/src/data.rs in [0, 1), [rows, columns]."""
    values = np.empty(COLUMNS * rows)
    for i in range(len(values)):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        values[i] = (seed >> 11) / 2**53
    return values.reshape(COLUMNS, rows).T


def evaluation_data(rows):
    return 0.1 + 2.9 * stream(SEED, rows)


def search_data(rows):
    x = -3.0 + 6.0 * stream(SEED ^ 7, rows)
    return x, np.sin(x[:, 0] * x[:, 1]) + 0.5 * x[:, 2] ** 2 + 1.3 * x[:, 0]


def sample(work, run):
    """Work per second; a pass that is not timed tells how many make a sample."""
    started = time.perf_counter()
    run()
    passes = min(max(math.ceil(SAMPLE / (time.perf_counter() - started)), 1), 100_000)
    started = time.perf_counter()
    for _ in range(passes):
        run()
    return work * passes / (time.perf_counter() - started)


def read(path):
    with open(path) as file:
        return [line.split() for line in file]


class Operon:
    """pyoperon. Its wheel computes in single precision with Eigen for x86-64-v3. Each of its variables carries a
    coefficient, so a leaf is a multiplication."""

    def __init__(self):
        import pyoperon as op

        self.op = op
        self.version = f"0.6.2 ({op.Version().splitlines()[0].split(' Release')[0]})"
        self.cache = {}

    def tree(self, tokens, hashes):
        """Operon's order is postfix with the first operand nearest to the operator: operands go in reverse."""
        op = self.op
        binary = dict(zip(BINARY, (op.Node.Add, op.Node.Sub, op.Node.Mul, op.Node.Div)))
        unary = {name: getattr(op.Node, name.capitalize()) for name in FUNCTIONS}
        stack = []
        for token in tokens:
            if token in binary:
                b, a = stack.pop(), stack.pop()
                stack.append(b + a + [binary[token]()])
            elif token in unary:
                stack.append(stack.pop() + [unary[token]()])
            elif token[0] == "x":
                stack.append([op.Node(op.NodeType.Variable, hashes[int(token[1:])])])
            else:
                stack.append([op.Node.Constant(float(token[1:]))])
        tree = op.Tree(stack[0])
        tree.UpdateNodes()
        return tree

    def prepare(self, path, rows):
        if (path, rows) not in self.cache:
            x = evaluation_data(rows)
            # The last column of a dataset is the target, which is not used.
            columns = np.asfortranarray(np.column_stack([x, x[:, 0]]).astype(np.float32))
            dataset = self.op.Dataset(columns)
            variables = sorted(dataset.Variables, key=lambda variable: variable.Index)
            trees = [self.tree(tokens, [variable.Hash for variable in variables]) for tokens in read(path)]
            # A dataset looks into the array without keeping it: if it goes, freed memory is evaluated, which is wrong and
            # many times slower.
            self.cache[path, rows] = dataset, trees, columns
        return self.cache[path, rows][:2]

    def evaluate(self, path, rows, mode):
        """gross: one call for all trees, which converts the list of trees first. net_of_list_conversion: that without
        the time of a call that fails right after the conversion; CalculateFitness must never get any further with a
        list of trees, as it writes beyond its buffer."""
        dataset, trees = self.prepare(path, rows)
        work = sum(tree.Length for tree in trees) * rows
        out = np.zeros((len(trees), rows), dtype=np.float32)
        gross = sample(work, lambda: self.op.EvaluateTrees(trees, dataset, self.op.Range(0, rows), out, 1))
        last = out[:, -1]
        if mode == "gross":
            return gross, last

        def conversion():
            try:
                self.op.CalculateFitness(trees, dataset, self.op.Range(0, 1), "X1", "no such metric")
            except RuntimeError:
                return
            raise AssertionError("an unknown metric is an error")

        return work / (work / gross - 1 / sample(1, conversion)), last

    def search(self, rows, generations, max_size, seed):
        from pyoperon.sklearn import SymbolicRegressor

        model = SymbolicRegressor(
            allowed_symbols="add,sub,mul,div,sin,cos,exp,log,sqrt,constant,variable",
            population_size=1000,
            generations=generations,
            max_evaluations=10**12,
            optimizer_iterations=0,
            epsilon=0.0,
            n_threads=1,
            random_state=seed,
            max_time=600,
            **({"max_length": max_size} if max_size else {}),
        )
        x, y = search_data(rows)
        started = time.perf_counter()
        model.fit(x, y)
        seconds = time.perf_counter() - started
        individuals = getattr(model, "individuals_", None)
        size = float(np.mean([i.Genotype.Length for i in individuals])) if individuals else None
        return model.stats_["evaluation_count"] / seconds, size


class Gplearn:
    """gplearn: double precision, protected operators, one numpy call a node. It has no exp of its own, and no limit on
    the size of trees but a penalty."""

    def __init__(self):
        import gplearn
        from gplearn import functions

        self.version = gplearn.__version__
        names = dict(zip(BINARY, ("add", "sub", "mul", "div")))
        known = functions._function_map
        self.functions = {name: known[names.get(name, name)] for name in (*BINARY, *FUNCTIONS) if name != "exp"}
        self.functions["exp"] = functions._Function(function=np.exp, name="exp", arity=1)
        self.cache = {}

    def program(self, tokens):
        from gplearn._program import _Program

        stack = []  # of programs in prefix order
        for token in tokens:
            if token in self.functions:
                arity = self.functions[token].arity
                operands = [item for operand in stack[-arity:] for item in operand]
                stack[-arity:] = [[self.functions[token], *operands]]
            else:
                stack.append([int(token[1:]) if token[0] == "x" else float(token[1:])])
        functions = list(self.functions.values())
        arities = {n: [f for f in functions if f.arity == n] for n in (1, 2)}
        return _Program(
            function_set=functions,
            arities=arities,
            init_depth=(2, 6),
            init_method="half and half",
            n_features=COLUMNS,
            const_range=(-2, 2),
            metric=None,
            p_point_replace=0.05,
            parsimony_coefficient=0.0,
            random_state=np.random.RandomState(0),
            program=stack[0],
        )

    def prepare(self, path):
        if path not in self.cache:
            self.cache[path] = [self.program(tokens) for tokens in read(path)]
        return self.cache[path]

    def evaluate(self, path, rows, mode):
        x, programs = evaluation_data(rows), self.prepare(path)
        last = [0.0] * len(programs)

        def run():
            for index, program in enumerate(programs):
                last[index] = program.execute(x)[-1]

        return sample(sum(len(program.program) for program in programs) * rows, run), last

    def search(self, rows, generations, max_size, seed):
        from gplearn.genetic import SymbolicRegressor

        model = SymbolicRegressor(
            population_size=1000,
            generations=generations,
            function_set=("add", "sub", "mul", "div", "sin", "cos", "log", "sqrt", self.functions["exp"]),
            n_jobs=1,
            random_state=seed,
            stopping_criteria=0.0,
        )
        x, y = search_data(rows)
        started = time.perf_counter()
        model.fit(x, y)
        seconds = time.perf_counter() - started
        return 1000 * generations / seconds, float(model.run_details_["average_length"][-1])


def answer(peers, request):
    peer, rows = peers[request["peer"]], request["rows"]
    figure = {"peer": request["peer"], "version": peer.version, "task": request["task"]}
    if request["task"] == "search":
        settings = request["generations"], request.get("max_size"), request["seed"]
        figure["value"], figure["mean_size"] = peer.search(rows, *settings)
        return figure | {"unit": "individuals/s", "params": {"rows": rows}}
    figure["value"], last = peer.evaluate(request["trees"], rows, request["mode"])
    figure["last"] = [float(value) if math.isfinite(value) else None for value in last]
    stem = os.path.splitext(os.path.basename(request["trees"]))[0]
    params = {"set": stem, "rows": rows, "type": request["type"], "mode": request["mode"]}
    return figure | {"unit": "node*rows/s", "params": params}


def main():
    # What the systems themselves print must not stand between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    peers, missing = {}, {}
    for name, system in (("pyoperon", Operon), ("gplearn", Gplearn)):
        try:
            peers[name] = system()
        except ImportError as error:
            missing[name] = str(error)
    print(json.dumps({"peers": {k: v.version for k, v in peers.items()}, "missing": missing}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            text = json.dumps(answer(peers, json.loads(line)), allow_nan=False)
        except Exception as error:  # whatever it is, the other side is told
            text = json.dumps({"error": f"{type(error).__name__}: {error}"})
        print(text, file=answers, flush=True)


if __name__ == "__main__":
    main()
