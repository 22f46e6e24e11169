"""Minimax polynomials for single.rs: Remez exchange, then coefficients rounded to their precision.

    pip install mpmath && python minimax.py

Every line fits `target(u)` by a polynomial of `n` coefficients on [a, b] so that the greatest |error| * weight(u) is
least; the weight turns it into the relative error of the function that the polynomial is part of (printed as bits).
"""

import struct

from mpmath import asin, atan, cos, exp, log, lu_solve, matrix, mp, mpf, pi, sin, sqrt, tan, tanh

mp.prec = 160


def remez(target, weight, a, b, n):
    # The shift keeps points away from 0, where weights vanish.
    nodes = [(a + b) / 2 - (b - a) / 2 * cos(pi * (i + mpf("0.001")) / n) for i in range(n + 1)]
    grid = [(a + b) / 2 - (b - a) / 2 * cos(pi * (i + mpf("0.001")) / 600) for i in range(601)]
    values = [(u, target(u), abs(weight(u))) for u in grid]
    for _ in range(12):
        rows = matrix([[u**k for k in range(n)] + [(-1) ** i / abs(weight(u))] for i, u in enumerate(nodes)])
        c = lu_solve(rows, matrix([target(u) for u in nodes]))[:n]
        error = lambda t, u: t - sum(c[k] * u**k for k in range(n))
        errors = [(error(t, u) * w, u) for u, t, w in values]
        runs = []  # the extreme of every run of one sign
        for e, u in errors:
            if runs and (e > 0) == (runs[-1][0] > 0):
                runs[-1] = max(runs[-1], (e, u), key=lambda p: abs(p[0]))
            else:
                runs.append((e, u))
        if len(runs) < n + 1:
            break
        while len(runs) > n + 1:
            runs.pop(0 if abs(runs[0][0]) < abs(runs[-1][0]) else -1)
        nodes = [u for _, u in runs]
    return list(c), max(abs(e) for e, _ in errors)


def single(x):
    return mpf(struct.unpack("f", struct.pack("f", float(x)))[0])


def double(x):
    return mpf(float(x))


def fit(name, target, weight, a, b, n, rounded=single):
    a, b = mpf(a), mpf(b)
    c, exact = remez(target, weight, a, b, n)
    c = [rounded(x) for x in c]
    grid = [a + (b - a) * (i + mpf("0.5")) / 1000 for i in range(1000)]
    worst = max(abs((target(u) - sum(x * u**k for k, x in enumerate(c))) * weight(u)) for u in grid)
    print(f"{name}: {float(-log(exact, 2)):.1f} bits, {float(-log(worst, 2)):.1f} rounded")
    for x in c:
        # The fewest digits that are read back as the same number.
        print("   ", next(t for d in range(1, 18) if rounded(mpf(t := f"{float(x):.{d}e}")) == x) + ",")


tiny = mpf(10) ** -8
half_ln2 = log(2) / 2 * mpf("1.001")
# e^r = 1 + r + r^2 p(r)
fit("exp", lambda r: (exp(r) - 1 - r) / r**2, lambda r: r**2 / exp(r), -half_ln2, half_ln2, 5)
near_one = sqrt(mpf(1) / 2) - 1, sqrt(mpf(2)) - 1
# log(1 + f) = f - f^2 / 2 + f^3 p(f)
fit("log", lambda f: (log(1 + f) - f + f * f / 2) / f**3, lambda f: f**3 / log(1 + f), *near_one, 8)
quarter = pi / 4 * mpf("1.005")
z = lambda f: (lambda u: f(sqrt(u)))
# sin r = r + r^3 p(r^2), cos r = 1 - r^2 / 2 + r^4 p(r^2), tan r = r + r^3 p(r^2)
fit("sin", z(lambda r: (sin(r) - r) / r**3), z(lambda r: r**3 / sin(r)), tiny, quarter**2, 3)
fit("cos", z(lambda r: (cos(r) - 1 + r * r / 2) / r**4), z(lambda r: r**4 / cos(r)), tiny, quarter**2, 3)
fit("tan", z(lambda r: (tan(r) - r) / r**3), z(lambda r: r**3 / tan(r)), tiny, quarter**2, 7)
# tanh x = x + x^3 p(x^2), |x| < 0.625; asin x = x + x^3 p(x^2), |x| <= 1/2; atan x = x + x^3 p(x^2), |x| <= 1
fit("tanh", z(lambda r: (tanh(r) - r) / r**3), z(lambda r: r**3 / tanh(r)), tiny, mpf("0.625") ** 2, 5)
fit("asin", z(lambda r: (asin(r) - r) / r**3), z(lambda r: r**3 / asin(r)), tiny, mpf("0.25"), 5)
fit("atan", z(lambda r: (atan(r) - r) / r**3), z(lambda r: r**3 / atan(r)), tiny, mpf(1), 9)
# log2(1 + f) = f p(f) and 2^r = p(r), in double precision, for pow
fit("log2", lambda f: log(1 + f) / log(2) / f, lambda f: f / log(1 + f), *near_one, 14, double)
fit("exp2", lambda r: mpf(2) ** r, lambda r: mpf(2) ** -r, "-0.5", mpf("0.5"), 7, double)
