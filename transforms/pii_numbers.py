"""Personal data that is mostly digits: phone numbers, IP addresses, payment cards, bank accounts."""

import ipaddress
import re
from collections.abc import Iterator
from itertools import pairwise

Spans = Iterator[tuple[int, int]]

# --- phone ---

# North America: 202-555-0143, (212) 736-5000, 212.736.5000, with or without 1.
_NANP = re.compile(
    r"(?<![\w.,/+\-=$€£#*])(?:\+?1[ .\-])?(?:\(([2-9]\d\d)\) ?|([2-9]\d\d)([.\-]))([2-9]\d\d)([.\-])(\d{4})"
    r"(?![\w/*=]|[.,\-]\d)"
)
# With the country: +358 40 1234567, +44 (0)20 7946 0958, +8613812345678. Possessive, or a run of digits could be cut
# into groups in thousands of ways.
_INTERNATIONAL = re.compile(
    r"(?<![\w+*/=)\].])(?:\+|00(?=[1-9]\d?\d?[ \-]))[1-9](?:[ .\-/]?\(?\d{1,5}+\)?){2,8}+(?![\w*/=]|[.,]\d)"
)
# From a trunk zero, in groups: 020 7946 0958, 01 42 68 53 00, 040-123 4567, 030/1234567.
_TRUNK = re.compile(
    r"(?<![\w.,/+\-:=$€£#*])\(?0[1-9]\d{0,3}\)?[ \-/](?:\d{2,4}[ \-]){0,4}\d{2,8}(?![\w/*=:]|[.,\-]\d| ?[+*/=%])"
)
# Only where a word says so: "phone: 0401234567", "call me at 736-5000", "手机13812345678".
_TOLD = re.compile(
    r"(?:(?<![A-Za-z])(?:tele)?(?:phone|fax|cell|mobile|whatsapp|tel|puh|puhelin(?:numero)?|handy|telefon|téléphone|"
    r"teléfono)(?: ?(?:no|nr|num|number|#)\b)?|"
    r"\b(?:call|text|reach|ring|contact) (?:me|us|him|her|them) (?:at|on|under)|"
    r"电话号码|手机号码?|电话|联系方式|電話)"
    r"(?:[ \t]{0,3}(?:is|was|at|on|:|：|=|为|是|\.|\"|'|\|)){0,3}[ \t]{0,3}"
    r"(\+?\(?\d(?:[ \-.()]{0,2}\d){6,14})(?![\w])",
    re.IGNORECASE,
)
_TOLL_FREE = {"800", "833", "844", "855", "866", "877", "888", "900"}
_DATE = re.compile(r"\A\d{1,2}[./\- ]\d{1,2}[./\- ](?:19|20)?\d\d\Z|\A(?:19|20)\d\d[./\-]\d{1,2}[./\-]\d{1,2}\Z")


def phones(text: str) -> Spans:
    """Numbers in the form of one, or after a word that says so. Toll-free lines are nobody's own, 555 is fiction."""
    taken: list[tuple[int, int]] = []
    for match in _NANP.finditer(text):
        area, exchange = match[1] or match[2], match[4]
        same = match[3] is None or match[3] == match[5]
        if same and area not in _TOLL_FREE and "555" not in (area, exchange) and not _invented(match[0]):
            taken.append(match.span())
    for match in _INTERNATIONAL.finditer(text):
        digits = _digits(match[0])
        split = len(digits) != len(match[0].lstrip("+"))
        if 8 <= len(digits.lstrip("0")) <= 15 and (split or len(digits) >= 10) and not _fictional(digits):
            taken.append(match.span())
    for match in _TRUNK.finditer(text):
        digits = _digits(match[0])
        groups = [int(group) for group in re.findall(r"\d+", match[0])]
        counting = len(groups) > 2 and len({b - a for a, b in pairwise(groups)}) == 1  # 01 02 03 04 05
        if 9 <= len(digits) <= 12 and not (counting or _DATE.match(match[0]) or _invented(digits)):
            taken.append(match.span())
    for match in _TOLD.finditer(text):
        number = match[1].rstrip(" -.(")
        digits = _digits(number)
        if 7 <= len(digits) <= 15 and not _DATE.match(number) and not _fictional(digits):
            taken.append((match.start(1), match.start(1) + len(number)))
    end = 0
    for start, stop in sorted(taken):
        if start >= end:
            yield start, stop
            end = stop


def _digits(text: str) -> str:
    return "".join([one for one in text if "0" <= one <= "9"])


def _fictional(digits: str) -> bool:
    """North American numbers of fiction and of hotlines, and invented ones."""
    local = digits[-10:] if len(digits) in (10, 11) else digits
    if len(digits) in (7, 10, 11) and (local.startswith("555") or (len(local) == 10 and local[3:6] == "555")):
        return True
    return (len(local) == 10 and local[:3] in _TOLL_FREE and len(digits) >= 10) or _invented(digits)


def _invented(text: str) -> bool:
    """1234567890, 987-654-3210, 000 0000: hardly anybody's."""
    digits = _digits(text)
    tail = digits[-7:]
    runs = "01234567890123456789" + "|" + "98765432109876543210"
    return len(set(tail)) <= 2 or tail in runs or digits[-8:-1] in runs or digits[:7] in runs


# --- IP addresses ---

_IPV4 = re.compile(r"(?<![\w.\-])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\w\-]|\.\d|/\d)")
_VERSION_BEFORE = re.compile(
    r"(?:\bv|\bver\.?|\bversions?|\brelease|\bbuild|\bsection|\bchapter|§|[a-z]/)[ :]{0,2}\Z", re.IGNORECASE
)
_IPV6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,34}(?![\w:])")
# RFC 6890: private, loopback, link-local, documentation, multicast and reserved; first and last as numbers.
_NOBODYS = [
    (int(net[0]), int(net[-1]))
    for net in map(ipaddress.ip_network, (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/3",
        # public resolvers, which answers about networks name
        "1.1.1.1/32", "1.0.0.1/32", "8.8.8.8/32", "8.8.4.4/32", "9.9.9.9/32", "208.67.222.222/32", "208.67.220.220/32",
        # made up
        "123.45.67.89/32", "123.123.123.123/32", "12.34.56.78/32", "98.76.54.32/32", "111.111.111.111/32",
    ))
]  # fmt: skip


def ip_addresses(text: str) -> Spans:
    """Public addresses. Version and section numbers, netmasks and special ranges are none."""
    for match in _IPV4.finditer(text):
        parts = [int(part) for part in match.groups()]
        # 1.2.3.4 and 4.10.2.1 are numbers of versions and sections far more often than of machines
        if max(parts) > 255 or max(parts) < 20 or any(len(part) > 1 and part[0] == "0" for part in match.groups()):
            continue
        number = (parts[0] << 24) | (parts[1] << 16) | (parts[2] << 8) | parts[3]
        if any(low <= number <= high for low, high in _NOBODYS):
            continue
        if not _VERSION_BEFORE.search(text, max(0, match.start() - 12), match.start()):
            yield match.span()
    for match in _IPV6.finditer(text):
        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            continue
        top = int(address) >> 96
        if top != 0x20010DB8 and match[0].count(":") >= 3:  # 2001:db8::/32 is for documentation
            yield match.span()


# --- payment cards ---

_CARD = re.compile(r"(?<![\w.\-+])\d(?:[ \-]?\d){12,18}(?![\w]|[\-.]\d)")
# Numbers that Visa, Mastercard, American Express, Stripe and PayPal publish for tests.
_TEST_CARDS = {
    "4111111111111111", "4242424242424242", "4012888888881881", "4000056655665556", "4000000000000002", "4222222222222",
    "5555555555554444", "5105105105105100", "5200828282828210", "2223003122003222", "378282246310005",
    "371449635398431", "378734493671000", "6011111111111117", "6011000990139424", "30569309025904", "38520000023237",
    "3530111333300000",
    "3566002020360505", "6200000000000005", "4532015112830366", "4539578763621486", "4916338506082832",
}  # fmt: skip
_GROUPS = ((4, 4, 4, 4), (4, 6, 5), (4, 4, 4, 4, 3), (4, 6, 4), (6, 13))


def cards(text: str) -> Spans:
    """13 to 19 digits with an issuer's prefix and length (ISO/IEC 7812) and a right Luhn digit."""
    for match in _CARD.finditer(text):
        groups = tuple(len(group) for group in re.split(r"[ \-]", match[0]))
        digits = _digits(match[0])
        if (len(groups) > 1 and groups not in _GROUPS) or not _issued(digits) or digits in _TEST_CARDS:
            continue
        if _luhn(digits) and len(set(digits)) >= 5:
            yield match.span()


def _issued(digits: str) -> bool:
    size, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    return (
        (digits[0] == "4" and size in (13, 16, 19))  # Visa
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and size == 16)  # Mastercard
        or (two in (34, 37) and size == 15)  # American Express
        or ((four == 6011 or two == 65 or 644 <= three <= 649) and size == 16)  # Discover
        or (3528 <= four <= 3589 and size == 16)  # JCB
        or ((two in (36, 38) or 300 <= three <= 305) and size == 14)  # Diners Club
        or (two == 62 and 16 <= size <= 19)  # UnionPay
    )


def _luhn(digits: str) -> bool:
    total = 0
    for place, one in enumerate(reversed(digits)):
        value = int(one) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


# --- bank accounts ---

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
# Length by country (SWIFT IBAN registry).
_IBAN_LENGTHS = dict(
    pair.split(":")
    for pair in [
        "AD:24",
        "AE:23",
        "AL:28",
        "AT:20",
        "AZ:28",
        "BA:20",
        "BE:16",
        "BG:22",
        "BH:22",
        "BR:29",
        "BY:28",
        "CH:21",
        "CR:22",
        "CY:28",
        "CZ:24",
        "DE:22",
        "DK:18",
        "DO:28",
        "EE:20",
        "EG:29",
        "ES:24",
        "FI:18",
        "FO:18",
        "FR:27",
        "GB:22",
        "GE:22",
        "GI:23",
        "GL:18",
        "GR:27",
        "GT:28",
        "HR:21",
        "HU:28",
        "IE:22",
        "IL:23",
        "IQ:23",
        "IS:26",
        "IT:27",
        "JO:30",
        "KW:30",
        "KZ:20",
        "LB:28",
        "LC:32",
        "LI:21",
        "LT:20",
        "LU:20",
        "LV:21",
        "LY:25",
        "MC:27",
        "MD:24",
        "ME:22",
        "MK:19",
        "MR:27",
        "MT:31",
        "MU:30",
        "NL:18",
        "NO:15",
        "PK:24",
        "PL:28",
        "PS:29",
        "PT:25",
        "QA:29",
        "RO:24",
        "RS:22",
        "SA:24",
        "SC:31",
        "SE:24",
        "SI:19",
        "SK:24",
        "SM:27",
        "ST:25",
        "SV:28",
        "TL:23",
        "TN:24",
        "TR:26",
        "UA:29",
        "VA:22",
        "VG:24",
        "XK:20",
    ]
)
# The examples of the registry and of encyclopedias.
_TEST_IBANS = {
    "GB82WEST12345698765432", "GB29NWBK60161331926819", "GB33BUKB20201555555555", "DE89370400440532013000",
    "DE91100000000123456789", "FI2112345600000785", "FR1420041010050500013M02606", "FR7630006000011234567890189",
    "CH9300762011623852957", "NL91ABNA0417164300", "BE68539007547034", "ES9121000418450200051332",
    "IT60X0542811101000000123456", "SE4550000000058398257466", "NO9386011117947", "AT611904300234573201",
    "DK5000400440116243", "PL61109010140000071219812874", "IE29AIBK93115212345678",
}  # fmt: skip


def ibans(text: str) -> Spans:
    """Right length for the country and remainder 1 modulo 97 (ISO 13616)."""
    for match in _IBAN.finditer(text):
        # A word in capitals may stand behind the number: the country says where it ends.
        size = int(_IBAN_LENGTHS.get(match[0][:2], "0"))
        end, seen = 0, 0
        while end < len(match[0]) and seen < size:
            seen += match[0][end] != " "
            end += 1
        code = match[0][:end].replace(" ", "")
        if not size or len(code) != size or code in _TEST_IBANS or match[0][end : end + 1].isalnum():
            continue
        if int("".join(str(int(one, 36)) for one in code[4:] + code[:4])) % 97 == 1:
            yield match.start(), match.start() + end
