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
        look = {"total": 1000, "unit": "‰", "bar_format": "{percentage:3.0f}% {bar:20} {elapsed} {desc}"}
        self.shown = None
        if any(parent.__module__ == "tqdm.notebook" for parent in tqdm.__mro__):
            from IPython.display import display

            # What a notebook keeps of a bar as text is from when it was shown, unless it can be shown again.
            self.bar = tqdm(**look, display=False)
            self.shown = display(self.bar.container, display_id=True)
        else:
            self.bar = tqdm(**look)

    def __call__(self, share, formula, error):
        self.bar.set_description_str(shown(formula, error), refresh=False)
        self.bar.update(round(1000 * share) - self.bar.n)

    def done(self):
        """Fills the bar, also where a search has ended before its budget was spent."""
        self.bar.n = self.bar.total
        self.bar.refresh()

    def close(self):
        # In notebooks a bar that is not full becomes red.
        self.bar.close()
        if self.shown is not None:
            self.shown.update(self.bar.container)


class Lines:
    """A line on standard error each second."""

    def __init__(self):
        self.last, self.newest = time.monotonic(), None

    def __call__(self, share, formula, error):
        self.newest, now = shown(formula, error), time.monotonic()
        if now - self.last >= LINE_EVERY:
            self.last = now
            self.write(share)

    def write(self, share):
        print(f"{share:4.0%} {self.newest}", file=sys.stderr, flush=True)

    def done(self):
        """Writes the last line, if there is anything to be told."""
        if self.newest is not None:
            self.write(1)

    def close(self):
        pass


def progress():
    """Returns a bar if tqdm is there, and plain lines otherwise."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return Lines()
    return Bar(tqdm)
