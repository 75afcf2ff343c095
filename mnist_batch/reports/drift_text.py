"""How a run differs from the nights before it, in sentences."""

from collections.abc import Mapping

from mnist_batch.reports.drift_metrics import METRICS, SURE
from mnist_batch.schemas.drift_facts import Alert, Drift
from mnist_batch.schemas.tables import CLASSES
from mnist_batch.wording import counted

MOST = 3  # alerts that a line names
# What a metric below, and above, what was expected means, and what may be the cause.
MEANINGS: Mapping[str, tuple[str, str]] = {
    **{
        f"digit_{digit}": (f"the digit {digit} is rarer than before", f"the digit {digit} is more frequent than before")
        for digit in range(CLASSES)
    },
    "blank": ("fewer rows are blank", "more rows are blank: pages may be scanned from the wrong side or shifted"),
    "refused": ("fewer rows are refused", "more rows hold no digit or several: cells may be cut wrongly"),
    "unreadable": ("fewer rows cannot be read", "more rows cannot be read: files or pages may be damaged"),
    "review": ("fewer rows are for review", "more rows are for review: the writing or the scans are harder to read"),
    "inverted": ("fewer pages are light on dark", "more pages are light on dark: a scanner may invert them"),
    "unsure": (
        f"fewer answers are less than {100 * SURE:g} % sure",
        f"more answers are less than {100 * SURE:g} % sure: the writing or the scans are harder to read",
    ),
    "stroke_width": (
        "strokes are thinner: another pen, or a brighter scan",
        "strokes are thicker: another pen, or a darker scan",
    ),
    "ink_share": ("there is less ink: thinner strokes, or a brighter scan", "there is more ink: thicker strokes"),
    "slant": (
        "the writing leans more to the left: other writers",
        "the writing leans more to the right: other writers",
    ),
    "contrast": (
        "ink differs less from its paper: a scanner set darker or brighter, or paler pens",
        "ink differs more from its paper: a scanner set otherwise, or darker pens",
    ),
    "width": ("digits are narrower: another resolution, or other writers", "digits are wider: another resolution"),
    "height": ("digits are lower: another resolution, or other writers", "digits are higher: another resolution"),
    "across": (
        "the writing or the field lies further left: another cut, or another printing of the form",
        "the writing or the field lies further right: another cut, or another printing of the form",
    ),
    "down": (
        "the writing or the field lies higher: another cut, or another printing of the form",
        "the writing or the field lies lower: another cut, or another printing of the form",
    ),
    "residual": ("pages fit their form better", "pages fit their form less well: another printing, or a bent scan"),
    "printed": ("less of the form's print is found: another printing, or a paler scan", "more of the print is found"),
    "seconds": ("reading is faster", "reading is slower: larger scans, or a busier machine"),
}


def sentence(found: Drift | None) -> str | None:
    """How many metrics drift, and the first of them; None where nothing was compared."""
    if found is None or not found.compared:
        return None
    with_what = _baseline(found)
    if not found.alerting:
        return f"drift: none; {counted(found.compared, 'metric')} as {with_what} let expect"
    named = "; ".join(f"{group_of(alert)}{value_of(alert)}" for alert in found.alerts[:MOST])
    more = f"; and {found.alerting - MOST} more" if found.alerting > MOST else ""
    metrics = counted(found.alerting, "metric")
    return f"drift: {metrics} of {found.compared:,} beyond what {with_what} let expect: {named}{more}"


def _baseline(found: Drift) -> str:
    if found.baseline == "calibration":
        return "the digits of the calibration"
    return f"the last {counted(len(found.runs), 'run')}" if len(found.runs) > 1 else f"run {found.runs[0]}"


def group_of(alert: Alert) -> str:
    """The rows that an alert is about, with a colon; empty for all of them."""
    named = [alert.source, alert.form and f"form {alert.form}", alert.field and f"field {alert.field}"]
    return ", ".join(filter(None, named)) + ": " if any(named) else ""


def value_of(alert: Alert) -> str:
    """A metric, its value, and the range in which it was expected."""
    return f"{METRICS[alert.metric].title} {METRICS[alert.metric].text(alert.value)} instead of {expected(alert)}"


def expected(alert: Alert) -> str:
    """The range in which a metric was expected."""
    metric = METRICS[alert.metric]
    return f"{metric.shown.partition('}')[0]}}}".format(metric.times * alert.low) + f" to {metric.text(alert.high)}"


def meaning(alert: Alert) -> str:
    """What an alert says, and what its cause may be."""
    return MEANINGS[alert.metric][alert.value > alert.high]
