"""Progress of a search, for people."""

import sys
import time

LINE_EVERY = 1.0
"""The least number of seconds between two lines, where there is no bar."""

LONGEST = 60
"""The number of characters of a formula that are shown."""


def shown(formula, error):
    """Returns the best formula so far and its error, short enough for a line."""
    short = formula if len(formula) <= LONGEST else formula[:LONGEST] + "…"
    return f"1 - R² {error:.3g}: {short}"


class Bar:
    """A bar of tqdm, which notebooks show as one of theirs."""

    def __init__(self, tqdm):
        self.bar = tqdm(total=1000, unit="‰", bar_format="{percentage:3.0f}% {bar:20} {elapsed} {desc}")

    def __call__(self, share, formula, error):
        self.bar.set_description_str(shown(formula, error), refresh=False)
        self.bar.update(round(1000 * share) - self.bar.n)

    def close(self):
        self.bar.close()


class Lines:
    """A line on standard error each second."""

    def __init__(self):
        self.last = time.monotonic()

    def __call__(self, share, formula, error):
        now = time.monotonic()
        if now - self.last >= LINE_EVERY:
            self.last = now
            print(f"{share:4.0%} {shown(formula, error)}", file=sys.stderr, flush=True)

    def close(self):
        pass


def progress():
    """Returns a bar if tqdm is there, and plain lines otherwise."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return Lines()
    return Bar(tqdm)
