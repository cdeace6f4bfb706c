"""Numbers as people write them, with separators of thousands, a currency or a per cent sign."""

import re
from collections.abc import Sequence
from itertools import takewhile

CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|KRW|TRY|ZAR|UAH|RUB|SGD|HKD"
CURRENCY = rf"(?:[A-Z]{{0,3}}[$£¥¢฿\u20a0-\u20cf]|{CODES}|kr\.?|zł|Kč|Ft|Rs\.?|Fr\.?)"
MINUS = "\N{MINUS SIGN}-"


def parse(text: str, decimal: str) -> tuple[float, str] | None:
    """Return the number and the currency of $1,200.50, CHF 1'200, (5), 1 200 or 45 % (0.45), None for any other text."""
    group = "[\\s'\N{RIGHT SINGLE QUOTATION MARK}_" + ".,".replace(decimal, "") + "]"
    number = rf"([1-9]\d{{0,2}}(?:{group}\d{{2,3}})*{group}\d{{3}}|\d+|)(?:{re.escape(decimal)}(\d+))?"
    match = re.fullmatch(rf"(\()?([+{MINUS}]?{CURRENCY}?)\s?([+{MINUS}]?){number}\s?({CURRENCY}|%|)(?(1)\))", text)
    if not match or not (match[4] or match[5]):
        return None
    value = float(re.sub(r"\D", "", match[4]) + "." + (match[5] or "0"))
    value *= -1 if match[1] or set(match[2] + match[3]) & set(MINUS) else 1
    return value / (100 if match[6] == "%" else 1), match[2].strip(f"+{MINUS}") + match[6].strip("%")


def parse_all(texts: Sequence[str], decimal: str) -> list[float] | None:
    """Return the numbers of the texts, None unless all are numbers and of one currency."""
    parsed = takewhile(bool, (parse(text, decimal) for text in texts))  # most texts end with the first
    found = [number for number in parsed if number]
    currencies = {currency for _, currency in found} - {""}
    return [number for number, _ in found] if len(found) == len(texts) and len(currencies) < 2 else None


def how_to_read(texts: Sequence[str]) -> str:
    """Return with which settings the texts are numbers; nothing when they are none."""
    found = {decimal: parse_all(texts, decimal) for decimal in ".,"}
    setting = "with data.formatted_numbers=true 'data.decimal=\"{}\"'"
    ways = [f"{numbers[0]:.10g} {setting.format(decimal)}" for decimal, numbers in found.items() if numbers]
    return f"{texts[0]!r} is read as {', as '.join(ways)}" * bool(ways)
