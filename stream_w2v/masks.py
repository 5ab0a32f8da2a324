"""What the ``log`` preset recognises, and the mask that each becomes.

Wherever something may begin, the longest match counts, and of equally long ones the first in the
table. What has an empty mask is left as the text that it is. ``docs/log-text.md`` has examples.
"""

from __future__ import annotations

_HEX = "[0-9A-Fa-f]"
_YEAR = r"(19|20)\d\d"
_MONTH = r"(0[1-9]|1[0-2])"
_DAY = r"(0[1-9]|[12]\d|3[01])"
_WEEKDAY = "((Mon|Tue|Wed|Thu|Fri|Sat|Sun),? {1,2})?"
_MONTH_NAME = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_MONTH_DAY = _MONTH_NAME + r" {1,2}\d?\d"
_DATE = "|".join(
    [
        f"{_YEAR}(-{_MONTH}-{_DAY}|/{_MONTH}/{_DAY}|[.]{_MONTH}[.]{_DAY})",
        rf"\d\d/\d\d/\d\d|\d?\d[-/.]\d?\d[-/.]{_YEAR}",
        rf"{_WEEKDAY}(\d?\d[-/ ]{_MONTH_NAME}[-/ ]{_YEAR}|{_MONTH_DAY},? {_YEAR})",
    ]
)
_COMPACT = rf"(19|20)?\d\d{_MONTH}{_DAY}[ T]([01]\d|2[0-3])[0-5]\d[0-5]\d"
_MINUTES = r"([01]?\d|2[0-3]):[0-5]\d"
_SECONDS = r":[0-5]\d([.,]\d{1,9})?"
_ZONE = r"(Z| ?[+-]\d\d:?\d\d| ?[AaPp][Mm])?"
_TIME = "|".join(
    [
        rf"(({_MONTH}-{_DAY} )?{_MINUTES}{_SECONDS}|{_COMPACT}){_ZONE}",
        f"({_DATE})(, |[T :]){_MINUTES}({_SECONDS})?{_ZONE}",
        f"{_WEEKDAY}{_MONTH_DAY} {_MINUTES}{_SECONDS}( ([A-Z]{{3,4}} )?{_YEAR})?",
    ]
)
_DECIMAL = r"\d+([.]\d+)?"
_DURATION_UNIT = "(ns|us|µs|μs|ms|s|m|h|d|(sec|min|hr)s?)"
_SIZE_UNIT = "([KMGTP]i?[Bb]?|[kmgt]i?[Bb]|[kg]|B)"
_IPV4 = r"\d{1,3}([.]\d{1,3}){3}"
_GROUP = _HEX + "{1,4}"
_GROUPS = f"{_GROUP}(:{_GROUP})"
_IPV6 = f"{_GROUPS}{{7}}|({_GROUPS}{{0,6}})?::({_GROUPS}{{0,6}}|({_GROUP}:){{0,5}}{_IPV4})?"
_NAME = "[0-9A-Za-z_.~%+@#$=-]+"
_QUERY = "[0-9A-Za-z_.~%+@#$=:/?&;*!|-]"

# What is read and then not matched is read again. So what repeats without bound either matches
# after each time, or is of letters and digits alone, which a word takes at once; or else a line
# would take time with the square of its length.
MASKS = (
    ("", "[A-Fa-f]+|::|</[0-9A-Za-z_]+"),
    ("<uuid>", f"{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"),
    ("<mac>", f"{_HEX}{{2}}((:{_HEX}{{2}}){{5}}|(-{_HEX}{{2}}){{5}})"),
    ("<ip>", rf"/?({_IPV4}(:\d{{1,5}}|/\d\d?|[.])?|({_IPV6})(/\d{{1,3}})?)"),
    ("<url>", f"://{_QUERY}+"),
    ("<path>", rf"(~|[.][.]?)?(/{{1,2}}{_NAME})+/*(\?{_QUERY}*)?"),
    ("<path>", rf"([A-Za-z]:|\\\\{_NAME})([\\/]{{1,2}}{_NAME})+[\\/]*"),
    ("<date>", _DATE),
    ("<time>", _TIME),
    ("<duration>", rf"(\d+{_DURATION_UNIT})*{_DECIMAL}{_DURATION_UNIT}"),
    ("<size>", _DECIMAL + _SIZE_UNIT),
    ("<num>", rf"\d+([.]\d+)*|\d{{1,3}}(,\d{{3}})+([.]\d+)?|{_DECIMAL}[Ee][+-]?\d+"),
    ("<hex>", f"0[Xx]{_HEX}+|{_HEX}{{6,}}"),
)
