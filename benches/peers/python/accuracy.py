"""Driver of pyoperon and gplearn for bench-accuracy: it fits one table after the other and reports while it does.
What it is asked and answers is told in benches/peers/src/accuracy/wire.rs."""

import json
import math
import sys
import time
import traceback
import warnings

import numpy as np

warnings.filterwarnings("ignore")  # gplearn's, about bad numbers in trees

FOREVER = 10**9


class Clock:
    """The seconds of a fit, from the arrival of its data."""

    def __init__(self):
        self.started = time.perf_counter()

    def __call__(self):
        return time.perf_counter() - self.started


def non_dominated(members):
    """The members that are better than all shorter ones; each is a dict with size and error."""
    front = []
    for member in sorted(members, key=lambda m: (m["size"], m["error"])):
        if not front or member["error"] < front[-1]["error"]:
            front.append(member)
    return front


class Operon:
    """pyoperon as its authors run it for benchmarks: NSGA-II on R² and length, 10 iterations of Levenberg and Marquardt
    on every child, lengths to 50, populations of 1,000; nothing else is changed. The formula that it chooses is the one
    of the least Bayesian information criterion, because the description length, which is the default, depends on a
    noise that the caller has to know. Its wheel computes in single precision."""

    # Operon has no inverse, no cube and no negation: quotients, products and coefficients have their places.
    NAMES = {
        "+": "add", "-": "sub", "*": "mul", "/": "div", "inv": "div", "pow": "pow", "pow2": "square", "abs": "abs",
        "exp": "exp", "log": "log", "sqrt": "sqrt", "sin": "sin", "cos": "cos", "tan": "tan", "tanh": "tanh",
        "asin": "asin", "acos": "acos", "atan": "atan",
    }  # fmt: skip

    def __init__(self):
        import pyoperon
        import pyoperon.sklearn

        self.op = pyoperon
        self.sklearn = pyoperon.sklearn
        self.version = f"0.6.2 ({pyoperon.Version().splitlines()[0].split(' Release')[0]})"

    def fit(self, x, y, request, clock, report):
        op, names, y32 = self.op, request["names"], y.astype(np.float32)
        symbols = [self.NAMES[name] for name in request["operators"] if name in self.NAMES]
        symbols = list(dict.fromkeys([*symbols, "mul", "constant", "variable"]))
        before = None

        def member(tree, hashes, error):
            # Fixed-point numbers: 45 decimals hold all digits of what single precision holds.
            text = op.InfixFormatter.Format(tree, dict(zip(hashes, names)), 45)
            return {"formula": text, "size": tree.Length, "error": error}

        def scaled(genotype, dataset, table):
            """The model that pyoperon prints: least squares for scale and offset come last."""
            predicted = op.Evaluate(table, genotype, dataset, op.Range(0, len(y)))
            scale, offset = op.FitLeastSquares(predicted, y32)
            nodes = genotype.Nodes
            if scale != 1:
                nodes += [op.Node.Constant(scale), op.Node.Mul()]
            if offset != 0:
                nodes += [op.Node.Constant(offset), op.Node.Add()]
            error = float(np.mean((scale * predicted.astype(float) + offset - y) ** 2))
            return op.Tree(nodes).UpdateNodes(), error

        class Watched:
            """The algorithm with a callback after each generation; the estimator passes none."""

            def __init__(self, config, problem, *rest):
                self.algorithm, self.problem = op.NSGA2Algorithm(config, problem, *rest), problem

            def __getattr__(self, name):
                return getattr(self.algorithm, name)

            def Run(self, rng, _, threads, warm_start):
                table = op.DispatchTable()
                criterion = op.BayesianInformationCriterionEvaluator(self.problem, table)
                hashes = list(self.problem.InputHashes)
                failure = []

                def after_generation():
                    nonlocal before
                    try:
                        members, least = [], (math.inf, None)
                        for individual in self.algorithm.BestFront:
                            tree, error = scaled(individual.Genotype, capture.dataset, table)
                            members.append(member(tree, hashes, error))
                            judged = op.Individual()
                            judged.Genotype = tree
                            value = criterion(rng_of_reports, judged)[0]
                            if value < least[0]:
                                least = value, members[-1]["formula"]
                        members = [m for m in members if math.isfinite(m["error"])]
                        if members != before:
                            before = members
                            report({"seconds": clock(), "front": members, "chosen": least[1]})
                    except Exception:  # an exception must not pass through the other language
                        failure.append(traceback.format_exc())

                rng_of_reports = op.RandomGenerator(np.uint64(1))
                self.algorithm.Run(rng, after_generation, threads, warm_start)
                if failure:
                    raise RuntimeError(failure[0])

        class Capture:
            """The module as the estimator sees it."""

            dataset = None

            def __getattr__(self, name):
                if name == "NSGA2Algorithm":
                    return Watched
                if name == "Dataset":
                    return self.new_dataset
                return getattr(op, name)

            def new_dataset(self, columns):
                # A dataset looks into the array without keeping it.
                self.columns = np.asfortranarray(columns.astype(np.float32))
                self.dataset = op.Dataset(self.columns)
                return self.dataset

        capture = Capture()
        self.sklearn.op = capture
        model = self.sklearn.SymbolicRegressor(
            allowed_symbols=",".join(symbols),
            objectives=["r2", "length"],
            optimizer_iterations=10,
            model_selection_criterion="bayesian_information_criterion",
            generations=FOREVER,
            max_evaluations=FOREVER,
            epsilon=0.0,
            n_threads=request["threads"],
            random_state=request["seed"],
            max_time=max(math.ceil(request["seconds"]), 1),  # it knows whole seconds only
        )
        try:
            model.fit(x, y)
        finally:
            self.sklearn.op = op
        hashes = list(model.variables_)
        front = [member(one["tree"], hashes, float(one["mean_squared_error"])) for one in model.pareto_front_]
        chosen = member(model.model_, hashes, 0.0)["formula"]
        return {"front": [m for m in front if math.isfinite(m["error"])], "chosen": chosen}


class Gplearn:
    """gplearn with its defaults, generation by generation; it knows no seconds and no front. Its front is the last
    generation's. Operators that it does not have are numpy's, without guards; so a program whose error is no number
    gets the worst error there is, where numpy's argmin would have made it the best.

    It runs on one thread whatever it is allowed: its processes cost more than they gain on data of this size (0.3
    generations a second with two, 2 with one)."""

    WORST = 1e300

    NAMES = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
    OTHERS = {
        "exp": (np.exp, 1), "pow2": (np.square, 1), "pow3": (lambda a: a * a * a, 1), "tanh": (np.tanh, 1),
        "asin": (np.arcsin, 1), "acos": (np.arccos, 1), "atan": (np.arctan, 1), "pow": (np.power, 2),
    }  # fmt: skip

    def __init__(self):
        import gplearn
        from gplearn import functions

        from gplearn.fitness import make_fitness

        def mean_absolute_error(y, predicted, weights):
            error = np.average(np.abs(predicted - y), weights=weights)
            return error if error < self.WORST else self.WORST

        self.functions = functions
        self.metric = make_fitness(function=mean_absolute_error, greater_is_better=False, wrap=False)
        self.version = gplearn.__version__

    def function(self, name):
        if name in self.OTHERS:
            function, arity = self.OTHERS[name]
            return self.functions._Function(function=function, name=name, arity=arity)
        return self.functions._function_map[self.NAMES.get(name, name)]

    def text(self, program, names):
        """What gplearn prints, with all digits of the numbers."""
        out, open_ = [], []
        for node in program.program:
            if isinstance(node, self.functions._Function):
                out.append(node.name + "(")
                open_.append(node.arity)
                continue
            out.append(names[node] if isinstance(node, int) else repr(float(node)))
            while open_:
                open_[-1] -= 1
                if open_[-1] > 0:
                    out.append(", ")
                    break
                open_.pop()
                out.append(")")
        return "".join(out)

    def fit(self, x, y, request, clock, report):
        from gplearn.genetic import SymbolicRegressor

        model = SymbolicRegressor(
            function_set=[self.function(name) for name in request["operators"]],
            metric=self.metric,
            random_state=request["seed"],
            generations=1,
            warm_start=True,
            low_memory=True,
        )
        last = {"front": [], "chosen": None}
        for generation in range(1, FOREVER):
            model.set_params(generations=generation)
            model.fit(x, y)
            programs = [program for program in model._programs[-1] if program.raw_fitness_ < self.WORST]
            members = [{"size": p.length_, "error": float(p.raw_fitness_), "program": p} for p in programs]
            front = non_dominated(members)
            for member in front:
                member["formula"] = self.text(member.pop("program"), request["names"])
            now = {"front": front, "chosen": self.text(model._program, request["names"])}
            if now != last:
                last = now
                report({"seconds": clock(), **now})
            # It stops by itself at an error of 0: the next call would find all generations made.
            least = min((member["error"] for member in members), default=1.0)
            if clock() >= request["seconds"] or least <= model.stopping_criteria:
                break
        return last


def main():
    # What the systems themselves print must not stand between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr

    def say(value):
        print(json.dumps(value, allow_nan=False), file=answers, flush=True)

    peers, missing = {}, {}
    for name, system in (("pyoperon", Operon), ("gplearn", Gplearn)):
        try:
            peers[name] = system()
        except ImportError as error:
            missing[name] = str(error)
    say({"peers": {name: peer.version for name, peer in peers.items()}, "missing": missing})
    for line in sys.stdin:
        clock = Clock()
        try:
            request = json.loads(line)
            x, y = np.array(request["columns"]).T, np.array(request["y"])
            end = peers[request["peer"]].fit(x, y, request, clock, say)
            say({"seconds": clock(), **end, "end": True})
        except Exception as error:  # whatever it is, the other side is told
            traceback.print_exc()
            say({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
