"""Whether a cell came to what it has to: by what its client saw, what the providers say they served, and the books.

Shares no code with the router's metering: what is due is reckoned here from docs/billing.md.
"""

from collections.abc import Iterator

from matrix.cells import CREDIT, PRICES, PROMPT, A, B, Cell, Way
from matrix.faults import TOKENS, Bill, Then
from matrix.stage import Played
from tollway.simulator import Attempt, expected_reasoning, expected_text

BYTES_PER_TOKEN = 4
OWN_PROMPT = -(-len(f"user {PROMPT} ".encode() + b" ") // BYTES_PER_TOKEN)  # its role and text, three blanks between


def differences(played: Played) -> list[str]:
    """What is wrong with a cell; nothing when all is right."""
    cell = played.cell
    if played.hung is not None:
        return [f"{cell.name}: hangs, {played.hung}"]
    checks = (_client, _providers, _books, _owed)
    return [f"{cell.name}: {what}" for check in checks for what in check(played)]


def _client(played: Played) -> Iterator[str]:
    cell, seen, due = played.cell, played.seen, played.cell.due
    if cell.way.leaves:
        if not seen.left:
            yield f"its client was to leave, and saw {seen}"
        return
    if len(seen.statuses) != 1:
        yield f"the SDK needed {seen.statuses}"
    whole, finishes = _said(cell, due.answers)
    if due.answers is not None:
        if (seen.texts, seen.finishes) != (whole, finishes):
            yield f"its client read {seen.texts} with {seen.finishes}, and the answer was {whole} with {finishes}"
        if seen.error is not None:
            yield f"its client was given the error {seen.error}, and the answer was whole"
        if cell.way.streams and not seen.ended_by_done:
            yield "its client saw no [DONE]"
        return
    assert due.error is not None, "who isn't answered is given an error"
    status, code = due.error
    begun = cell.way is Way.BEGUN or (cell.way is Way.STREAM and _spoke(cell))
    if (seen.error, seen.status) != (code, None if begun else status):
        yield f"its client was to see {due.error}, and saw {seen}"
    if seen.statuses != [200 if begun else status]:
        yield f"the answer had {seen.statuses}"
    if seen.finishes or seen.ended_by_done:
        yield f"a truncated success: {seen}"
    if not all(whole[choice].startswith(text) for choice, text in seen.texts.items()):
        yield f"its client read {seen.texts}, which nobody said"


def _spoke(cell: Cell) -> bool:
    """Tokens went out before it failed."""
    return cell.play.then is Then.BROKEN or (cell.play.then is Then.LATE and cell.fault.stepwise)


def _said(cell: Cell, letter: str | None) -> tuple[dict[int, str], dict[int, str]]:
    """The texts and the finish reasons that the provider `letter` gives, by choice."""
    fault, choices = cell.fault, range(cell.fault.choices)
    finish = "stop" if letter == B else fault.finish
    texts = {choice: expected_text(TOKENS, choice=choice) for choice in choices}
    if letter != B and fault.text is not None:
        texts = dict.fromkeys(choices, fault.text)
    return texts, {} if finish is None else dict.fromkeys(choices, finish)


def _providers(played: Played) -> Iterator[str]:
    cell, due = played.cell, played.cell.due
    assert played.record is not None, "a call that has settled has a record"
    asked = "".join(attempt.provider[0] for attempt in played.record.attempts)
    if asked != due.asked:
        yield f"{due.asked} were to be asked, the record says {asked or 'nobody'}"
    saw = "".join(sorted(letter for letter, _ in played.attempts))
    listening = [letter for letter in due.asked if cell.fault.listens or letter not in cell.faulty]
    expected = "".join(sorted(listening))
    if saw != expected:
        yield f"{expected or 'nobody'} were to be sent the request, {saw or 'nobody'} were"
    drained = cell.way is Way.LEFT_LATE or (cell.holder == A and cell.fault.thoughts)
    if cell.way in (Way.LEFT_EARLY, Way.LEFT_MIDWAY) and not drained and not _last(played).client_closed:
        yield "the provider was left to write for nobody"


def _last(played: Played) -> Attempt:
    """What was last asked of the provider that was asked last."""
    letter = played.cell.due.asked[-1]
    return [attempt for name, attempt in played.attempts if name == letter][-1]


def _books(played: Played) -> Iterator[str]:
    kinds = sorted(entry.kind for entry in played.entries)
    if played.pending:
        yield f"{played.pending} nano-USD are still held"
    if kinds.count("credit") != 1 or kinds.count("hold") != 1 or len(kinds) != 3:
        yield f"one call was to be booked, the statement has {kinds}"
    charged = sum(entry.amount for entry in played.entries if entry.kind == "post")
    due = due_nano(played)
    if charged != due:
        yield f"{due} nano-USD were due, {charged} were charged"
    if played.record is not None and played.record.price != charged:
        yield f"the record says {played.record.price} nano-USD, the books {charged}"
    if charged > CREDIT:
        yield "more was charged than there was"


def _owed(played: Played) -> Iterator[str]:
    """Who answered is owed what was charged, as there is no markup; of what was free, what it cost."""
    served = played.cell.due.asked[-1]
    charged = sum(entry.amount for entry in played.entries if entry.kind == "post")
    for letter, owed in played.owed.items():
        due = 0 if letter != served else charged or _borne(played)
        if owed != due:
            yield f"{due} nano-USD are owed to {letter}, the books say {owed}"


def _borne(played: Played) -> int:
    """What a call cost the operator that cost the wallet nothing."""
    cell, due = played.cell, played.cell.due
    letter = due.asked[-1]
    if cell.play.then is Then.BROKEN and not cell.way.leaves:
        texts = (expected_text(cell.fault.breaks_after, choice=choice) for choice in range(cell.fault.choices))
        return _nano(letter, OWN_PROMPT, _count(*texts))
    if due.answers is not None and cell.fault.bill is Bill.FREE:
        return _nano(letter, _last(played).prompt_tokens, _last(played).completion_tokens)
    return 0


def due_nano(played: Played) -> int:
    """What the wallet has to pay by docs/billing.md."""
    cell, seen, due = played.cell, played.seen, played.cell.due
    fault, way = cell.fault, cell.way
    letter = due.asked[-1]
    own = fault.bill if letter == A else Bill.USAGE
    if way is Way.LEFT_EARLY:
        return _nano(letter, OWN_PROMPT, 0)
    if due.answers is None and way is not Way.LEFT_MIDWAY:
        if cell.play.then is Then.LATE and cell.way.streams and any(seen.texts.values()):
            return _nano(letter, OWN_PROMPT, _count(*seen.texts.values()))
        return 0
    served = _last(played)
    thoughts = fault.thoughts if letter == A else 0
    if way is Way.LEFT_MIDWAY and not thoughts:
        prompt = served.prompt_tokens if letter == A and fault.said_so_far else OWN_PROMPT
        said, _ = _said(cell, letter)
        return _nano(letter, prompt, _count(*(said[choice][: len(text)] for choice, text in seen.texts.items())))
    if own is Bill.FREE:
        return 0
    if own is Bill.OWN:
        said, _ = _said(cell, letter)
        return _nano(letter, OWN_PROMPT, _count(*said.values(), expected_reasoning(thoughts)))
    return _nano(letter, served.prompt_tokens, served.completion_tokens)


def _count(*texts: str) -> int:
    return -(-len("".join(texts).encode()) // BYTES_PER_TOKEN)


def _nano(letter: str, prompt: int, completion: int) -> int:
    of_prompt, of_answer = PRICES[letter]
    return prompt * of_prompt + completion * of_answer
