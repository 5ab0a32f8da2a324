"""Plain-Python twins of everything that is compiled, written from the formulas.

Nothing here comes from the package, so that a mistake is not made twice. Whole numbers are exact;
float64 sums are added up in the order that the kernels document; vectors are stored as float32
but moved in float64, so they agree with the compiled ones to float32 rounding only.
"""

import math
import re
import unicodedata

import numpy as np

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
PIECE_TOKENS = 4096
MAX_WORD_BYTES = 256
LOSS_EVERY = 128
LOSS = 0x1055
REPLAY = 0x4EB1A7
REFRESH = 0xAF4E54
INITIAL_VECTORS = 0x5EED
MOST_ROWS = 1000
"""Words that a test of the whole model may use."""

# Random numbers.


def mix(value):
    """Scramble 64 bits as splitmix64 does."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


class Generator:
    """Generator ``number`` under a seed: a counter in steps of the golden ratio, scrambled."""

    def __init__(self, seed, number):
        self.state = mix((mix((seed + GOLDEN) & MASK) + number * GOLDEN) & MASK)

    def draw(self):
        """Return 64 random bits."""
        self.state = (self.state + GOLDEN) & MASK
        return mix(self.state)

    def unit(self):
        """Return a float in 0 <= u < 1."""
        return (self.draw() >> 11) / 2**53

    def below(self, bound):
        """Return a whole number in 0..bound - 1."""
        return below(self.draw(), bound)


def below(draw, bound):
    """Map the high half of 64 random bits to 0..bound - 1."""
    return (draw >> 32) * bound >> 32


# Text.


def decode(raw):
    """Decode UTF-8; return the text, and how many characters of it replace what was not UTF-8."""
    text = raw.decode("utf-8", "replace")
    # A character U+FFFD that was in the text is not counted, so it is first made another one.
    masked = raw.replace("\ufffd".encode(), b"?")
    return text, masked.decode("utf-8", "replace").count("\ufffd")


def is_mark(character):
    """Say whether a character combines with the one before it; beyond plane 1 all are letters."""
    return unicodedata.category(character).startswith("M") and ord(character) < 0x20000


def words(text):
    """Cut a text into lower-cased runs of letters and digits; marks continue a run."""
    result = [""]
    for character in text:
        if character.isalnum() or (is_mark(character) and result[-1]) or ord(character) >= 0x20000:
            result[-1] += character.lower()
        elif result[-1]:
            result.append("")
    return [word for word in result if word]


def whitespace(text):
    """Cut a text at white space."""
    return text.split()


def any_of(*patterns):
    """Return a pattern for any of some patterns."""
    return f"(?:{'|'.join(patterns)})"


HEX, DIGIT = "[0-9A-Fa-f]", "[0-9]"
NAME = "[-0-9A-Za-z_.~%+@#$=]"
QUERY = "[-0-9A-Za-z_.~%+@#$=:/?&;*!|]"
TWO = [f"{number:02}" for number in range(60)]
MONTH, DAY, HOUR, SIXTY = (
    any_of(*TWO[low:high]) for low, high in ((1, 13), (1, 32), (0, 24), (0, 60))
)
YEAR = any_of("19", "20") + DIGIT * 2
ABOUT_DAY = DIGIT + "?" + DIGIT
ON = any_of("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun") + ",? ? "
IN = any_of("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MINUTE = any_of(HOUR, DIGIT) + ":" + SIXTY
SECOND = f":{SIXTY}(?:[.,]{DIGIT}{{1,9}})?"
ZONE = any_of("Z", f" ?[-+]{DIGIT * 2}:?{DIGIT * 2}", " ?[AaPp][Mm]", "")
DATE = any_of(
    *(YEAR + sign + MONTH + sign + DAY for sign in ("-", "/", "[.]")),
    "/".join([DIGIT * 2] * 3),
    f"{ABOUT_DAY}[-./]{ABOUT_DAY}[-./]{YEAR}",
    f"(?:{ON})?{ABOUT_DAY}[-/ ]{IN}[-/ ]{YEAR}",
    f"(?:{ON})?{IN}  ?{ABOUT_DAY},? {YEAR}",
)
DECIMAL = f"{DIGIT}+(?:[.]{DIGIT}+)?"
UNIT = any_of("ns", "us", "\u00b5s", "\u03bcs", "ms", "s", "secs?", "m", "mins?", "h", "hrs?", "d")
IPV4 = "[.]".join([DIGIT + "{1,3}"] * 4)
IPV6 = any_of(
    ":".join([HEX + "{1,4}"] * 8),
    *(
        ":".join([HEX + "{1,4}"] * before) + "::" + tail
        for before in range(8)
        for tail in (
            *(":".join([HEX + "{1,4}"] * after) for after in range(8)),
            *(":".join([*[HEX + "{1,4}"] * after, IPV4]) for after in range(6)),
        )
    ),
)
URL = f"://{QUERY}+"
RECOGNISED = {
    "": any_of("[A-Fa-f]+", "::", "</[0-9A-Za-z_]+"),
    "<uuid>": "-".join(HEX * length for length in (8, 4, 4, 4, 12)),
    "<mac>": any_of(":".join([HEX * 2] * 6), "-".join([HEX * 2] * 6)),
    "<ip>": any_of(
        f"/?{IPV4}{any_of(f':{DIGIT}{{1,5}}', f'/{DIGIT}{{1,2}}', '[.]', '')}",
        f"/?{IPV6}(?:/{DIGIT}{{1,3}})?",
    ),
    "<url>": URL,
    "<path>": any_of(
        rf"{any_of('~', '[.]', '[.][.]', '')}(?://?{NAME}+)+/*(?:\?{QUERY}*)?",
        rf"(?:[A-Za-z]:|\\\\{NAME}+)(?:[/\\][/\\]?{NAME}+)+[/\\]*",
    ),
    "<date>": DATE,
    "<time>": any_of(
        f"(?:{MONTH}-{DAY} )?{MINUTE}{SECOND}{ZONE}",
        f"{any_of('19', '20', '')}{DIGIT * 2}{MONTH}{DAY}[ T]{HOUR}{SIXTY}{SIXTY}{ZONE}",
        f"{DATE}{any_of(', ', '[:T ]')}{MINUTE}{any_of(SECOND, '')}{ZONE}",
        f"(?:{ON})?{IN}  ?{ABOUT_DAY} {MINUTE}{SECOND}(?:(?: [A-Z]{{3,4}})? {YEAR})?",
    ),
    "<duration>": f"(?:{DIGIT}+{UNIT})*{DECIMAL}{UNIT}",
    "<size>": DECIMAL + any_of("[kg]", "B", "[KMGTP]i?[Bb]?", "[kmgt]i?[Bb]"),
    "<num>": any_of(
        f"{DIGIT}+(?:[.]{DIGIT}+)*",
        f"{DIGIT}{{1,3}}(?:,{DIGIT * 3})+(?:[.]{DIGIT}+)?",
        f"{DECIMAL}[Ee][-+]?{DIGIT}+",
    ),
    "<hex>": any_of(f"0[Xx]{HEX}+", f"{HEX}{{6,}}"),
}
"""The masks of logs, in the order in which they count where two are equally long."""

ANY_MASK = re.compile("|".join(f"({pattern})" for pattern in RECOGNISED.values()))


def is_letter(character):
    """Say whether a character may stand in a word; marks do, after another one."""
    return character.isalnum() or is_mark(character) or ord(character) >= 0x20000


def recognise(text, start):
    """Return the mask of the longest text from a place that has one, and where it ends."""
    if not ANY_MASK.match(text, start):
        return None, start
    # Only dates and times have spaces in them, and they are shorter than that.
    furthest = max(start + 60, len(text[start:].partition(" ")[0]) + start)
    for end in range(min(furthest, len(text)), start, -1):
        if end == len(text) or not is_letter(text[end]):
            match = ANY_MASK.fullmatch(text, start, end)
            if match:
                return list(RECOGNISED)[match.lastindex - 1], end
    return None, start


def cut_at_case(run):
    """Cut before a capital that follows a small letter, or that one follows."""
    parts, small = [""], False
    for i, character in enumerate(run):
        if i and character.isupper() and (small or run[i + 1 : i + 2].islower()):
            parts.append("")
        parts[-1] += character
        if not is_mark(character):
            small = character.islower()
    return parts


def log(text, split=False):
    """Cut a line of a log, with masks for what is recognised."""
    result, last, place, plain = [], None, 0, 0
    while place < len(text):
        after_letter = place > 0 and is_letter(text[place - 1])
        mask, end = None, place
        if place >= plain and (not after_letter or re.compile(f"{URL}|</").match(text, place)):
            mask, end = recognise(text, place)
        if mask == "":
            plain = end
        if mask:
            parts = [mask]
        elif is_letter(text[place]) and not is_mark(text[place]):
            end = next((i for i in range(place, len(text)) if not is_letter(text[i])), len(text))
            parts = cut_at_case(text[place:end]) if split else [text[place:end]]
            parts = ["".join(map(str.lower, re.sub("[0-9]{4,}", "<num>", part))) for part in parts]
        else:
            place += 1
            continue
        gap = text[last:place] if last is not None else ""
        joint = "_+-?" if text[place] in "0123456789" else "_+"
        if not split and is_letter(text[place]) and re.fullmatch(joint, gap):
            result[-1] += "_" + parts.pop(0)
        result += parts
        last = place = end
    return result


PRESETS = {
    "words": words,
    "whitespace": whitespace,
    "log": log,
    "log, split": lambda text: log(text, split=True),
}


def tokenise(raw, preset):
    """Cut a record; return its words as bytes, the invalid characters and the oversize words."""
    text, invalid = decode(raw)
    found = [word.encode() for word in PRESETS[preset](text)]
    fitting = [word for word in found if len(word) <= MAX_WORD_BYTES]
    return fitting, invalid, len(found) - len(fitting)


def pieces(tokens):
    """Cut the words of a record into pieces; a record without words is one empty piece."""
    cuts = range(0, max(len(tokens), 1), PIECE_TOKENS)
    return [tokens[cut : cut + PIECE_TOKENS] for cut in cuts]


def hash_word(word):
    """Hash bytes: FNV-1a, scrambled."""
    value = 0xCBF29CE484222325
    for byte in word:
        value = (value ^ byte) * 0x100000001B3 & MASK
    return mix(value)


# Noise.


def power(count, exponent):
    """Return ``count ** exponent``, for 3/4 by two square roots, as the kernel rounds it."""
    if exponent == 0.75:
        return math.sqrt(count) * math.sqrt(math.sqrt(count))
    return float(count) ** exponent


def alias_table(counts, exponent):
    """Build the alias table as Vose does.

    Returns a list of (threshold in 0..2^32, other row), empty without mass, and the mass.
    """
    shares = [power(count, exponent) if count > 0 else 0.0 for count in counts]
    mass = 0.0
    for share in shares:
        mass += share
    if mass <= 0:
        return [], mass
    heaviest = shares.index(max(shares))
    scale = len(shares) / mass
    shares = [share * scale for share in shares]
    small = [row for row, share in enumerate(shares) if share < 1]
    large = [row for row, share in enumerate(shares) if share >= 1]
    table = [(0, heaviest)] * len(shares)
    while small and large:
        low, high = small.pop(), large[-1]
        table[low] = (int(shares[low] * 2**32), high)
        shares[high] -= 1.0 - shares[low]
        if shares[high] < 1:
            small.append(large.pop())
    # Only rounding leaves a small row.
    for row in small:
        table[row] = (int(min(shares[row], 0.9999999997) * 2**32), heaviest)
    for row in large:
        table[row] = (2**32 - 1, row)
    return table, mass


def draw_row(table, draw):
    """Draw a row by 64 random bits: the high half picks an entry, the low half its side."""
    if not table:
        return 0
    row = below(draw, len(table))
    threshold, other = table[row]
    return row if draw & 0xFFFFFFFF < threshold else other


def draw_rows(table, seed, size):
    """Draw ``size`` rows by a generator of their own."""
    random = Generator(seed, 0)
    return [draw_row(table, random.draw()) for _ in range(size)]


def staleness(mass, built_mass):
    """Bound the total variation distance between the table and the live distribution."""
    if built_mass <= 0:
        return 1.0 if mass > 0 else 0.0
    return max(0.0, 1.0 - built_mass / mass)


# Learning rates.

DEFAULT_RATES = {"per-row": 0.2, "linear": 0.05, "inverse-sqrt": 0.05, "constant": 0.025}


def learning_rate(schedule, rate, floor, windows, tokens, total_tokens):
    """Return the rate of a row that was in so many windows, after so many tokens."""
    rate = DEFAULT_RATES[schedule] if rate is None else rate
    floor = min(floor, rate)
    if schedule == "per-row":
        result = (rate ** (-4 / 3) + 0.1 * windows) ** -0.75
    elif schedule == "linear":
        result = floor + (rate - floor) * max(0.0, 1 - tokens / total_tokens)
    elif schedule == "inverse-sqrt":
        result = rate / math.sqrt(1 + tokens / 1_000_000)
    else:
        result = rate
    return max(result, floor)


# Training.


def sigmoid(value):
    """Logistic function, of values limited to -10..10."""
    return 1 / (1 + np.exp(-np.clip(value, -10, 10)))


def objective(inputs, outputs, targets, weights):
    """Sum Goldberg & Levy's equation 4 over the inputs of a window, float64."""
    scores = np.float64(inputs) @ np.float64(outputs).T
    # -log s(v) for the centre and -log s(-v) for noise, both log(1 + exp(-+v)).
    signs = np.where(np.asarray(targets) > 0, -1.0, 1.0)
    return float((weights * np.logaddexp(0, signs * scores)).sum())


def train_window(inputs, input_rows, rates, outputs, output_rows, targets, weights, output_rates):
    """Train input rows against output rows, both float32 ``[rows, d]``, in blocks of six outputs.

    Outputs of weight 0 keep their place in the blocks and do nothing. Within a block every
    gradient uses the values from before it; but a context word that occurs twice is updated
    twice, and the second time the outputs see it as the first left it. Returns the loss, of each
    block before it was trained.
    """
    loss = 0.0
    for begin in range(0, len(output_rows), 6):
        block = [j for j in range(begin, min(begin + 6, len(output_rows))) if weights[j] > 0]
        rows, step, target, weight = (
            np.array([values[j] for j in block], dtype=kind)
            for values, kind in (
                (output_rows, int), (output_rates, float), (targets, float), (weights, float)
            )
        )  # fmt: skip
        ys = np.float64(outputs[rows])
        probabilities = sigmoid(np.float64(inputs[input_rows]) @ ys.T)
        loss -= (weight * np.log(np.where(target > 0, probabilities, 1 - probabilities))).sum()
        errors = weight * (target - probabilities)
        moved = ys.copy()
        for row, rate, error in zip(input_rows, rates, errors, strict=True):
            x = np.float64(inputs[row])
            moved += (step * error)[:, None] * x
            inputs[row] = x + rate * (error @ ys)
        outputs[rows] = moved
    return loss


class NaiveWord2Vec:
    """The whole model: words in dicts, one record at a time.

    Options are those of the package's ``Config`` by name; ``hash_word`` may be replaced, to
    force collisions.
    """

    def __init__(
        self, *, vector_size=100, window=5, negative=5, min_count=5, sample=1e-3,
        ns_exponent=0.75, noise_staleness=0.05, max_vocab_size=1_000_000,
        max_candidates=3_000_000, half_life=None, schedule="per-row", learning_rate=None,
        min_learning_rate=0.0, total_tokens=None, seed=1, replay_tokens=0, replay_passes=3,
        replay_sample=1e-4, refresh_contexts=0, hash_word=hash_word,
    ):  # fmt: skip
        self.vector_size, self.window, self.negative = vector_size, window, negative
        self.min_count, self.sample, self.seed = min_count, sample, seed
        self.ns_exponent, self.noise_staleness = ns_exponent, noise_staleness
        self.max_vocab_size, self.max_candidates = max_vocab_size, max_candidates
        self.half_life = half_life
        if replay_tokens and schedule == "per-row":
            learning_rate = learning_rate or 0.14
        self.rate_options = (schedule, learning_rate, min_learning_rate)
        self.total_tokens = total_tokens
        self.replay_tokens, self.replay_passes = replay_tokens, replay_passes
        self.replay_sample = replay_sample
        self.rare_count = 4 * min_count if refresh_contexts else 0
        self.hash_word = hash_word

        # Of every piece that was ever learnt the known rows, None for evicted ones.
        self.ring = []
        self.passed = [0] * replay_passes  # pieces that each pass has been through
        # Buckets of at most eight (key, rows before and after), each with the turn to go.
        self.buckets = [[None] * 8 for _ in range(-(-refresh_contexts // 8))]
        self.turns = [0] * len(self.buckets)
        self.settling, self.left = False, 1.0  # catching up, and what is left of the rates
        self.rows = {}  # word: row
        self.count = {}  # row: occurrences, in units of the increment
        self.stamp = {}  # row: the piece in which its word last occurred
        self.free = []  # rows whose words were evicted, the next one to use last
        self.waiting = {}  # hash: occurrences
        self.increment, self.total = 1.0, 0.0
        self.table, self.mass, self.built_mass, self.rebuilds = [], 0.0, 0.0, 0
        shape = (min(max_vocab_size, MOST_ROWS), vector_size)
        self.inputs, self.outputs = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.input_windows, self.output_windows = np.zeros(shape[0]), np.zeros(shape[0])
        self.counters = dict.fromkeys(
            ("pieces", "replays", "records", "words", "kept", "windows", "loss", "loss_pairs",
             "evicted", "forgotten"), 0)  # fmt: skip

    @property
    def rows_end(self):
        """One more than the highest row that ever held a word."""
        return len(self.rows) + len(self.free)

    def learn(self, record):
        """Learn one record: a list of words, as bytes."""
        for piece in pieces(record):
            self._count_all(piece)
            if staleness(self.mass, self.built_mass) >= self.noise_staleness:
                self._rebuild()
            random = Generator(self.seed, self.counters["pieces"])
            found = [self.rows.get(word) for word in piece]
            kept, places = self._thin(found, self.sample, random)
            if self.rare_count:
                self._remember_rare(piece, found, kept, places)
            known = [row for row in found if row is not None]
            if self.replay_tokens and known:
                self.ring.append(known)
            if len(kept) >= 2:
                self._train(kept, random)
            self.counters["kept"] += len(kept)
            while due := self._due():
                self._replay(due)
            self.counters["pieces"] += 1
            self.counters["words"] += len(piece)
            if self.half_life is not None:
                self._age(len(piece))
        self.counters["records"] += 1

    # The vocabulary.

    def _count_all(self, piece):
        self.numbers = []
        for word in piece:
            row = self.rows.get(word)
            if row is None:
                row, number = self._wait(word)
            else:
                before = self.count[row]
                self.count[row] += self.increment
                self.total += self.increment
                gained = power(self.count[row], self.ns_exponent)
                self.mass += gained - power(before, self.ns_exponent)
                number = round(self.count[row] / self.increment)
                if before <= self.rare_count * self.increment < self.count[row]:
                    for old in range(1, self.rare_count + 1):
                        self._forget_context(self.hash_word(word), old)
                if self.count[row] > self.rare_count * self.increment:
                    number = 0
            self.numbers.append(number if number <= self.rare_count else 0)
            if row is not None:
                self.stamp[row] = self.counters["pieces"]

    def _wait(self, word):
        """Count a word without a row, and give it one if it is time.

        Return the row, or None, and which of its occurrences this is.
        """
        value = self.hash_word(word)
        seen = self.waiting.get(value, 0) + 1
        if seen >= self.min_count:
            if len(self.rows) == self.max_vocab_size:
                self._evict()
            self.waiting.pop(value, None)
            return self._admit(word, seen), seen
        if seen == 1 and len(self.waiting) == self.max_candidates:
            self._halve()
        self.waiting[value] = seen
        return None, seen

    def _admit(self, word, seen):
        row = self.free.pop() if self.free else len(self.rows)
        self.rows[word] = row
        self.count[row] = seen * self.increment
        self.total += self.count[row]
        self.mass += power(self.count[row], self.ns_exponent)
        random = Generator(self.seed ^ INITIAL_VECTORS, self.hash_word(word))
        self.inputs[row] = [
            (random.unit() - 0.5) / self.vector_size for _ in range(self.vector_size)
        ]
        return row

    def _halve(self):
        before = len(self.waiting)
        while len(self.waiting) >= self.max_candidates:
            self.waiting = {value: n // 2 for value, n in self.waiting.items() if n > 1}
        self.counters["forgotten"] += before - len(self.waiting)

    def _evict(self):
        """Take the rows of the lowest counts, of equal ones those unseen for longest."""
        words = {row: word for word, row in self.rows.items()}
        order = sorted(words, key=lambda row: (self.count[row], self.stamp[row], row))
        gone = sorted(order[: len(order) - int(0.9 * self.max_vocab_size)])
        for row in gone:
            del self.rows[words[row]], self.count[row], self.stamp[row]
            self.inputs[row] = self.outputs[row] = 0.0
            self.input_windows[row] = self.output_windows[row] = 0.0
        for piece in self.ring:
            piece[:] = [None if row in gone else row for row in piece]
        for bucket in self.buckets:
            for kept in filter(None, bucket):
                kept[1][:] = [None if row in gone else row for row in kept[1]]
        self.free = gone[::-1]
        self.total = math.fsum(self.count.values())
        self.counters["evicted"] += len(gone)
        self._rebuild()

    def _age(self, tokens):
        self.increment *= 2.0 ** (tokens / self.half_life)
        if self.increment > 2.0**40:
            scale = 1.0 / self.increment
            self.count = {row: count * scale for row, count in self.count.items()}
            self.total *= scale
            self.increment = 1.0
            self._rebuild()

    # Noise and subsampling.

    def _rebuild(self):
        counts = [self.count.get(row, 0.0) for row in range(self.rows_end)]
        self.table, self.mass = alias_table(counts, self.ns_exponent)
        self.built_mass = self.mass
        self.rebuilds += 1

    def _thin(self, found, sample, random):
        """Return the rows that are left, and how many of them stand before each word."""
        kept, places = [], []
        for row in found:
            places.append(len(kept))
            if row is None:
                continue
            keep = 1.0
            if sample > 0:
                x = sample * self.total / self.count[row]
                keep = math.sqrt(x) + x
            if keep >= 1 or random.unit() < keep:
                kept.append(row)
        return kept, places

    # The replay.

    def _due(self):
        """Return the first pass that lags more than its share of the ring, 1..P, or None."""
        written = sum(map(len, self.ring))
        for k in range(1, self.replay_passes + 1):
            passed = sum(map(len, self.ring[: self.passed[k - 1]]))
            if self.replay_tokens and written - passed > (
                self.replay_tokens * k // self.replay_passes
            ):
                return k
        return None

    def _replay(self, k):
        piece = self.ring[self.passed[k - 1]]
        self.passed[k - 1] += 1
        for row in piece:
            if row is not None:
                self.stamp[row] = self.counters["pieces"]
        self._train_again(piece)

    def _train_again(self, piece):
        random = Generator(self.seed ^ REPLAY, self.counters["replays"])
        self.counters["replays"] += 1
        kept, _ = self._thin(piece, self.replay_sample, random)
        if len(kept) >= 2:
            self._train(kept, random, new=False)

    def catch_up(self):
        """Train what every pass has yet to come to, while the rates fall to 0."""
        size = [sum(map(len, self.ring[:n])) for n in range(len(self.ring) + 1)]
        stands = [len(self.ring), *self.passed]
        total = sum(size[-1] - size[n] for n in self.passed)
        done = 0
        self.settling = True
        for stage in range(self.replay_passes):
            for _ in range(stage + 1):
                for piece in self.ring[stands[self.replay_passes - stage] :
                                       stands[self.replay_passes - stage - 1]]:  # fmt: skip
                    self.left = 1.0 - done / total
                    done += len(piece)
                    self._train_again(piece)
        self.settling, self.left = False, 1.0

    # Contexts of rare words.

    def _context_key(self, value, number):
        key = mix((value + number * GOLDEN) % 2**64) | 1
        return key, (key >> 32) * len(self.buckets) >> 32

    def _remember_rare(self, piece, found, kept, places):
        for word, row, number, place in zip(piece, found, self.numbers, places, strict=True):
            if number == 0:
                continue
            own = row is not None and kept[place : place + 1] == [row]
            before = [None] * 5 + kept[:place]
            after = kept[place + own :] + [None] * 5
            key, at = self._context_key(self.hash_word(word), number)
            bucket = self.buckets[at]
            free = [i for i, entry in enumerate(bucket) if entry is None]
            same = [i for i, entry in enumerate(bucket) if entry and entry[0] == key]
            if not same and not free:
                same = [self.turns[at]]
                self.turns[at] = (self.turns[at] + 1) % 8
            bucket[(same or free)[0]] = (key, before[-5:] + after[:5])

    def _context(self, value, number):
        key, at = self._context_key(value, number)
        return next((entry for entry in self.buckets[at] if entry and entry[0] == key), None)

    def _forget_context(self, value, number):
        key, at = self._context_key(value, number)
        bucket = self.buckets[at]
        bucket[:] = [None if entry and entry[0] == key else entry for entry in bucket]

    def refreshed(self, word, passes=4):
        """Return a rare word's input vector, trained on its contexts with falling rates."""
        row, value = self.rows[word], self.hash_word(word)
        x = np.float64(self.inputs[row])
        contexts = [self._context(value, n) for n in range(1, self.rare_count + 1)]
        contexts = [entry[1] for entry in contexts if entry]
        if round(self.count[row] / self.increment) > self.rare_count:
            return x
        random = Generator(self.seed ^ REFRESH, value)
        # The per-row schedule's, whatever the model's.
        _, first, _ = self.rate_options
        first = first or (0.14 if self.replay_tokens else 0.2)
        rate = learning_rate("per-row", first, 0.0, self.input_windows[row], 0, None)
        steps = len(contexts) * passes
        for step, context in enumerate(contexts * passes):
            for place, centre in enumerate(context):
                distance = 5 - place if place < 5 else place - 4
                reach = 1 + random.below(self.window)
                if centre is None or distance > reach:
                    continue
                drawn = [draw_row(self.table, random.draw()) for _ in range(self.negative)]
                # In blocks of six outputs, the next of which sees what the one before did.
                outputs = [centre, *drawn]
                for begin in range(0, len(outputs), 6):
                    gradient = np.zeros_like(x)
                    for j, row in enumerate(outputs[begin : begin + 6], begin):
                        if j == 0 or row != centre:
                            y = np.float64(self.outputs[row])
                            gradient += ((j == 0) - sigmoid(x @ y)) * y
                    x += rate * (1 - step / steps) * gradient
        return x

    # Training.

    def _rate(self, windows):
        schedule, rate, floor = self.rate_options
        floor = 0.0 if self.settling else floor
        words = self.counters["words"]
        return self.left * learning_rate(schedule, rate, floor, windows, words, self.total_tokens)

    def _train(self, kept, random, new=True):
        n = len(kept)
        radii = [1 + random.below(self.window) for _ in kept]
        contexts = [
            [p for p in range(max(0, c - radius), min(n, c + radius + 1)) if p != c]
            for c, radius in enumerate(radii)
        ]
        taken = np.bincount([p for context in contexts for p in context], minlength=n)
        rates = []
        for p, row in enumerate(kept):
            rates.append(self._rate(self.input_windows[row]))
            self.input_windows[row] += taken[p]
        if new:
            self._look(kept, contexts)
        # All random numbers are drawn centre by centre, before the loop in the kernel's chunks.
        for c, centre in enumerate(kept):
            drawn = [centre]
            drawn += [draw_row(self.table, random.draw()) for _ in range(self.negative)]
            self._train_window(contexts[c], rates, kept, drawn)

    def _look(self, kept, contexts):
        """Sum the loss of every so manyth window of all, before any of the piece is trained."""
        for c, centre in enumerate(kept):
            number = self.counters["windows"] + c
            if number % LOSS_EVERY == 0:
                random = Generator(self.seed ^ LOSS, number)
                drawn = [draw_row(self.table, random.draw()) for _ in range(self.negative)]
                rows = [centre] + [row for row in drawn if row != centre]
                self.counters["loss"] += objective(
                    self.inputs[[kept[p] for p in contexts[c]]], self.outputs[rows],
                    [1.0] + [0.0] * (len(rows) - 1), np.ones(len(rows)),
                )  # fmt: skip
                self.counters["loss_pairs"] += len(contexts[c])

    def _train_window(self, context, rates, kept, drawn):
        centre = drawn[0]
        # A place for every draw: a repeated one adds weight to the first and is itself nothing.
        weights = [0.0] * len(drawn)
        for j, row in enumerate(drawn):
            if j == 0 or row != centre:
                weights[drawn.index(row)] += 1.0
        output_rates = []
        for j, row in enumerate(drawn):
            output_rates.append(self._rate(self.output_windows[row]) if weights[j] else 0.0)
            self.output_windows[row] += weights[j] > 0
        train_window(
            self.inputs, [kept[p] for p in context],
            [rates[p] * min(1.0, 12 / (1 + self.negative)) for p in context],
            self.outputs, drawn, [1.0] + [0.0] * self.negative, weights,
            [rate * min(1.0, 12 / len(context)) for rate in output_rates],
        )  # fmt: skip
        self.counters["windows"] += 1


# Texts.


def pool(model, words, pooling="mean", share=0.5, smooth=1e-3, removed=None):
    """Pool the vectors of a text's words, as they are in a model now, float64 ``[d]``."""
    rows = [model.rows[word] for word in words if word in model.rows]
    vectors = np.zeros(model.vector_size)
    for place, row in enumerate(rows):
        vector = np.float64(model.inputs[row]) + share * np.float64(model.outputs[row])
        if pooling == "max":
            vectors = vector if place == 0 else np.maximum(vectors, vector)
        else:
            weight = 1.0
            if pooling == "sif":
                weight = smooth / (smooth + model.count[row] / model.total)
            vectors = vectors + weight * vector
    if pooling != "max" and rows:
        vectors = vectors / len(rows)
    if removed is not None:
        unit = removed / np.sqrt(removed @ removed)
        vectors = vectors - (vectors @ unit) * unit
    return vectors


def follow(vectors):
    """Follow the first principal component of vectors: CCIPCA, with newer ones counting more."""
    direction, seen = None, 0
    for vector in np.float64(vectors):
        if not vector.any():
            continue
        seen += 1
        rate = 3 / (seen + 2)
        if direction is None:
            direction = vector
        else:
            unit = direction / np.linalg.norm(direction)
            direction = (1 - rate) * direction + rate * vector * (vector @ unit)
    return direction
